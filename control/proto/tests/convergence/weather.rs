//! Long random lives of a link: bad weather, restarts, closings, old datagrams sent once more, and
//! threads that are late. Whatever has happened, in calm one association is left.
//!
//! A seed decides on everything. `XDTLS_SEED=n` repeats one; `XDTLS_SEEDS=n` runs as many as asked
//! for. What fails names its seed.

use std::time::Duration;

use super::programs::Programs;
use crate::chaos::{Named, seeds};
use crate::support::network::Link;
use crate::support::node::Lag;
use crate::support::rng::Rng;
use crate::support::world::{Peer, Setup, World};

/// Seeds of an ordinary run of each test.
const SEEDS: u64 = 150;

/// Things that happen while the weather is bad.
const DEEDS: u64 = 12;

/// Within which one association is left in calm: silence has to be noticed, the worst attempt to
/// have ended, and what has been replaced for worn keys to be closed.
const CALM: Duration = Duration::from_secs(300);

fn weather(rng: &mut Rng, loss_per_mille: u64) -> Link {
    let mut chance = |worst| if rng.per_mille(500) { rng.below(worst) } else { 0 };
    let (loss_per_mille, duplicates_per_mille) = (chance(loss_per_mille + 1), chance(400));
    let late_per_mille = chance(300);
    let delay = Duration::from_millis(1 + rng.below(60));
    let jitter = Duration::from_millis(rng.below(100));
    Link { loss_per_mille, duplicates_per_mille, late_per_mille, delay, jitter, ..Link::CLEAN }
}

/// Two peers, of which one may be behind the other, and both may have late threads.
fn peers(rng: &mut Rng) -> ([Peer; 2], World) {
    let knows_key = rng.per_mille(500);
    let pair = Peer::pair().map(|peer| {
        let opens_after = Duration::from_millis(rng.below(200) * rng.below(2));
        Peer { knows_key, opens_after, ..peer }
    });
    let mut setup = Setup { seed: rng.next(), shards: 1 + rng.below(3) as u32, ..Setup::default() };
    if rng.per_mille(500) {
        setup.rekey.records = 20 + rng.below(300);
    }
    let mut world = World::of_peers(setup, &pair);
    for node in &mut world.nodes {
        let mut lag = || Duration::from_millis(rng.below(50) * rng.below(2));
        node.lag = Lag { install: lag(), handshakes: lag(), link: lag(), ..Lag::default() };
    }
    (pair, world)
}

/// Everything but data may be lost: what data is missing was lost by convergence.
#[test]
fn convergence_loses_no_data() {
    for seed in seeds(SEEDS) {
        let _named = Named(seed);
        let mut rng = Rng::new(seed);
        let (_, mut world) = peers(&mut rng);
        world.network.spares_data = true;
        world.network.link = weather(&mut rng, 300);
        let mut programs = Programs::default();
        let (every, talk) = (10 + rng.below(100), 1 + rng.below(15));
        programs.talk(&mut world, Duration::from_secs(talk), Duration::from_millis(every));
        world.network.link = Link::CLEAN;
        world.converge(CALM);
        programs.talk(&mut world, Duration::from_secs(1), Duration::from_millis(every));
        world.run(Duration::from_secs(4));
        programs.read(&world);
        assert_eq!(programs.lost(), 0, "sent by two, and neither has restarted");
    }
}

#[test]
fn whatever_happens_one_association_is_left() {
    for seed in seeds(SEEDS) {
        let _named = Named(seed);
        let mut rng = Rng::new(seed);
        let (pair, mut world) = peers(&mut rng);
        for _ in 0..DEEDS {
            let node = rng.below(2) as usize;
            match rng.below(10) {
                0..2 => {
                    world.restart(node, &pair[node]);
                }
                2 => {
                    let current = world.nodes[node].link.as_ref().and_then(|it| it.link.current());
                    if let Some(id) = current {
                        world.close(node, id);
                    }
                }
                3..5 => replay(&mut rng, &mut world),
                _ => world.network.link = weather(&mut rng, 400),
            }
            world.run(Duration::from_millis(rng.below(12_000)));
            world.send_by_link(node, b"in bad weather");
        }
        world.network.link = Link::CLEAN;
        world.converge(CALM);
        world.run(Duration::from_secs(4));
        let mut programs = Programs::from_now(&world);
        programs.talk(&mut world, Duration::from_secs(1), Duration::from_millis(100));
        world.run_ms(100);
        programs.read(&world);
        assert_eq!(programs.lost(), 0, "in calm");
    }
}

/// Old datagrams come once more, as they were.
fn replay(rng: &mut Rng, world: &mut World) {
    for _ in 0..20 {
        let sent = &world.network.sent;
        if sent.is_empty() {
            return;
        }
        let (_, packet) = sent[rng.below(sent.len() as u64) as usize].clone();
        let to = world.nodes.iter().position(|node| node.address == packet.to);
        if let Some(node) = to {
            world.deliver(node, packet.from, packet.bytes);
        }
    }
}
