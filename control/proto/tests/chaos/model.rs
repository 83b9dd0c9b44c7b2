//! The reference model: it knows what was asked for and what went over the network, and says what
//! the nodes may have made of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use xdtls_common::client_hello::{ClientHello, CookieField};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::hello_verify::HELLO_VERIFY_LEN;
use xdtls_common::id::LocalId;
use xdtls_common::prefix::PREFIX_LEN;
use xdtls_common::record::HEADER_LEN;
use xdtls_proto::association::CloseCause;

use super::reach::Reach;
use crate::support::messages::HELLO_VERIFY_REQUEST;
use crate::support::network::Packet;
use crate::support::world::{GATEWAY, World};

/// Messages that may wait between the threads of a node.
const QUEUED_MAX: usize = 1000;

/// What the threads of a node may add to the time of a handshake.
const TARDY: Duration = Duration::from_millis(200);

type Cookie = [u8; 12];

/// A datagram of plaintext, which no other is like: who has sent it, on which association.
type Sent = HashMap<Vec<u8>, (usize, LocalId)>;

#[derive(Default)]
pub(super) struct Model {
    /// Plaintexts that have been delivered.
    pub(super) delivered: u64,
    /// Associations that have been established, at either end.
    pub(super) established: usize,
    under_way: Sent,
    /// Cookies that the gateway has given out, and to whom.
    cookies: HashSet<(SocketAddr, u32, Cookie)>,
    /// ClientHellos with such a cookie that have come to the gateway.
    hellos: HashSet<(SocketAddr, u32, [u8; 32])>,
    /// Associations that were closed by those who use them.
    closed: BTreeSet<(usize, LocalId)>,
    /// How much of each journal has been looked at.
    read: BTreeMap<usize, Read>,
    wishes: BTreeMap<usize, usize>,
    reach: Reach,
}

#[derive(Clone, Copy, Default)]
struct Read {
    plaintext: usize,
    closed: usize,
    known: usize,
}

impl Model {
    pub(super) fn undelivered(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn opens(&mut self, node: usize) {
        *self.wishes.entry(node).or_default() += 1;
    }

    pub(super) fn sends(&mut self, node: usize, id: LocalId, plaintext: Vec<u8>) {
        self.under_way.insert(plaintext, (node, id));
    }

    pub(super) fn closes(&mut self, node: usize, id: LocalId) {
        self.closed.insert((node, id));
    }

    /// A datagram has gone out.
    fn leaves(&mut self, world: &World, packet: &Packet) {
        let verify_request = packet.from == world.nodes[GATEWAY].address
            && packet.bytes.len() == HELLO_VERIFY_LEN
            && packet.bytes[PREFIX_LEN + HEADER_LEN] == HELLO_VERIFY_REQUEST;
        if verify_request {
            let client = u32::from_be_bytes(packet.bytes[4..8].try_into().unwrap());
            let cookie = packet.bytes[HELLO_VERIFY_LEN - 12..].try_into().unwrap();
            self.cookies.insert((packet.to, client, cookie));
        }
    }

    /// A datagram has come to the gateway.
    fn comes(&mut self, packet: &Packet) {
        let Some((prefix, records)) = packet.bytes.split_at_checked(PREFIX_LEN) else { return };
        let client = u32::from_be_bytes(prefix[..4].try_into().unwrap());
        let Ok(hello) = ClientHello::parse(&mut SliceCursor::new(records)) else { return };
        if let CookieField::Cookie(cookie) = hello.cookie
            && prefix[4..] == [0; 4]
            && self.cookies.contains(&(packet.from, client, cookie))
        {
            self.hellos.insert((packet.from, client, hello.random));
        }
    }

    /// Compares the world with what may be.
    pub(super) fn check(&mut self, world: &mut World) {
        let arrived = std::mem::take(&mut world.arrived);
        // What leaves may be the answer to what has come.
        arrived.iter().for_each(|packet| self.reach.comes(world, packet));
        for (_, packet) in std::mem::take(&mut world.network.sent) {
            self.reach.leaves(world, &packet);
            self.leaves(world, &packet);
        }
        for packet in arrived {
            if packet.to == world.nodes[GATEWAY].address {
                self.comes(&packet);
            }
        }
        let begun = world.nodes[GATEWAY].journal.reserved;
        let hellos = self.hellos.len();
        assert!(begun <= hellos as u64, "{begun} handshakes for {hellos} good cookies");
        for node in 0..world.nodes.len() {
            self.check_deliveries(world, node);
            self.check_closings(world, node);
            self.check_bounds(world, node);
            self.reach.check(world, node);
        }
    }

    /// Whatever comes out has gone in at the other end, in this form, and not come out before.
    fn check_deliveries(&mut self, world: &World, node: usize) {
        let read = self.read.entry(node).or_default();
        let journal = &world.nodes[node].journal;
        self.established += journal.known.len() - read.known;
        read.known = journal.known.len();
        for (id, plaintext) in &journal.plaintext[read.plaintext..] {
            let Some((sender, from)) = self.under_way.remove(plaintext) else {
                panic!("node {node} delivers what nobody has sent, or has delivered it before");
            };
            let there = world.nodes[sender].journal.known.iter().find(|known| known.local == from);
            let peer = LocalId::new(there.unwrap().peer.value()).unwrap();
            let own = world.nodes[node].line_of(peer).any(|own| own == *id);
            assert!(own, "delivered to somebody else's association");
            self.delivered += 1;
        }
        read.plaintext = journal.plaintext.len();
    }

    /// No association ends but for a cause.
    fn check_closings(&mut self, world: &World, node: usize) {
        let read = self.read.entry(node).or_default();
        let journal = &world.nodes[node].journal;
        for (id, cause) in &journal.closed[read.closed..] {
            let explained = match cause {
                CloseCause::Local => {
                    let mut line = world.nodes[node].line_of(*id);
                    line.any(|id| self.closed.contains(&(node, id)))
                        || world.nodes[node].is_heir(*id)
                }
                CloseCause::Replaced => journal.replaced.iter().any(|(old, _)| old == id),
                CloseCause::PeerClosed => {
                    world.nodes[node].line_of(*id).any(|id| peer_has_closed(world, node, id))
                }
                CloseCause::Dead => node != GATEWAY,
                CloseCause::PeerAlert(_) | CloseCause::KeysWorn => false,
                _ => true,
            };
            assert!(explained, "node {node}, {id}: {cause:?}");
        }
        read.closed = journal.closed.len();
    }

    fn check_bounds(&self, world: &mut World, index: usize) {
        let (limits, now) = (world.limits().clone(), world.now);
        let node = &mut world.nodes[index];
        assert!(node.half_open() <= limits.half_open);
        assert!(node.queued() <= QUEUED_MAX, "node {index}: {} messages", node.queued());
        let wishes = self.wishes.get(&index).copied().unwrap_or_default();
        let ended = node.journal.ended.iter().filter(|ended| ended.replaces.is_none()).count();
        assert!(index == GATEWAY || ended <= wishes, "node {index} has ended a wish twice");
        let took = node.journal.ended.last().map_or(Duration::ZERO, |ended| ended.took);
        assert!(took <= limits.deadline + TARDY, "node {index}: a handshake took {took:?}");
        let pending = if index == GATEWAY { node.half_open() } else { wishes - ended };
        let deadline = node.deadline();
        assert!(pending == 0 || deadline.is_some(), "node {index}: nothing is awaited");
        assert!(deadline.is_none_or(|deadline| deadline > now), "node {index} is late");
    }
}

/// Whether the other end of an association has ended it.
fn peer_has_closed(world: &World, node: usize, id: LocalId) -> bool {
    let known = world.nodes[node].journal.known.iter().find(|known| known.local == id).unwrap();
    let peer = known.peer.value();
    let others = world.nodes.iter().enumerate().filter(|(other, _)| *other != node);
    others.flat_map(|(_, other)| &other.journal.closed).any(|(closed, _)| closed.value() == peer)
}
