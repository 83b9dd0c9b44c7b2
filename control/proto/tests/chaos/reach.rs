//! What the model knows of addresses: where each end of an association has shown that it receives,
//! and how much may be sent elsewhere.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use xdtls_common::cursor::SliceCursor;
use xdtls_common::id::LocalId;
use xdtls_common::path_message::PathMessage;
use xdtls_common::prefix::Prefix;
use xdtls_common::record::content_type::RETURN_ROUTABILITY_CHECK;

use crate::support::forger::Known;
use crate::support::network::Packet;
use crate::support::world::World;

/// How many times what has come from somewhere may be sent there without proof.
const TRUST: u64 = 3;

/// An association at one of its ends.
type End = (usize, LocalId);

#[derive(Default)]
pub(super) struct Reach {
    /// Authentic records that have come, so that none counts twice.
    seen: HashSet<(End, u64)>,
    received: HashMap<(End, SocketAddr), u64>,
    sent: HashMap<(End, SocketAddr), u64>,
    /// Cookies of challenges, and where they were sent.
    asked: HashSet<(End, SocketAddr, [u8; 8])>,
    /// Where the peer has answered a challenge or finished its handshake.
    proved: HashSet<(End, SocketAddr)>,
}

/// What a node knows of the association that a datagram from it or for it belongs to.
fn known_by(world: &World, node: usize, local: u32, peer: u32) -> Option<&Known> {
    let known = world.nodes[node].journal.known.iter().rev();
    known.into_iter().find(|known| known.local.value() == local && known.peer.value() == peer)
}

fn prefix(packet: &Packet) -> Option<Prefix> {
    Prefix::parse(&mut SliceCursor::new(&packet.bytes)).ok()
}

fn path_message(content_type: u8, body: &[u8]) -> Option<PathMessage> {
    let message = PathMessage::parse(body).ok();
    message.filter(|_| content_type == RETURN_ROUTABILITY_CHECK)
}

impl Reach {
    /// A datagram has come.
    pub(super) fn comes(&mut self, world: &World, packet: &Packet) {
        let Some(prefix) = prefix(packet) else { return };
        for node in 0..world.nodes.len() {
            let known = known_by(world, node, prefix.receiver, prefix.sender);
            let Some(known) = known.filter(|_| world.nodes[node].address == packet.to) else {
                continue;
            };
            let end = (node, known.local);
            for (content_type, sequence, body) in known.open(&packet.bytes) {
                if !self.seen.insert((end, sequence)) {
                    continue;
                }
                let bytes = known.suite.aead().record_overhead() + body.len();
                *self.received.entry((end, packet.from)).or_default() += bytes as u64;
                if let Some(PathMessage::Response(cookie)) = path_message(content_type, &body)
                    && self.asked.contains(&(end, packet.from, cookie))
                {
                    self.proved.insert((end, packet.from));
                }
            }
        }
    }

    /// A datagram has gone out: to where the peer receives, or so little that it may be a trap.
    pub(super) fn leaves(&mut self, world: &World, packet: &Packet) {
        let Some(prefix) = prefix(packet) else { return };
        for node in 0..world.nodes.len() {
            let known = known_by(world, node, prefix.sender, prefix.receiver);
            let Some(known) = known.filter(|_| world.nodes[node].address == packet.from) else {
                continue;
            };
            let end = (node, known.local);
            for (content_type, body) in known.reveal(&packet.bytes) {
                if let Some(PathMessage::Challenge(cookie)) = path_message(content_type, &body) {
                    self.asked.insert((end, packet.to, cookie));
                }
            }
            if known.remote == packet.to || self.proved.contains(&(end, packet.to)) {
                continue;
            }
            let sent = self.sent.entry((end, packet.to)).or_default();
            *sent += packet.bytes.len() as u64;
            let received = self.received.get(&(end, packet.to)).copied().unwrap_or_default();
            assert!(*sent <= TRUST * received, "{node} sends {sent} for {received}");
        }
    }

    /// Where a node believes its peer to receive, the peer has shown that it does.
    pub(super) fn check(&self, world: &mut World, node: usize) {
        let now = world.now;
        let Some(known) = world.nodes[node].journal.known.last() else { return };
        let (local, home) = (known.local, known.remote);
        let mut shards = world.nodes[node].shards.iter_mut();
        if let Some(view) = shards.find_map(|shard| shard.look(now, local)) {
            let remote = view.endpoint.remote;
            let proved = remote == home || self.proved.contains(&((node, local), remote));
            assert!(proved, "node {node} believes {remote}");
        }
    }
}
