use std::io;
use std::net::SocketAddr;

use xdtls_common::cursor::SliceCursor;
use xdtls_common::frame::parse;
use xdtls_common::id::IdLayout;
use xdtls_proto::association::CloseCause;

use super::*;
use crate::counters::{Place, Totals};
use crate::datapath::next_hops::tables::{Address, Device, Neighbour, Route, Tables, Way};
use crate::datapath::next_hops::{Board, NextHops};
use crate::datapath::sides::{INSIDE, OUTSIDE, Transmits};
use crate::datapath::socket::{Batch, Channel};
use crate::inside::{Arrival, FlowEnds, Token};
use crate::xsk::{Delivery, RxPacket, SimulatedNic, XskSet};

const FLOW: &str = "10.7.0.1:40000";
const BACKEND: &str = "10.7.0.2:9000";
/// What the frame that is received consists of.
const CAME: [u8; 300] = [0xa5; 300];
/// Some of it.
const PART: Range<usize> = 100..220;

/// An inside with one flow, whose sockets take whatever is not for AF_XDP.
#[derive(Default)]
struct OneFlow {
    by_socket: Vec<Vec<u8>>,
    settled: usize,
}

impl Inside for OneFlow {
    fn established(&mut self, _: Instant, _: &Arrival) {}
    fn failed(&mut self, _: u64, _: &str) {}
    fn replaced(&mut self, _: Instant, _: LocalId, _: LocalId) {}
    fn closed(&mut self, _: Instant, _: LocalId, _: CloseCause) {}

    fn plaintext(&mut self, _: Instant, _: LocalId, plaintext: &[u8]) {
        self.by_socket.push(plaintext.to_vec());
    }

    fn flush(&mut self) {}

    fn receive(&mut self, _: Token, _: &mut Batch) -> io::Result<()> {
        Ok(())
    }

    fn owner(&mut self, _: Instant, _: Token, _: SocketAddr, _: &[u8]) -> Option<LocalId> {
        None
    }

    fn way_out(&mut self, _: Instant, _: LocalId) -> Option<FlowEnds> {
        Some(FlowEnds { local: FLOW.parse().unwrap(), backend: BACKEND.parse().unwrap() })
    }

    fn settle(&mut self, _: LocalId) {
        self.settled += 1;
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _: Instant) {}
}

/// A way to the backend through AF_XDP.
fn tables() -> Tables {
    let address = |host| [10, 7, 0, host].into();
    let way = Some(Way { device: 5, gateway: None, source: None });
    Tables::new(
        vec![Device { index: 5, mac: [1; 6], vlan: None, mtu: 1500 }],
        vec![Route { network: address(0), prefix_len: 24, metric: 0, way }],
        vec![Address { device: 5, address: address(1), preferred: true }],
        vec![Neighbour { device: 5, address: address(2), mac: [2; 6], stale: false }],
    )
}

struct Lab {
    set: XskSet,
    nic: SimulatedNic,
    outside: Outside,
    inside: OneFlow,
    counters: Counters,
}

impl Lab {
    /// One queue at each side; AF_XDP transmits if there is a way.
    fn new(tables: Tables) -> Self {
        let (mut set, nic) = SimulatedNic::several(&[1, 1], 1, &SimulatedNic::OPTIONS).unwrap();
        let board = Board::default();
        board.publish(tables);
        let hops = Some(NextHops::of(&board));
        let transmits = Transmits { outside: hops.clone(), inside: hops };
        let channel = Channel::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let outside = Outside::new(channel, set.take_shards().pop(), transmits).unwrap();
        let counters = Counters::new(Place::Worker);
        Self { set, nic, outside, inside: OneFlow::default(), counters }
    }

    fn receive(&mut self, side: usize) -> Frame {
        assert_eq!(self.nic.deliver(side, 0, &CAME), Delivery::Received);
        let mut packets = Vec::new();
        assert_eq!(self.outside.receive_fast(&mut packets), 1);
        let RxPacket { nic, frame, .. } = packets.pop().unwrap();
        assert_eq!(nic, side);
        frame
    }

    fn with_output<R>(&mut self, act: impl FnOnce(&mut WorkerOutput<'_, OneFlow>) -> R) -> R {
        let layout = IdLayout::for_capacity(64, 1).unwrap();
        let (pool, _mail) = Pool::new(1, layout, 64).unwrap();
        let mut out = WorkerOutput {
            now: Instant::now(),
            inside: &mut self.inside,
            outside: &mut self.outside,
            workers: &[],
            pool: &pool,
            counters: &self.counters,
            associations: None,
            at_hand: None,
            kept: &mut Vec::new(),
            held: None,
        };
        let outcome = act(&mut out);
        self.outside.flush(&self.counters);
        self.outside.service();
        outcome
    }

    /// Opens these parts of a frame that comes in outside.
    fn open(&mut self, parts: &[Range<usize>]) {
        let mut frame = self.receive(OUTSIDE);
        for (number, part) in (1..).zip(parts) {
            frame.bytes_mut()[part.clone()].fill(number);
        }
        self.with_output(|out| {
            out.take_in_hand(&frame);
            for part in parts {
                out.plaintext(LocalId::new(7).unwrap(), &frame.bytes()[part.clone()]);
            }
            out.let_go(frame);
        });
    }

    /// Writes ten bytes before and ten behind a part of a frame that comes in inside.
    fn surround(&mut self, part: Range<usize>) {
        let to = Endpoint { remote: "10.7.0.2:4000".parse().unwrap(), local: None };
        let mut frame = self.receive(INSIDE);
        frame.bytes_mut()[part.clone()].fill(7);
        self.with_output(|out| {
            let length = 10 + part.len() + 10;
            out.held = Some((frame, part.clone()));
            let room = out.datagram_around(&to, length, 10).unwrap();
            assert_eq!(
                (room.len(), &room[10..10 + part.len()]),
                (length, &vec![7; part.len()][..])
            );
            room[..10].fill(1);
            room[10 + part.len()..].fill(2);
            out.release();
        });
    }

    /// The payloads that have left to the backend.
    fn sent(&mut self) -> Vec<Vec<u8>> {
        let sent: Vec<_> = std::iter::from_fn(|| self.nic.send(INSIDE, 0)).collect();
        let payload = |frame: &Vec<u8>| {
            let (headers, _) = parse(SliceCursor::new(frame)).unwrap();
            assert_eq!(headers.source, FLOW.parse().unwrap());
            assert_eq!(headers.destination, BACKEND.parse().unwrap());
            frame[headers.payload_at..].to_vec()
        };
        self.ensure_no_frame_is_missing();
        sent.iter().map(payload).collect()
    }

    fn ensure_no_frame_is_missing(&mut self) {
        self.outside.service();
        let account = self.set.account();
        assert_eq!((account.total(), account.held), (self.set.frames() as i64, 0), "{account:?}");
    }
}

#[test]
fn plaintext_leaves_in_the_frame_that_brought_it() {
    let mut lab = Lab::new(tables());
    lab.open(&[PART]);
    assert_eq!(lab.sent(), [vec![1; 120]]);
    assert_eq!((lab.inside.by_socket.len(), lab.inside.settled), (0, 1));
    assert_eq!(Totals::of([&lab.counters], None).fast_path_inside_sent, 1);
}

#[test]
fn several_plaintexts_of_a_frame_leave_in_their_order() {
    let mut lab = Lab::new(tables());
    lab.open(&[90..100, 130..131, 160..160, 200..300]);
    assert_eq!(lab.sent(), [vec![1; 10], vec![2; 1], vec![], vec![4; 100]]);
}

#[test]
fn a_frame_without_plaintext_comes_back() {
    let mut lab = Lab::new(tables());
    lab.open(&[]);
    assert_eq!(lab.sent(), [[0; 0]; 0]);
}

#[test]
fn without_a_way_the_socket_takes_it() {
    let mut lab = Lab::new(Tables::default());
    lab.open(&[PART]);
    assert_eq!(lab.sent(), [[0; 0]; 0]);
    assert_eq!((lab.inside.by_socket, lab.inside.settled), (vec![vec![1; 120]], 0));
}

#[test]
fn a_datagram_is_made_around_what_a_frame_holds() {
    let mut lab = Lab::new(tables());
    lab.surround(60..100);
    let frame = lab.nic.send(OUTSIDE, 0).unwrap();
    let (headers, _) = parse(SliceCursor::new(&frame)).unwrap();
    let expected = [vec![1; 10], vec![7; 40], vec![2; 10]].concat();
    assert_eq!(frame[headers.payload_at..], expected);
    lab.ensure_no_frame_is_missing();
}

#[test]
fn what_does_not_fit_around_is_copied() {
    // Less stands before the part than goes there.
    let mut lab = Lab::new(tables());
    lab.surround(5..45);
    let frame = lab.nic.send(OUTSIDE, 0).unwrap();
    assert!(frame.ends_with(&[vec![1; 10], vec![7; 40], vec![2; 10]].concat()));
    lab.ensure_no_frame_is_missing();
    // The socket's run.
    let mut lab = Lab::new(Tables::default());
    lab.surround(60..100);
    assert_eq!(lab.nic.send(OUTSIDE, 0), None);
    lab.ensure_no_frame_is_missing();
}
