use std::net::IpAddr;

use xdtls_common::cursor::SliceCursor;
use xdtls_common::frame::{VlanTag, parse};

use super::*;
use crate::counters::{Place, Totals};
use crate::datapath::next_hops::tables::{Address, Device, Neighbour, Route, Tables, Way};
use crate::datapath::next_hops::{Board, NextHops};
use crate::datapath::sides::OUTSIDE;
use crate::xsk::{Delivery, SimulatedNic, XskOptions, XskSet};

const PEER: &str = "10.7.0.2:40000";
const TAG: VlanTag = VlanTag { protocol: 0x8100, control: 7 };
const RING: u32 = 32;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// One VLAN with one peer on it, whose MAC address ends with `last`.
fn tables(last: u8) -> Tables {
    let mac = |last| [2, 0, 0, 0, 0, last];
    let route = Route {
        network: ip("10.7.0.0"),
        prefix_len: 24,
        metric: 0,
        way: Some(Way { device: 5, gateway: None, source: None }),
    };
    Tables::new(
        vec![Device { index: 5, mac: mac(1), vlan: Some(TAG), mtu: 1500 }],
        vec![route],
        vec![Address { device: 5, address: ip("10.7.0.1"), preferred: true }],
        vec![Neighbour { device: 5, address: ip("10.7.0.2"), mac: mac(last), stale: false }],
    )
}

struct Lab {
    board: Board,
    set: XskSet,
    nic: SimulatedNic,
    xsk: ShardXsk,
    sender: FrameSender,
    counters: Counters,
}

impl Lab {
    /// Shard 1 of 2, on two queues.
    fn new() -> Self {
        let rings =
            XskOptions { rx_ring: RING, tx_ring: RING, fill_ring: RING, ..Default::default() };
        let options = XskOptions { completion_ring: RING, ..rings };
        let (mut set, nic) = SimulatedNic::new(2, 2, &options).unwrap();
        let xsk = set.take_shards().pop().unwrap();
        let board = Board::default();
        board.publish(tables(9));
        let sender = FrameSender::new(OUTSIDE, NextHops::of(&board), &xsk);
        Self { board, set, nic, xsk, sender, counters: Counters::new(Place::Worker) }
    }

    /// Whether there was room.
    fn send(&mut self, to: &str, payload: &[u8]) -> bool {
        let to = Endpoint { remote: to.parse().unwrap(), local: None };
        let Some(headers) = self.sender.headers(&to, 4433, payload.len()) else { return false };
        let room = self.sender.room(headers, &mut self.xsk, &self.counters);
        room.map(|room| room.copy_from_slice(payload)).is_some()
    }

    fn flush(&mut self) {
        self.sender.flush(&mut self.xsk, &self.counters);
    }

    fn ensure_no_frame_is_missing(&mut self) {
        self.xsk.service().unwrap();
        let account = self.set.account();
        assert_eq!((account.total(), account.held), (self.set.frames() as i64, 0), "{account:?}");
    }
}

#[test]
fn datagrams_leave_in_order_with_all_headers_on_a_queue_of_their_own() {
    let mut lab = Lab::new();
    let payloads = [vec![1; 100], vec![2; 1400], vec![], vec![3; 100]];
    for payload in &payloads {
        assert!(lab.send(PEER, payload));
    }
    lab.flush();
    for payload in &payloads {
        let frame = lab.nic.send(1, 1).unwrap();
        let (headers, _) = parse(SliceCursor::new(&frame)).unwrap();
        assert_eq!(headers.vlan, Some(TAG));
        assert_eq!((headers.source_mac[5], headers.destination_mac[5]), (1, 9));
        assert_eq!(headers.source, "10.7.0.1:4433".parse().unwrap());
        assert_eq!(headers.destination, PEER.parse().unwrap());
        assert_eq!(frame[headers.payload_at..], payload[..]);
    }
    assert_eq!(lab.nic.send(1, 1), None);
    assert_eq!(Totals::of([&lab.counters], None).fast_path_sent, 4);
    lab.ensure_no_frame_is_missing();
}

#[test]
fn what_does_not_fit_into_the_ring_is_dropped_and_counted() {
    let mut lab = Lab::new();
    for number in 0..RING as u8 + 5 {
        assert!(lab.send(PEER, &[number]));
    }
    lab.flush();
    let totals = Totals::of([&lab.counters], None);
    assert_eq!(totals.fast_path_sent, u64::from(RING));
    assert_eq!(totals.drops, [("outside_send".to_owned(), 5)].into());
    lab.ensure_no_frame_is_missing();
    // Once the driver has taken some, there is room again.
    for number in 0..RING as u8 {
        assert_eq!(lab.nic.send(1, 1).unwrap().pop(), Some(number));
    }
    assert!(lab.send(PEER, b"again"));
    lab.flush();
    assert!(lab.nic.send(1, 1).unwrap().ends_with(b"again"));
    lab.ensure_no_frame_is_missing();
}

#[test]
fn the_way_changes_between_two_rounds_only() {
    let mut lab = Lab::new();
    lab.sender.begin_round();
    assert!(lab.send(PEER, b"old"));
    lab.board.publish(tables(8));
    assert!(lab.send("10.7.0.2:40001", b"old"));
    lab.flush();
    lab.sender.begin_round();
    assert!(lab.send(PEER, b"new"));
    lab.flush();
    let macs = [9, 9, 8].map(|last| (last, lab.nic.send(1, 1).unwrap()[5]));
    assert!(macs.iter().all(|(expected, sent)| expected == sent), "{macs:?}");
    lab.board.publish(Tables::default());
    lab.sender.begin_round();
    assert!(!lab.send(PEER, b"for the socket"));
    lab.ensure_no_frame_is_missing();
}

#[test]
fn what_is_longer_than_the_mtu_is_for_the_socket() {
    let mut lab = Lab::new();
    assert!(lab.send(PEER, &[0; 1500 - 28]));
    assert!(!lab.send(PEER, &[0; 1500 - 27]));
    lab.flush();
    lab.ensure_no_frame_is_missing();
}

#[test]
fn a_payload_leaves_in_the_frame_that_it_came_in() {
    let mut lab = Lab::new();
    let came: Vec<u8> = (0..200).collect();
    assert_eq!(lab.nic.deliver(0, 1, &came), Delivery::Received);
    let (mut packets, to) = (Vec::new(), Endpoint { remote: PEER.parse().unwrap(), local: None });
    assert_eq!(lab.xsk.receive(&mut packets), 1);
    let frame = packets.pop().unwrap().frame;
    let headers = lab.sender.headers(&to, 9000, 100).unwrap();
    lab.sender.pass_on(frame, 80, headers, (&mut lab.xsk, &lab.counters)).unwrap();
    assert!(lab.send(PEER, b"behind it"));
    lab.flush();
    let sent = lab.nic.send(1, 1).unwrap();
    let (headers, _) = parse(SliceCursor::new(&sent)).unwrap();
    assert_eq!(headers.source, "10.7.0.1:9000".parse().unwrap());
    assert_eq!(sent[headers.payload_at..], came[80..180]);
    assert!(lab.nic.send(1, 1).unwrap().ends_with(b"behind it"));
    lab.ensure_no_frame_is_missing();
}

#[test]
fn a_frame_without_room_for_the_headers_comes_back() {
    let mut lab = Lab::new();
    let mut frame = lab.xsk.allocate().unwrap();
    let last = frame.capacity();
    frame.renew(last);
    let to = Endpoint { remote: PEER.parse().unwrap(), local: None };
    let headers = lab.sender.headers(&to, 9000, 2).unwrap();
    let all = (&mut lab.xsk, &lab.counters);
    let frame = lab.sender.pass_on(frame, last - 1, headers, all).unwrap_err();
    assert_eq!(frame.bytes().len(), last, "it has changed");
    lab.xsk.return_frame(frame);
    lab.ensure_no_frame_is_missing();
}
