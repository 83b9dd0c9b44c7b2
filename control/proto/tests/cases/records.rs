//! What becomes of single records: replays, disorder, several in a datagram, and the largest.

use xdtls_common::DropReason;
use xdtls_common::record::content_type::APPLICATION_DATA;
use xdtls_proto::suite::CipherSuite;

use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World, other};

const MTU: usize = 1500;

fn established() -> World {
    World::established(Setup::default(), Script::new("client one"))
}

/// Datagrams of `node` that carry numbers, caught on their way.
fn caught(world: &mut World, node: usize, count: u8) -> Vec<Vec<u8>> {
    let before = world.sent_by(node).count();
    world.network.lose = Some(Box::new(|_| true));
    let id = world.id(node);
    (0..count).for_each(|number| world.send(node, id, &[number]));
    world.sent_by(node).skip(before).map(<[u8]>::to_vec).collect()
}

#[test]
fn a_replayed_datagram_is_delivered_once() {
    for sender in [CLIENT, GATEWAY] {
        let mut world = established();
        let datagrams = caught(&mut world, sender, 5);
        for datagram in datagrams.iter().chain(&datagrams).chain(datagrams.iter().rev()) {
            world.deliver_from(sender, datagram.clone());
        }
        assert_eq!(world.received(other(sender)), [[0], [1], [2], [3], [4]]);
        assert_eq!(world.nodes[other(sender)].dropped(DropReason::Replayed), 10);
    }
}

#[test]
fn datagrams_in_disorder_are_delivered_as_they_come() {
    let mut world = established();
    let datagrams = caught(&mut world, CLIENT, 50);
    for datagram in datagrams.into_iter().rev() {
        world.deliver_from(CLIENT, datagram);
    }
    let reversed: Vec<_> = (0..50_u8).rev().map(|number| [number]).collect();
    assert_eq!(world.received(GATEWAY), reversed);
}

#[test]
fn what_the_window_no_longer_knows_is_too_old() {
    let mut world = established();
    for (sequence, passes) in [(5000, true), (5000 - 1023, true), (5000 - 1024, false)] {
        let datagram = world.known(CLIENT).datagram(APPLICATION_DATA, sequence, b"");
        world.deliver_from(CLIENT, datagram);
        assert_eq!(world.nodes[GATEWAY].dropped(DropReason::TooOld), u64::from(!passes));
    }
    assert_eq!(world.received(GATEWAY).len(), 2);
}

#[test]
fn a_forged_record_does_not_move_the_window() {
    // The only suite whose sequence numbers may come near their end.
    let mut world = world_over(false, CipherSuite::EcdheRsaChaCha20Poly1305);
    for sequence in [2, 1 << 40, (1 << 48) - 2] {
        let mut forged = world.known(CLIENT).datagram(APPLICATION_DATA, sequence, b"forged");
        *forged.last_mut().unwrap() ^= 1;
        world.deliver_from(CLIENT, forged);
    }
    let id = world.id(CLIENT);
    world.send(CLIENT, id, b"genuine");
    world.run_ms(20);
    assert_eq!(world.received(GATEWAY), [b"genuine"]);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::NotAuthentic), 3);
}

#[test]
fn each_record_of_a_datagram_is_judged_by_itself() {
    let mut world = established();
    let known = world.known(CLIENT);
    let data = |sequence, body: &[u8]| known.record(APPLICATION_DATA, sequence, body);
    let mut forged = data(12, b"forged");
    *forged.last_mut().unwrap() ^= 1;
    let mut epoch_2 = data(15, b"epoch 2");
    epoch_2[4] = 2;
    let records =
        [data(10, b"one"), data(11, b""), forged, data(10, b"one"), epoch_2, data(13, b"two")];
    let datagram = [&known.prefix()[..], &records.concat(), &[23, 0xfe, 0xfd, 0]].concat();
    world.deliver_from(CLIENT, datagram);
    assert_eq!(world.received(GATEWAY), [&b"one"[..], b"", b"two"]);
    let drops = world.nodes[GATEWAY].journal.drops.iter().map(|(reason, count)| (*reason, *count));
    let wanted = [
        (DropReason::MalformedRecord, 1),
        (DropReason::WrongEpoch, 1),
        (DropReason::Replayed, 1),
        (DropReason::NotAuthentic, 1),
    ];
    assert_eq!(drops.collect::<Vec<_>>(), wanted);
}

/// A world over IPv4 or IPv6 with an established association.
fn world_over(ipv6: bool, suite: CipherSuite) -> World {
    let script = |name| Script { suites: vec![suite], ..Script::new(name) };
    let setup = Setup { script: script("gateway"), path_mtu: MTU as u16, ..Setup::default() };
    let mut world = World::with_gateway(setup);
    if ipv6 {
        world.nodes[GATEWAY].address = "[2001:db8::1]:4433".parse().unwrap();
    }
    let client = if ipv6 { "[2001:db8::2]:5000" } else { "198.51.100.1:5000" };
    world.add_client(client.parse().unwrap(), script("client one"));
    world.establish(CLIENT);
    world
}

#[test]
fn the_largest_plaintext_fills_the_path_and_one_byte_more_is_too_big() {
    for suite in CipherSuite::ALL {
        for (ipv6, headers) in [(false, 20 + 8), (true, 40 + 8)] {
            let largest = MTU - headers - 8 - suite.aead().record_overhead();
            let mut world = world_over(ipv6, suite);
            for node in [CLIENT, GATEWAY] {
                let id = world.id(node);
                world.send(node, id, &vec![7; largest]);
                assert_eq!(world.sent_by(node).last().unwrap().len(), MTU - headers);
                let sent = world.sent_by(node).count();
                world.send(node, id, &vec![7; largest + 1]);
                world.send(node, id, &vec![7; 70_000]);
                assert_eq!(world.sent_by(node).count(), sent);
                assert_eq!(world.nodes[node].dropped(DropReason::TooBig), 2);
            }
            world.run_ms(20);
            for node in [CLIENT, GATEWAY] {
                assert_eq!(world.received(node), [vec![7; largest]]);
            }
        }
    }
}

#[test]
fn every_size_arrives_unaltered() {
    let mut world = established();
    for node in [CLIENT, GATEWAY] {
        let id = world.id(node);
        for size in 0..=1427 {
            world.send(node, id, &vec![size as u8; size]);
        }
        world.run_ms(20);
        let received = world.received(other(node));
        assert_eq!(received.len(), 1428);
        assert!(received.iter().zip(0..).all(|(bytes, size)| *bytes == vec![size as u8; size]));
    }
}
