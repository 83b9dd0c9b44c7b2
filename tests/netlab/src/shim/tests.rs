use std::time::Duration;

use super::*;
use crate::hello::{Hello, MESSAGE_SEQ_AT};

const SERVER: u32 = 0x5e5e_0001;

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn from_gateway(sender: u32, receiver: u32, records: &[u8]) -> Vec<u8> {
    [&Prefix { sender, receiver }.encode()[..], records].concat()
}

/// Sends for the client at `port` and returns its slot and the ids in the prefix.
fn send(shim: &mut Shim, now: Instant, port: u16, datagram: &[u8]) -> (usize, u32, u32) {
    let (slot, sent) = shim.to_gateway(now, address(port), datagram);
    assert_eq!(sent[8..], *datagram);
    let prefix = Prefix::parse(&mut SliceCursor::new(&sent)).unwrap();
    (slot, prefix.sender, prefix.receiver)
}

#[test]
fn the_servers_id_is_learned_from_its_first_flight() {
    let (mut shim, now) = (Shim::new(None, 1), Instant::now());
    let (slot, id, server) = send(&mut shim, now, 1, &Hello::default().encode());
    assert!(id != 0 && server == 0);
    let verify = from_gateway(0, id, b"verify");
    assert_eq!(shim.to_client(slot, &verify), Some((address(1), &b"verify"[..])));
    let second = Hello { cookie: &[9; 12], ..Hello::default() }.encode();
    assert_eq!(send(&mut shim, now, 1, &second), (slot, id, 0));
    let flight = from_gateway(SERVER, id, b"flight");
    assert_eq!(shim.to_client(slot, &flight), Some((address(1), &b"flight"[..])));
    assert_eq!(send(&mut shim, now, 1, b"certificate"), (slot, id, SERVER));
    assert_eq!(send(&mut shim, now, 1, b""), (slot, id, SERVER));
    assert_eq!(shim.ignored(), 0);
}

#[test]
fn what_is_for_somebody_else_is_ignored_and_counted() {
    let (mut shim, now) = (Shim::new(Some(0xc1), 1), Instant::now());
    let (slot, id, _) = send(&mut shim, now, 1, b"hello");
    assert_eq!(id, 0xc1);
    assert_eq!(shim.to_client(slot, &from_gateway(SERVER, 0xc2, b"other")), None);
    assert_eq!(shim.to_client(slot, &from_gateway(SERVER, 0, b"other")), None);
    assert_eq!(shim.to_client(slot, &[0; 7]), None);
    assert_eq!(shim.to_client(slot + 1, &from_gateway(SERVER, 0xc1, b"other")), None);
    assert!(shim.to_client(slot, &from_gateway(SERVER, 0xc1, b"ours")).is_some());
    assert_eq!(shim.to_client(slot, &from_gateway(SERVER + 1, 0xc1, b"other server")), None);
    assert_eq!(shim.ignored(), 5);
    assert_eq!(send(&mut shim, now, 1, b"more"), (slot, 0xc1, SERVER));
}

#[test]
fn a_first_hello_begins_anew_only_once_the_server_is_known() {
    let (mut shim, now) = (Shim::new(None, 1), Instant::now());
    let first = Hello::default().encode();
    let (slot, id, _) = send(&mut shim, now, 1, &first);
    assert_eq!(send(&mut shim, now, 1, &first), (slot, id, 0), "a retransmission");
    assert!(shim.to_client(slot, &from_gateway(SERVER, id, b"flight")).is_some());
    let second = Hello { cookie: &[9; 12], ..Hello::default() }.encode();
    assert_eq!(send(&mut shim, now, 1, &second), (slot, id, SERVER), "a retransmission");
    let mut later = first.clone();
    later[MESSAGE_SEQ_AT] = 1;
    assert_eq!(send(&mut shim, now, 1, &later), (slot, id, SERVER), "not message 0");
    let (same_slot, new_id, server) = send(&mut shim, now, 1, &first);
    assert!(same_slot == slot && new_id != id && server == 0);
    assert_eq!(shim.to_client(slot, &from_gateway(SERVER, id, b"late")), None);
}

#[test]
fn clients_are_told_apart_and_the_most_silent_makes_room() {
    let (mut shim, start) = (Shim::new(None, 1), Instant::now());
    for n in 0..CLIENTS_MAX {
        let now = start + Duration::from_secs(n as u64);
        assert_eq!(send(&mut shim, now, n as u16, b"x").0, n);
    }
    let now = start + Duration::from_secs(CLIENTS_MAX as u64);
    let (_, first_id, _) = send(&mut shim, now, 0, b"x");
    let (slot, id, _) = send(&mut shim, now, 9_999, b"x");
    assert_eq!(slot, 1, "client 0 has just been heard, client 1 is the most silent");
    let for_newcomer = from_gateway(0, id, b"y");
    assert_eq!(shim.to_client(slot, &for_newcomer), Some((address(9_999), &b"y"[..])));
    assert_eq!(send(&mut shim, now, 0, b"x"), (0, first_id, 0));
}

#[test]
fn as_many_final_flights_as_asked_for_are_lost() {
    let (mut shim, now) = (Shim::new(None, 1).losing_final_flights(2), Instant::now());
    for port in [1, 2] {
        let (slot, id, _) = send(&mut shim, now, port, b"hello");
        let handshake = from_gateway(SERVER, id, &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
        let change = from_gateway(SERVER, id, &[20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0]);
        let mut arrives = |datagram: &[u8]| shim.to_client(slot, datagram).is_some();
        assert!(arrives(&handshake) && !arrives(&change) && arrives(&handshake));
        assert!(!arrives(&change) && arrives(&change));
    }
    assert_eq!((shim.lost(), shim.ignored()), (4, 0));
}

#[test]
fn ids_are_hexadecimal_and_not_0() {
    assert_eq!(parse_id("0xCafe").unwrap(), 0xcafe);
    assert_eq!(parse_id("ffffffff").unwrap(), u32::MAX);
    for bad in ["0", "", "100000000", "xyz"] {
        assert!(parse_id(bad).is_err(), "{bad:?}");
    }
}
