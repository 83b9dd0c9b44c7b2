//! One end with everything but sockets and threads: a shard, a handshake machine with real engines,
//! and what has come out of them. Messages between the two arrive at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use xdtls_common::DropReason;
use xdtls_common::cookie::{CookieSecrets, SECRETS};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::id::{IdLayout, LocalId};
use xdtls_common::prefix::Prefix;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::failure::Failure;
use xdtls_proto::handshakes::{Action, Ended, Handshakes, Start};
use xdtls_proto::rekey::RekeyLimits;
use xdtls_proto::shard::{Front, Output, ReplyLimits, Shard, ShardConfig, ShardEvent};

/// Slots of each end.
pub(super) const CAPACITY: u32 = 64;

#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// What has come out of an end, and what its shard puts out during one call.
#[derive(Default)]
pub(super) struct Journal {
    pub(super) plaintext: Vec<Vec<u8>>,
    pub(super) ended: Vec<Ended>,
    pub(super) closed: Vec<LocalId>,
    /// The ids of associations that were given to the shard.
    pub(super) installed: Vec<LocalId>,
    /// Ids that were reserved and neither installed nor given up yet.
    pub(super) half_open: BTreeSet<LocalId>,
    pub(super) retries: Vec<Failure>,
    pub(super) drops: BTreeMap<DropReason, u64>,
    outbox: Vec<(SocketAddr, Vec<u8>)>,
    events: Vec<ShardEvent>,
}

impl Output for Journal {
    fn datagram(&mut self, to: &Endpoint, length: usize) -> Option<&mut [u8]> {
        self.outbox.push((to.remote, vec![0; length]));
        self.outbox.last_mut().map(|(_, room)| &mut room[..])
    }

    fn plaintext(&mut self, _: LocalId, plaintext: &[u8]) {
        self.plaintext.push(plaintext.to_vec());
    }

    fn event(&mut self, event: ShardEvent) {
        self.events.push(event);
    }

    fn count(&mut self, reason: DropReason) {
        *self.drops.entry(reason).or_default() += 1;
    }
}

pub(super) struct End {
    pub(super) address: SocketAddr,
    pub(super) journal: Journal,
    shard: Shard,
    machine: Box<dyn Handshakes>,
}

impl End {
    pub(super) fn new(address: SocketAddr, machine: Box<dyn Handshakes>) -> Self {
        let layout = IdLayout::for_capacity(CAPACITY, 1).unwrap();
        let config = ShardConfig {
            capacity: CAPACITY,
            layout,
            index: 0,
            path_mtu: 1500,
            idle_timeout: None,
            rekey: RekeyLimits::default(),
            cached_keys: 4,
        };
        let shard = Shard::new(config, Box::new(|| 7));
        Self { address, journal: Journal::default(), shard, machine }
    }

    pub(super) fn open(&mut self, now: Instant, gateway: SocketAddr) {
        let endpoint = Endpoint { remote: gateway, local: None };
        self.machine.begin(now, Start::Open(endpoint, 1));
        self.carry_out(now);
    }

    pub(super) fn receive(&mut self, now: Instant, packet: &Packet) {
        let secrets = Arc::new(CookieSecrets::new([[1, 2]; SECRETS]));
        let (local_port, limits) = (self.address.port(), ReplyLimits::NONE);
        let front = Front { secrets, now_s: 1000, local_port, limits };
        let from = Endpoint { remote: packet.from, local: Some(self.address.ip()) };
        let mut bytes = packet.bytes.clone();
        self.shard.receive(now, Some(&front), from, &mut bytes, &mut self.journal);
        self.carry_out(now);
    }

    pub(super) fn send(&mut self, now: Instant, plaintext: &[u8]) {
        let id = *self.journal.installed.last().unwrap();
        self.shard.send(now, id, plaintext, &mut self.journal);
    }

    pub(super) fn close(&mut self, now: Instant) {
        self.shard.close_all(now, &mut self.journal);
        self.carry_out(now);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.shard.handle_timeout(now, &mut self.journal);
        self.machine.handle_timeout(now);
        self.carry_out(now);
    }

    pub(super) fn handshake_deadline(&self) -> Option<Instant> {
        self.machine.deadline()
    }

    pub(super) fn established(&self) -> usize {
        self.shard.established()
    }

    pub(super) fn take_sent(&mut self) -> Vec<Packet> {
        let from = self.address;
        let sent = std::mem::take(&mut self.journal.outbox);
        sent.into_iter().map(|(to, bytes)| Packet { from, to, bytes }).collect()
    }

    /// Lets shard and machine answer each other until neither has anything to say.
    fn carry_out(&mut self, now: Instant) {
        loop {
            while let Some(action) = self.machine.poll_action() {
                self.act(now, action);
            }
            let events = std::mem::take(&mut self.journal.events);
            if events.is_empty() {
                return;
            }
            events.into_iter().for_each(|event| self.tell(now, event));
        }
    }

    fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::Transmit(to, datagram) => self.journal.outbox.push((to.remote, datagram)),
            Action::Reserve(id, peer) => {
                self.journal.half_open.insert(id);
                self.shard.reserve(id, peer);
            }
            Action::Install(installation) => {
                self.journal.installed.push(installation.local);
                self.shard.install(now, *installation, &mut self.journal);
            }
            Action::Forward(_, from, mut datagram) => {
                self.shard.receive(now, None, from, &mut datagram, &mut self.journal);
            }
            Action::Rest(id) => {
                self.journal.half_open.remove(&id);
                self.shard.rest(id);
            }
            Action::Forget(id) => self.shard.release(id),
            Action::Count(reason) => self.journal.count(reason),
            Action::Retrying(failure) => self.journal.retries.push(failure),
            Action::Ended(ended) => self.journal.ended.push(ended),
            // Real time passes here, and a busy machine may well be overloaded.
            Action::Overload(_) => {}
        }
    }

    fn tell(&mut self, now: Instant, event: ShardEvent) {
        match event {
            ShardEvent::Hello(hello) => self.machine.begin(now, Start::Answer(hello)),
            ShardEvent::Handshake(id, from, datagram) => {
                self.machine.datagram(now, id, from, datagram);
            }
            ShardEvent::Installed(id, _) => {
                self.journal.half_open.remove(&id);
                self.machine.acknowledge(now, id);
            }
            ShardEvent::Closed(id, _) => {
                self.journal.closed.push(id);
                self.machine.release(now, id);
            }
            ShardEvent::Proven(_) => panic!("nobody has asked for a proof"),
            ShardEvent::Path(_, change) => panic!("nobody moves: {change:?}"),
            ShardEvent::OtherShard(..) => panic!("there is one shard"),
            ShardEvent::Rekey(_) | ShardEvent::Replaced { .. } => panic!("no key is worn"),
        }
    }
}

/// The ids before a datagram's records; zeros where it is too short for them.
pub(super) fn prefix_of(datagram: &[u8]) -> Prefix {
    let parsed = Prefix::parse(&mut SliceCursor::new(datagram));
    parsed.unwrap_or(Prefix { sender: 0, receiver: 0 })
}
