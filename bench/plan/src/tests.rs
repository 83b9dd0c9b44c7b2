//! Frames as a receiver sees them: parsed by xdtls's own parser, checksums verified anew.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::vec::Vec;

use xdtls_common::cursor::{Cursor, SliceCursor};
use xdtls_common::frame;
use xdtls_common::prefix::Prefix;

use super::*;

/// A plan whose payload has `payload` bytes, from 198.18.0.0/15 to 192.0.2.2:4433.
fn plan(payload: usize) -> (Plan, Frame) {
    let mut frame = [0; FRAME_MAX];
    let plan = Plan {
        seed: 7,
        length: (PAYLOAD_AT + payload) as u32,
        identities: 1_000,
        network: 0xc612_0000,
        host_mask: 0x1_ffff,
        prefix: 1,
        ..Plan::zeroed()
    };
    frame[12..14].copy_from_slice(&[8, 0]);
    let total = (28 + payload) as u16;
    let ip = [0x45, 0, (total >> 8) as u8, total as u8, 0, 0, 0x40, 0, 64, 17];
    frame[IP_AT..IP_AT + 10].copy_from_slice(&ip);
    frame[30..34].copy_from_slice(&[192, 0, 2, 2]);
    frame[36..38].copy_from_slice(&4433_u16.to_be_bytes());
    frame[38..40].copy_from_slice(&(8 + payload as u16).to_be_bytes());
    for (index, byte) in frame[PAYLOAD_AT..].iter_mut().enumerate() {
        *byte = index as u8;
    }
    (plan, frame)
}

fn is_valid(frame: &[u8]) -> bool {
    let ip = fold(sum_of(&frame[IP_AT..UDP_AT]));
    let pseudo = sum_of(&frame[SOURCE_AT..UDP_AT]) + 17 + (frame.len() - UDP_AT) as u32;
    ip == 0xffff && fold(pseudo + sum_of(&frame[UDP_AT..])) == 0xffff
}

#[test]
fn every_frame_parses_and_has_right_checksums() {
    for payload in [8, 61, 62, 205, 1_472] {
        // Random bytes and cookie at odd and at even offsets.
        for (random_at, cookie_at) in [(0, 0), (60, 92), (61, 93), (77, 111)] {
            let (mut plan, mut frame) = plan(payload);
            (plan.random_at, plan.cookie_at) = (random_at, cookie_at);
            plan.receiver_mask = u32::MAX;
            if plan.seal(&mut frame).is_err() {
                continue;
            }
            for number in 0..2_000 {
                plan.write(&mut frame, number, Some(&[number as u8; COOKIE_LEN]));
                let bytes = &frame[..plan.length as usize];
                let (headers, _) = frame::parse(SliceCursor::new(bytes)).unwrap();
                assert_eq!(headers.payload_len, payload);
                assert_eq!(headers.destination, "192.0.2.2:4433".parse().unwrap());
                assert!(is_valid(bytes), "frame {number} of {payload} bytes");
            }
        }
    }
}

#[test]
fn what_is_written_is_the_identity() {
    let (mut plan, mut frame) = plan(150);
    (plan.random_at, plan.cookie_at) = (77, 111);
    (plan.receiver, plan.receiver_mask) = (0x0010_0000, 0xf_ffff);
    plan.seal(&mut frame).unwrap();
    let mut receivers = BTreeSet::new();
    for number in [0, 1, 999, 1_000, 12_345] {
        plan.write(&mut frame, number, Some(&[9; COOKIE_LEN]));
        let identity = plan.identity((number % 1_000) as u32);
        let (headers, mut payload) = frame::parse(SliceCursor::new(&frame[..192])).unwrap();
        assert_eq!(headers.source.ip(), IpAddr::V4(Ipv4Addr::from_bits(identity.address)));
        assert_eq!(headers.source.port(), identity.port);
        assert_eq!(identity.address >> 17, 0xc612_0000 >> 17);
        let prefix = Prefix::parse(&mut payload).unwrap();
        assert_eq!((prefix.sender, prefix.receiver >> 20), (identity.sender, 1));
        assert_eq!(identity_of(prefix.sender), (number % 1_000) as u32);
        receivers.insert(prefix.receiver);
        let random: Vec<u8> = identity.random.iter().flat_map(|word| word.to_be_bytes()).collect();
        assert_eq!(frame[77..109], random[..]);
        assert_eq!(frame[111..123], [9; COOKIE_LEN]);
        assert_eq!(payload.remaining(), 142);
    }
    assert_eq!(receivers.len(), 5, "receiver ids vary from frame to frame");
}

#[test]
fn a_shifted_address_is_another_one_and_all_else_the_same() {
    let (own, _) = plan(100);
    let thief = Plan { address_shift: 1, ..own };
    for number in 0..1_000 {
        let (own, thief) = (own.identity(number), thief.identity(number));
        assert_ne!(own.address, thief.address);
        assert_eq!(Identity { address: own.address, ..thief }, own);
    }
}

#[test]
fn identities_differ() {
    let (plan, _) = plan(100);
    let ends: BTreeSet<_> =
        (0..10_000).map(|n| plan.identity(n)).map(|i| (i.address, i.port)).collect();
    assert!(ends.len() > 9_990, "{} of 10000 sources differ", ends.len());
}

#[test]
fn a_plan_that_does_not_fit_is_refused() {
    for spoil in [
        |plan: &mut Plan| plan.length = 41,
        |plan: &mut Plan| plan.length = FRAME_MAX as u32 + 1,
        |plan: &mut Plan| plan.identities = 0,
        |plan: &mut Plan| plan.random_at = 120,
        |plan: &mut Plan| plan.cookie_at = 256,
    ] {
        let (mut plan, mut frame) = plan(100);
        spoil(&mut plan);
        assert!(plan.seal(&mut frame).is_err());
    }
}
