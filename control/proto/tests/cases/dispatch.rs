//! Whom a datagram is for: ids, addresses and shards.

use std::net::SocketAddr;
use std::time::Duration;

use xdtls_common::DropReason;
use xdtls_common::prefix::Prefix;
use xdtls_common::record::content_type::APPLICATION_DATA;

use crate::support::messages::{CERTIFICATE, message, record};
use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World, other};

fn established() -> World {
    World::established(Setup::default(), Script::new("client one"))
}

fn elsewhere() -> SocketAddr {
    "203.0.113.66:666".parse().unwrap()
}

#[test]
fn unknown_receivers_and_wrong_senders_are_dropped_in_silence() {
    for sender in [CLIENT, GATEWAY] {
        let mut world = established();
        let sent = world.sent_by(other(sender)).count();
        let (own, peer) = (world.id(sender).value(), world.id(other(sender)).value());
        let record = world.known(sender).record(APPLICATION_DATA, 10, b"data");
        for bit in 0..32 {
            for (prefix, reason) in [
                (Prefix { sender: own, receiver: peer ^ 1 << bit }, DropReason::UnknownId),
                (Prefix { sender: own ^ 1 << bit, receiver: peer }, DropReason::WrongPeerId),
            ] {
                world.deliver_from(sender, [&prefix.encode()[..], &record].concat());
                assert_eq!(world.nodes[other(sender)].dropped(reason), bit + 1, "{reason:?}");
            }
        }
        assert_eq!(world.sent_by(other(sender)).count(), sent);
        assert!(world.received(other(sender)).is_empty());
        let genuine = Prefix { sender: own, receiver: peer }.encode();
        world.deliver_from(sender, [&genuine[..], &record].concat());
        assert_eq!(world.received(other(sender)), [b"data"]);
    }
}

#[test]
fn whatever_is_cut_is_dropped_in_silence_at_every_length() {
    let mut world = established();
    let sent = world.sent_by(GATEWAY).count();
    let whole = world.known(CLIENT).datagram(APPLICATION_DATA, 10, b"data");
    let hello = world.sent_by(CLIENT).next().unwrap().to_vec();
    for datagram in [whole, hello] {
        for length in 0..datagram.len() {
            world.deliver_from(CLIENT, datagram[..length].to_vec());
        }
    }
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::TooShort), 2 * (8 + 13));
    assert_eq!(world.sent_by(GATEWAY).count(), sent);
    assert!(world.received(GATEWAY).is_empty());
}

#[test]
fn a_client_answers_no_client_hello() {
    let mut world = established();
    let sent = world.sent_by(CLIENT).count();
    let hello = world.sent_by(CLIENT).next().unwrap().to_vec();
    world.deliver_from(GATEWAY, hello);
    assert_eq!(world.nodes[CLIENT].dropped(DropReason::UnknownId), 1);
    assert_eq!(world.sent_by(CLIENT).count(), sent);
}

#[test]
fn a_half_open_association_listens_to_one_address_only() {
    let mut world = World::new(Setup::default(), Script::new("client one"));
    world.open(CLIENT);
    assert!(world.run_until(Duration::from_secs(1), |world| world.half_open() == 1));
    let server_hello = world.sent_by(GATEWAY).last().unwrap().to_vec();
    world.deliver(CLIENT, elsewhere(), server_hello);
    assert_eq!(world.nodes[CLIENT].dropped(DropReason::HalfOpenAddress), 1);

    let gateway = world.nodes[GATEWAY].address;
    world.run_ms(10);
    let flight = world.network.in_flight_to(gateway).unwrap().bytes.clone();
    world.deliver(GATEWAY, elsewhere(), flight);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::HalfOpenAddress), 1);
    assert_eq!(world.half_open(), 1);
    world.run_ms(100);
    assert_eq!(world.nodes[CLIENT].journal.ended[0].outcome, Ok(()));
}

#[test]
fn a_half_open_association_knows_its_peers_id() {
    let mut world = World::new(Setup::default(), Script::new("client one"));
    world.open(CLIENT);
    assert!(world.run_until(Duration::from_secs(1), |world| world.half_open() == 1));
    let server_hello = world.sent_by(GATEWAY).last().unwrap();
    let id = u32::from_be_bytes(server_hello[..4].try_into().unwrap());
    let prefix = Prefix { sender: 0xbad, receiver: id }.encode();
    let forged = record(22, 0, 5, &message(CERTIFICATE, 2, b"somebody else"));
    world.deliver_from(CLIENT, [&prefix[..], &forged].concat());
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::WrongPeerId), 1);
    world.run_ms(100);
    assert_eq!(world.known(GATEWAY).names, ["client one"]);
}

#[test]
fn shards_hand_over_what_is_not_theirs() {
    for misdirected in [false, true] {
        let setup = Setup { shards: 3, ..Setup::default() };
        let mut world = World::with_gateway(setup);
        world.nodes[GATEWAY].misdirected = misdirected;
        for number in 0..6 {
            let address = format!("198.51.100.{}:5000", number + 1).parse().unwrap();
            let client = world.add_client(address, Script::new("client"));
            world.nodes[client].misdirected = misdirected;
            world.establish(client);
            let (own, at_gateway) = (world.id(client), world.id(GATEWAY));
            world.send(client, own, &[number]);
            world.run_ms(20);
            world.send(GATEWAY, at_gateway, &[number]);
            world.run_ms(20);
            assert_eq!(world.received(client), [[number]]);
            // It moves, and its datagrams come to a socket of the port as before.
            world.rebind(client, format!("203.0.113.{}:6000", number + 1).parse().unwrap());
            world.send(client, own, &[number]);
            world.run_ms(30);
            world.send(GATEWAY, at_gateway, &[0; 1000]);
            world.run_ms(20);
            assert_eq!(world.received(client), [&[number][..], &[0; 1000]]);
        }
        let numbers: Vec<_> = (0..6).flat_map(|number| [[number]; 2]).collect();
        assert_eq!(world.received(GATEWAY), numbers);
        let by_shard = world.nodes[GATEWAY].shards.iter().map(|shard| shard.established());
        assert_eq!(by_shard.collect::<Vec<_>>(), [2, 2, 2]);
        assert_eq!(world.nodes[GATEWAY].journal.handed_over > 0, misdirected);
        assert!(world.nodes[GATEWAY].journal.drops.is_empty());
    }
}
