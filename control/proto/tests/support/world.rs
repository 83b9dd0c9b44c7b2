//! A gateway, its clients, the network between them, and the clock, which jumps to whatever comes
//! next.

mod hellos;
mod peers;
mod setup;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use xdtls_common::cookie::CookieSecrets;
use xdtls_common::id::LocalId;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::handshakes::{Limits, Start};
use xdtls_proto::shard::ShardCounters;

use super::foreign::Foreign;
use super::forger::Known;
use super::network::{Network, Packet};
use super::node::Node;
use super::rng::Rng;
use super::scripted::Script;
pub(crate) use peers::Peer;
pub(crate) use setup::Setup;

pub(crate) const GATEWAY: usize = 0;
pub(crate) const CLIENT: usize = 1;

/// The other end.
pub(crate) const fn other(node: usize) -> usize {
    CLIENT + GATEWAY - node
}

/// The name of the identity that policy refuses, and where all others lead.
pub(crate) const NOBODY: &str = "nobody";
pub(crate) const ROUTE: u16 = 7;

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    pub(crate) foreign: Vec<Foreign>,
    pub(crate) network: Network,
    /// Datagrams that have arrived somewhere, altered as they were.
    pub(crate) arrived: Vec<Packet>,
    /// Cookie secrets by the period of the newest.
    rings: RefCell<BTreeMap<(u64, u32), Arc<CookieSecrets>>>,
    setup: Setup,
    start: Instant,
    rng: Rng,
    opened: u64,
}

impl World {
    /// Lets a client wish for an association with the gateway.
    pub(crate) fn open(&mut self, client: usize) -> u64 {
        self.opened += 1;
        let endpoint = Endpoint { remote: self.nodes[GATEWAY].address, local: None };
        self.nodes[client].begin(self.now, Start::Open(endpoint, self.opened));
        self.settle();
        self.opened
    }

    pub(crate) fn send(&mut self, node: usize, id: LocalId, plaintext: &[u8]) {
        self.nodes[node].send(self.now, id, plaintext);
        self.settle();
    }

    pub(crate) fn close(&mut self, node: usize, id: LocalId) {
        self.nodes[node].close(self.now, id);
        self.settle();
    }

    /// Lets a datagram arrive at `node` at once, whoever sent it.
    pub(crate) fn deliver(&mut self, node: usize, from: SocketAddr, datagram: Vec<u8>) {
        let front = self.nodes[node].answers().then(|| self.front_of(node));
        let to = self.nodes[node].address;
        self.arrived.push(Packet { from, to, bytes: datagram.clone() });
        self.nodes[node].receive(self.now, front.as_ref(), from, datagram);
        self.settle();
    }

    /// Lets everything happen that happens within `duration`.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
    }

    /// Lets the clock jump to what comes next, and that happen, if it happens before `end`; else to
    /// `end`. Whether anything has happened.
    pub(crate) fn step(&mut self, end: Instant) -> bool {
        self.settle();
        let foreign = self.foreign.iter().filter_map(|foreign| foreign.deadline(self.now));
        let deadlines = self.nodes.iter_mut().filter_map(Node::deadline).chain(foreign);
        let next = deadlines.chain(self.network.next()).min().filter(|next| *next <= end);
        self.now = next.unwrap_or(end);
        if let Some(packet) = self.network.take(self.now) {
            self.arrive(packet);
        }
        self.settle();
        next.is_some()
    }

    pub(crate) fn run_ms(&mut self, milliseconds: u64) {
        self.run(Duration::from_millis(milliseconds));
    }

    /// Runs until `condition` holds, at most for `limit`; whether it does.
    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> bool {
        let end = self.now + limit;
        while !condition(self) && self.now < end {
            self.run_ms(1);
        }
        condition(self)
    }

    /// Gives a node behind a NAT another address; what is sent to the old one is lost.
    pub(crate) fn rebind(&mut self, node: usize, address: SocketAddr) {
        self.nodes[node].address = address;
    }

    /// A packet comes to every node with its address: two clients may be behind one.
    fn arrive(&mut self, packet: Packet) {
        let there: Vec<_> =
            (0..self.nodes.len()).filter(|node| self.nodes[*node].address == packet.to).collect();
        for node in there {
            self.deliver(node, packet.from, packet.bytes.clone());
        }
        for foreign in self.foreign.iter_mut().filter(|foreign| foreign.address == packet.to) {
            foreign.receive(self.now, &packet.bytes);
        }
        self.settle();
    }

    fn settle(&mut self) {
        for node in &mut self.nodes {
            node.settle(self.now);
            for (to, bytes) in node.outbox.drain(..) {
                self.network.send(self.now, Packet { from: node.address, to, bytes });
            }
        }
        for foreign in &mut self.foreign {
            for bytes in foreign.settle(self.now) {
                let (from, to) = (foreign.address, foreign.gateway);
                self.network.send(self.now, Packet { from, to, bytes });
            }
        }
    }

    /// Opens an association and lets its handshake finish undisturbed.
    pub(crate) fn establish(&mut self, client: usize) {
        self.open(client);
        self.run_ms(200);
        assert_eq!(self.nodes[client].journal.ended.last().unwrap().outcome, Ok(()));
        assert_eq!(self.nodes[GATEWAY].journal.ended.last().unwrap().outcome, Ok(()));
    }

    /// A world whose client has an association with the gateway.
    pub(crate) fn established(setup: Setup, client: Script) -> Self {
        let mut world = Self::new(setup, client);
        world.establish(CLIENT);
        world
    }

    /// Lets a datagram arrive at the node at the other end of the client's association, as if this
    /// end had sent it.
    pub(crate) fn deliver_from(&mut self, node: usize, datagram: Vec<u8>) {
        let from = self.nodes[node].address;
        self.deliver(other(node), from, datagram);
    }

    /// The newest association of a node.
    pub(crate) fn known(&self, node: usize) -> &Known {
        self.nodes[node].journal.known.last().unwrap()
    }

    /// The id of the newest association of a node.
    pub(crate) fn id(&self, node: usize) -> LocalId {
        self.known(node).local
    }

    /// What a node has received, without ids.
    pub(crate) fn received(&self, node: usize) -> Vec<&[u8]> {
        let plaintext = &self.nodes[node].journal.plaintext;
        plaintext.iter().map(|(_, bytes)| &bytes[..]).collect()
    }

    /// What bounds the gateway's handshakes.
    pub(crate) fn limits(&self) -> &Limits {
        &self.setup.limits
    }

    /// How many associations are half-open at the gateway.
    pub(crate) fn half_open(&self) -> usize {
        self.nodes[GATEWAY].half_open()
    }

    /// All datagrams that a node has sent, lost or not.
    pub(crate) fn sent_by(&self, node: usize) -> impl Iterator<Item = &[u8]> {
        self.timed_sent_by(node).map(|(_, bytes)| bytes)
    }

    /// The same, each with its time as [`World::now_ms`].
    pub(crate) fn timed_sent_by(&self, node: usize) -> impl Iterator<Item = (u64, &[u8])> {
        let address = self.nodes[node].address;
        let sent = self.network.sent.iter().filter(move |(_, packet)| packet.from == address);
        sent.map(|(time, packet)| (self.ms_at(*time), &packet.bytes[..]))
    }

    /// Milliseconds between the beginning of the world and a moment.
    pub(crate) fn ms_at(&self, time: Instant) -> u64 {
        (time - self.start).as_millis() as u64
    }

    /// Milliseconds since the world began.
    pub(crate) fn now_ms(&self) -> u64 {
        (self.now - self.start).as_millis() as u64
    }

    /// What a node's only shard has done.
    pub(crate) fn counters(&self, node: usize) -> ShardCounters {
        self.nodes[node].shards[0].counters()
    }
}
