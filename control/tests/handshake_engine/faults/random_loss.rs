//! Half of all datagrams lost, both ways, with real engines on the real clock.
//!
//! That takes minutes for some handshakes, because each repetition doubles the wait for the next.
//! Ordinarily the loss ends when it has hit often enough; `XDTLS_LOSSY_HANDSHAKES=n` lets it last, for
//! as many handshakes. One thousand of them run on virtual time, with scripted engines.

use std::time::Duration;

use super::end::Packet;
use super::lab::{Lab, run};
use super::mode::FULL;
use crate::World;
use crate::pki::KeyType;

/// Handshakes of an ordinary run, and how many datagrams each of them loses.
const HANDSHAKES: u64 = 40;
const LOST: u32 = 4;

/// Longer than any of them needs.
const PATIENCE: Duration = Duration::from_secs(900);

/// Loses every other datagram, as a seed decides, up to `most`.
fn lossy(mut state: u64, mut most: u32) -> impl FnMut(Packet) -> Vec<Packet> {
    move |packet| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let lost = (word ^ word >> 31) & 1 == 1 && most > 0;
        most -= u32::from(lost);
        if lost { Vec::new() } else { vec![packet] }
    }
}

#[test]
fn half_of_all_datagrams_are_lost_and_every_handshake_finishes() {
    let asked = std::env::var("XDTLS_LOSSY_HANDSHAKES").ok();
    let asked = asked.map(|count| count.parse().expect("XDTLS_LOSSY_HANDSHAKES is a number"));
    let (count, most) = asked.map_or((HANDSHAKES, LOST), |count| (count, u32::MAX));
    let world = World::new(KeyType::Ecdsa);
    let mut labs: Vec<_> = (0..count)
        .map(|seed| Lab::new((FULL.makers)(&world), PATIENCE, Box::new(lossy(seed << 32, most))))
        .collect();
    run(&mut labs);
    for (seed, lab) in labs.iter().enumerate() {
        assert_eq!(lab.client.journal.ended[0].outcome, Ok(()), "handshake {seed}");
        assert_eq!(lab.neighbour.journal.retries.len(), 0, "handshake {seed}");
        assert_eq!(lab.client.established(), 1, "handshake {seed}");
    }
}
