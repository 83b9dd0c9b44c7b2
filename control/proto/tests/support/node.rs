//! One node: its shards, its handshake machine, and the queues between them.

mod link;
mod threads;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use xdtls_common::DropReason;
use xdtls_common::id::{IdLayout, LocalId};
use xdtls_proto::association::CloseCause;
use xdtls_proto::handshakes::initiators::Initiators;
use xdtls_proto::handshakes::peers::Peers;
use xdtls_proto::handshakes::responders::Responders;
use xdtls_proto::handshakes::{Ended, Handshakes, OverloadChange, Start};
use xdtls_proto::paths::PathChange;
use xdtls_proto::shard::Shard;

use super::ancestry::Ancestry;
use super::forger::Known;
use super::mail::Mail;
use super::scripted::Scripted;
pub(crate) use link::LinkSide;
use threads::{ToHandshakes, ToWorker};

pub(crate) enum Machine {
    Answers(Box<Responders<Scripted>>),
    Opens(Box<Initiators<Scripted>>),
    Both(Box<Peers<Scripted, Scripted>>),
}

impl Machine {
    fn handshakes(&mut self) -> &mut dyn Handshakes {
        match self {
            Self::Answers(machine) => &mut **machine,
            Self::Opens(machine) => &mut **machine,
            Self::Both(machine) => &mut **machine,
        }
    }
}

/// How late a node's threads are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lag {
    /// From Install to the worker that reads it.
    pub(crate) install: Duration,
    /// From a worker's message to the handshake thread that reads it.
    pub(crate) handshakes: Duration,
    /// What a step of a handshake costs the handshake thread.
    pub(crate) step: Duration,
    /// From a worker's message to the task that keeps the links.
    pub(crate) link: Duration,
}

/// What has come out of a node.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) plaintext: Vec<(LocalId, Vec<u8>)>,
    pub(crate) closed: Vec<(LocalId, CloseCause)>,
    pub(crate) ended: Vec<Ended>,
    /// How ways to peers have changed.
    pub(crate) paths: Vec<PathChange>,
    pub(crate) overload: Vec<OverloadChange>,
    /// Associations that were given to a worker, in order.
    pub(crate) known: Vec<Known>,
    pub(crate) drops: BTreeMap<DropReason, u64>,
    pub(crate) handed_over: u64,
    /// Ids that were reserved for handshakes.
    pub(crate) reserved: u64,
    /// Datagrams that the handshakes gave to a worker.
    pub(crate) forwarded: u64,
    /// Which associations have taken the place of which.
    pub(crate) replaced: Vec<(LocalId, LocalId)>,
}

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) machine: Machine,
    pub(crate) shards: Vec<Shard>,
    pub(crate) lag: Lag,
    pub(crate) journal: Journal,
    /// All datagrams come to shard 0, as if nothing chose among the sockets.
    pub(crate) misdirected: bool,
    pub(crate) outbox: Vec<(SocketAddr, Vec<u8>)>,
    /// What its cookies are made of.
    pub(crate) secret: u64,
    /// The only link of a peer.
    pub(crate) link: Option<LinkSide>,
    pub(crate) ancestry: Ancestry,
    layout: IdLayout,
    to_workers: Vec<Mail<ToWorker>>,
    to_handshakes: Mail<ToHandshakes>,
    busy_until: Option<Instant>,
}

impl Node {
    pub(crate) fn new(
        address: SocketAddr,
        layout: IdLayout,
        machine: Machine,
        ancestry: Ancestry,
        shards: Vec<Shard>,
    ) -> Self {
        Self {
            address,
            machine,
            to_workers: shards.iter().map(|_| Mail::default()).collect(),
            shards,
            lag: Lag::default(),
            journal: Journal::default(),
            misdirected: false,
            outbox: Vec::new(),
            secret: 0,
            link: None,
            ancestry,
            layout,
            to_handshakes: Mail::default(),
            busy_until: None,
        }
    }

    pub(crate) fn begin(&mut self, now: Instant, start: Start) {
        self.to_handshakes.post(now, Duration::ZERO, ToHandshakes::Begin(now, start));
    }

    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.journal.drops.get(&reason).copied().unwrap_or(0)
    }

    /// What has taken the place of the first association, in the end.
    pub(crate) fn newest(&self) -> LocalId {
        let first = self.journal.known[0].local;
        self.line_of(first).last().unwrap_or(first)
    }

    /// An association, what has taken its place, and so on.
    pub(crate) fn line_of(&self, id: LocalId) -> impl Iterator<Item = LocalId> {
        let next = |id: &LocalId| {
            let mut replaced = self.journal.replaced.iter();
            replaced.find(|(old, _)| old == id).map(|(_, new)| *new)
        };
        std::iter::successors(Some(id), next)
    }

    /// Whether an association was to take the place of another, and has not done so.
    pub(crate) fn is_heir(&self, id: LocalId) -> bool {
        let mut known = self.journal.known.iter();
        known.any(|known| known.local == id && known.replaces.is_some())
            && self.journal.replaced.iter().all(|(_, new)| *new != id)
    }

    pub(crate) fn established(&self) -> usize {
        self.shards.iter().map(Shard::established).sum()
    }

    /// How many associations are half-open; a client does not tell.
    pub(crate) fn half_open(&self) -> usize {
        match &self.machine {
            Machine::Answers(machine) => machine.half_open(),
            Machine::Opens(_) => 0,
            Machine::Both(machine) => machine.half_open(),
        }
    }

    /// Whether it judges cookies.
    pub(crate) fn answers(&self) -> bool {
        !matches!(self.machine, Machine::Opens(_))
    }

    /// Messages that wait between the node's threads.
    pub(crate) fn queued(&self) -> usize {
        self.to_workers.iter().map(Mail::len).sum::<usize>() + self.to_handshakes.len()
    }

    pub(crate) fn send(&mut self, now: Instant, id: LocalId, plaintext: &[u8]) {
        // As a worker does with what AF_XDP has brought, and with what it has read from a socket.
        self.with_shard(now, self.owner(id), |shard, out| match plaintext.len() % 2 {
            0 => shard.send(now, id, plaintext, out),
            _ => out.holding(plaintext, |out| shard.send_held(now, id, plaintext.len(), out)),
        });
    }

    /// Every peer is to hear from this node.
    pub(crate) fn announce(&mut self, now: Instant) {
        for index in 0..self.shards.len() {
            self.with_shard(now, index, |shard, out| shard.announce(now, out));
        }
    }

    pub(crate) fn close(&mut self, now: Instant, id: LocalId) {
        let cause = CloseCause::Local;
        self.with_shard(now, self.owner(id), |shard, out| shard.close(now, id, cause, out));
    }

    fn owner(&self, id: LocalId) -> usize {
        self.layout.shard_of(id.value()) as usize
    }
}
