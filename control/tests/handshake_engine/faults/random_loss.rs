//! Half of all datagrams lost, both ways, for as long as a handshake takes; and a time of day that
//! jumps in the midst of one. Real engines, on a clock that passes when nobody has anything to do.

use std::rc::Rc;
use std::time::Duration;

use super::clock::{Clock, alone};
use super::end::Packet;
use super::lab::{DEADLINE, Lab, run};
use super::mode::FULL;
use crate::World;
use crate::pki::KeyType;

const HANDSHAKES: u64 = 1_000;

/// How many labs there are at a time: each has objects of OpenSSL, and all are asked for what is due.
const AT_A_TIME: u64 = 100;

/// Longer than any of them needs.
const PATIENCE: Duration = Duration::from_secs(900);

/// Loses every other datagram, as a seed decides.
fn lossy(mut state: u64) -> impl FnMut(Packet) -> Vec<Packet> {
    move |packet| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        if (word ^ word >> 31) & 1 == 1 { Vec::new() } else { vec![packet] }
    }
}

#[test]
fn half_of_all_datagrams_are_lost_and_every_handshake_finishes() {
    const NAME: &str =
        "faults::random_loss::half_of_all_datagrams_are_lost_and_every_handshake_finishes";
    alone(NAME, |clock| {
        let (world, clock) = (World::new(KeyType::Ecdsa), Rc::new(clock));
        let (mut finished, mut sent) = (0, 0);
        for first in (0..HANDSHAKES).step_by(AT_A_TIME as usize) {
            let begun = clock.now();
            let mut labs: Vec<_> = (first..first + AT_A_TIME)
                .map(|seed| {
                    let makers = (FULL.makers)(&world);
                    Lab::new(&clock, makers, PATIENCE, Box::new(lossy(seed << 32)))
                })
                .collect();
            run(&mut labs);
            for (seed, lab) in (first..).zip(&labs) {
                assert_eq!(lab.client.journal.ended[0].outcome, Ok(()), "handshake {seed}");
                assert_eq!(lab.neighbour.journal.retries.len(), 0, "handshake {seed}");
                assert_eq!(lab.client.established(), 1, "handshake {seed}");
                finished += 1;
                sent += lab.sent.len();
            }
            println!("{finished} finished, the last 100 within {:?}", clock.now() - begun);
        }
        assert_eq!(finished, HANDSHAKES);
        // A handshake without loss takes seven datagrams.
        assert!(sent > 10 * HANDSHAKES as usize, "only {sent} datagrams were sent");
    });
}

/// Loses the gateway's first flight, and sets the time of day another way when it does.
fn jumping(clock: Rc<Clock>, seconds: i64) -> impl FnMut(Packet) -> Vec<Packet> {
    let mut shown = 0;
    move |packet| {
        shown += 1;
        match shown {
            4 => {
                clock.jump(seconds);
                Vec::new()
            }
            _ => vec![packet],
        }
    }
}

#[test]
fn a_time_of_day_that_jumps_costs_no_handshake() {
    const NAME: &str = "faults::random_loss::a_time_of_day_that_jumps_costs_no_handshake";
    alone(NAME, |clock| {
        let (world, clock) = (World::new(KeyType::Ecdsa), Rc::new(clock));
        for seconds in [-86_400, -60, 60, 86_400] {
            let makers = (FULL.makers)(&world);
            let meddler = Box::new(jumping(clock.clone(), seconds));
            let mut labs = [Lab::new(&clock, makers, DEADLINE, meddler)];
            run(&mut labs);
            assert_eq!(labs[0].client.journal.ended[0].outcome, Ok(()), "{seconds} s");
            assert!(labs[0].sent.len() > 7, "nothing was repeated");
        }
    });
}
