//! All that can happen to the first datagrams of two handshakes that cross, one world for each.

use std::time::Duration;

use super::programs::Programs;
use crate::support::network::Fate;
use crate::support::world::{Peer, Setup, World};

/// The datagrams of two handshakes that nothing disturbs, and the first challenges and answers.
const DATAGRAMS: usize = 16;

/// Longer than a handshake that loses two datagrams, and the time that the loser lives on.
const LIMIT: Duration = Duration::from_secs(20);

/// When the second end begins, in milliseconds after the first: in each phase of its handshake.
const OFFSETS: [u64; 7] = [0, 5, 15, 25, 35, 45, 55];

/// Two peers whose first datagrams fare like this end with one association, and have delivered all
/// that their programs have sent meanwhile, once.
fn play(fates: &[Fate], offset_ms: u64, knows_key: bool) -> World {
    let _named = Named { fates, offset_ms, knows_key };
    let mut peers = Peer::pair().map(|peer| Peer { knows_key, ..peer });
    peers[1].opens_after = Duration::from_millis(offset_ms);
    let mut world = World::of_peers(Setup::default(), &peers);
    world.network.fates = fates.iter().copied().collect();
    let mut programs = Programs::default();
    programs.talk(&mut world, Duration::from_millis(200), Duration::from_millis(40));
    world.converge(LIMIT);
    programs.talk(&mut world, Duration::from_millis(100), Duration::from_millis(50));
    world.run_ms(100);
    programs.read(&world);
    assert_eq!(programs.lost(), 0);
    world
}

/// Says which world it was that has panicked.
struct Named<'a> {
    fates: &'a [Fate],
    offset_ms: u64,
    knows_key: bool,
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { fates, offset_ms, knows_key } = self;
            println!("the second began after {offset_ms} ms, keys known: {knows_key}, {fates:?}");
        }
    }
}

/// All series of `length` out of `choices`.
fn all_series(choices: &[Fate], length: u32) -> impl Iterator<Item = Vec<Fate>> {
    let count = choices.len();
    (0..count.pow(length)).map(move |number| {
        (0..length).map(|place| choices[number / count.pow(place) % count]).collect()
    })
}

#[test]
fn every_order_of_arrival() {
    for series in all_series(&[Fate::Arrive, Fate::Late], 10) {
        play(&series, 0, false);
    }
}

#[test]
fn every_fate_of_the_first_datagrams() {
    for series in all_series(&Fate::ALL, 5) {
        play(&series, 0, false);
    }
}

#[test]
fn every_two_faults_in_every_phase() {
    for offset_ms in OFFSETS {
        for (first, second) in (0..DATAGRAMS).flat_map(|a| (a..DATAGRAMS).map(move |b| (a, b))) {
            for faults in all_series(&Fate::ALL[1..], 2) {
                let mut series = vec![Fate::Arrive; DATAGRAMS];
                (series[first], series[second]) = (faults[0], faults[1]);
                play(&series, offset_ms, (first + second) % 2 == 0);
            }
        }
    }
}
