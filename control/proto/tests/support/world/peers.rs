//! Worlds of two peers with one link between them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use xdtls_proto::convergence::Link;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::engine::PeerIdentity;
use xdtls_proto::handshakes::RoutePolicy;
use xdtls_proto::handshakes::initiators::Initiators;
use xdtls_proto::handshakes::peers::Peers;
use xdtls_proto::handshakes::responders::Responders;
use xdtls_proto::ids::IdAllocator;
use xdtls_proto::policy::Refusal;

use super::{ROUTE, Setup, World};
use crate::support::ancestry::Ancestry;
use crate::support::engine::key_of;
use crate::support::node::{LinkSide, Machine, Node};
use crate::support::scripted::{Script, Scripted};

/// How a peer is made.
#[derive(Clone)]
pub(crate) struct Peer {
    /// What its certificate is made out to; the order of names is the order of keys.
    pub(crate) name: &'static str,
    /// Whom it expects at the other end.
    pub(crate) expects: &'static str,
    /// Where it believes the other end to be.
    pub(crate) towards: SocketAddr,
    pub(crate) address: SocketAddr,
    /// Whether it knows the other's key beforehand.
    pub(crate) knows_key: bool,
    /// Whether it opens, and how long after it has begun.
    pub(crate) opens: bool,
    pub(crate) opens_after: Duration,
}

impl Peer {
    /// The two ends of a link: of their keys that of `alpha` is the smaller.
    pub(crate) fn pair() -> [Self; 2] {
        let addresses = ["192.0.2.1:4433", "192.0.2.2:4433"].map(|text| text.parse().unwrap());
        let names = ["alpha", "beta"];
        [0, 1].map(|end| Self {
            name: names[end],
            expects: names[1 - end],
            address: addresses[end],
            towards: addresses[1 - end],
            knows_key: false,
            opens: true,
            opens_after: Duration::ZERO,
        })
    }
}

impl World {
    /// Peers, which begin with the world's next step.
    pub(crate) fn of_peers(setup: Setup, peers: &[Peer]) -> Self {
        let mut world = Self::empty(setup);
        for peer in peers {
            let node = world.peer(peer);
            world.nodes.push(node);
        }
        world
    }

    /// A peer's process ends without a word, and another begins in its place.
    pub(crate) fn restart(&mut self, node: usize, peer: &Peer) -> Node {
        let new = self.peer(peer);
        let old = std::mem::replace(&mut self.nodes[node], new);
        self.settle();
        old
    }

    fn peer(&mut self, peer: &Peer) -> Node {
        let (capacity, script) = (self.setup.capacity, Script::new(peer.name));
        let ids = IdAllocator::new(self.layout(capacity), 0..capacity);
        let limits = self.setup.limits.clone();
        let ancestry = Ancestry::default();
        let (own, expected) = (key_of(peer.name), key_of(peer.expects));
        let policy = |own: [u8; 32], expects: &'static str| -> RoutePolicy {
            Box::new(move |identity: &PeerIdentity| {
                let is_peer = identity.names == [expects] && identity.spki_sha256 != own;
                is_peer.then_some(ROUTE).ok_or(Refusal::NoRule)
            })
        };
        let responders = Responders::new(
            Scripted::new(script.clone(), self.rng.fork()),
            ids.clone(),
            limits.clone(),
            policy(own, peer.expects),
            self.rng.fork().source(),
        )
        .with_ancestors(ancestry.lookup());
        let towards = Endpoint { remote: peer.towards, local: None };
        let engines = Scripted::new(script, self.rng.fork());
        let initiators = Initiators::new(engines, ids, limits, self.rng.fork().source())
            .with_addresses([towards])
            .with_ancestors(ancestry.lookup())
            .with_policy(policy(own, peer.expects));
        let mut machine = Peers::new(responders, own, ROUTE);
        machine.add_link(initiators, peer.knows_key.then_some(expected));
        let link = Link::new(self.now + peer.opens_after, 0, peer.opens, self.rng.fork().source());
        let (machine, rekey) = (Machine::Both(Box::new(machine)), self.setup.rekey);
        let mut node = self.node(peer.address, machine, ancestry, (capacity, rekey));
        node.secret = self.rng.next();
        node.link = Some(LinkSide::new(link, towards));
        node
    }

    /// The local program of a peer sends to the other's.
    pub(crate) fn send_by_link(&mut self, node: usize, plaintext: &[u8]) {
        self.nodes[node].send_by_link(self.now, plaintext);
        self.settle();
    }

    /// Whether each peer has one association, and both the same.
    pub(crate) fn has_converged(&self) -> bool {
        let [one, other] = [0, 1].map(|node| {
            let node = &self.nodes[node];
            let current = node.link.as_ref().and_then(|side| side.link.current());
            let known = node.journal.known.iter().find(|known| Some(known.local) == current);
            let alone = node.established() == 1 && node.half_open() == 0;
            known.filter(|_| alone).map(|known| (known.local.value(), known.peer.value()))
        });
        one.is_some() && one == other.map(|(local, peer)| (peer, local))
    }

    /// Runs until the peers have one association, at most for `limit`.
    pub(crate) fn converge(&mut self, limit: Duration) {
        let end: Instant = self.now + limit;
        while !self.has_converged() {
            let states: Vec<_> =
                self.nodes.iter().map(|node| (node.established(), node.half_open())).collect();
            assert!(self.now < end, "not converged within {limit:?}: {states:?}");
            self.step(end);
        }
    }
}
