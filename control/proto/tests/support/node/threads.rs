//! What the threads of a node do: workers read their socket and their mail, the handshake thread its
//! mail and its clock. Actions are carried out and messages read as the program does it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use xdtls_common::DropReason;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::id::{LocalId, PeerId};
use xdtls_common::prefix::Prefix;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::handshakes::{Action, Installation, Start};
use xdtls_proto::shard::{Front, Output, Shard, ShardEvent};

use super::Node;
use super::link::LinkEvent;
use crate::support::forger::Known;
use crate::support::mail::Mail;

/// What others ask of a worker.
pub(super) enum ToWorker {
    Reserve(LocalId, Option<PeerId>),
    Install(Box<Installation>),
    Rest(LocalId),
    Forget(LocalId),
    Datagram(Endpoint, Vec<u8>),
    RekeyFailed(LocalId),
}

/// What a handshake thread is told.
pub(super) enum ToHandshakes {
    Begin(Instant, Start),
    Datagram(LocalId, Endpoint, Vec<u8>),
    Installed(Instant, LocalId),
    Closed(LocalId),
}

/// Collects what a shard puts out during one call.
#[derive(Default)]
pub(super) struct Collector {
    datagrams: Vec<(SocketAddr, Vec<u8>)>,
    plaintext: Vec<(LocalId, Vec<u8>)>,
    events: Vec<ShardEvent>,
    drops: Vec<DropReason>,
    held: Option<Vec<u8>>,
}

impl Collector {
    /// Holds plaintext while something is done.
    pub(super) fn holding(&mut self, plaintext: &[u8], act: impl FnOnce(&mut Self)) {
        self.held = Some(plaintext.to_vec());
        act(self);
        self.held = None;
    }
}

impl Output for Collector {
    fn datagram(&mut self, to: &Endpoint, length: usize) -> Option<&mut [u8]> {
        self.datagrams.push((to.remote, vec![0; length]));
        self.datagrams.last_mut().map(|(_, room)| &mut room[..])
    }

    fn datagram_around(&mut self, to: &Endpoint, length: usize, at: usize) -> Option<&mut [u8]> {
        let held = self.held.take()?;
        let room = self.datagram(to, length)?;
        room[at..at + held.len()].copy_from_slice(&held);
        Some(room)
    }

    fn plaintext(&mut self, id: LocalId, plaintext: &[u8]) {
        self.plaintext.push((id, plaintext.to_vec()));
    }

    fn event(&mut self, event: ShardEvent) {
        self.events.push(event);
    }

    fn count(&mut self, reason: DropReason) {
        self.drops.push(reason);
    }
}

impl Node {
    /// A datagram of the outside. `front` is a gateway's.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        front: Option<&Front>,
        from: SocketAddr,
        mut datagram: Vec<u8>,
    ) {
        let prefix = Prefix::parse(&mut SliceCursor::new(&datagram));
        let receiver = prefix.map_or(0, |prefix| prefix.receiver);
        let owner = self.layout.shard_of(receiver) as usize;
        let index = if self.misdirected { 0 } else { owner };
        // An answer to a flight must find the id reserved that was posted before the flight left.
        self.read_mail(now, index);
        let from = Endpoint { remote: from, local: Some(self.address.ip()) };
        self.with_shard(now, index, |shard, out| {
            shard.receive(now, front, from, &mut datagram, out);
        });
    }

    pub(super) fn with_shard(
        &mut self,
        now: Instant,
        index: usize,
        act: impl FnOnce(&mut Shard, &mut Collector),
    ) {
        let mut out = Collector::default();
        act(&mut self.shards[index], &mut out);
        self.outbox.extend(out.datagrams);
        self.journal.plaintext.extend(out.plaintext);
        out.drops.into_iter().for_each(|reason| self.count(reason));
        out.events.into_iter().for_each(|event| self.event(now, event));
    }

    fn count(&mut self, reason: DropReason) {
        *self.journal.drops.entry(reason).or_default() += 1;
    }

    fn event(&mut self, now: Instant, event: ShardEvent) {
        let message = match event {
            ShardEvent::Hello(hello) => ToHandshakes::Begin(now, Start::Answer(hello)),
            ShardEvent::Handshake(id, from, datagram) => ToHandshakes::Datagram(id, from, datagram),
            ShardEvent::Installed(id, _) => {
                self.tell_link(now, LinkEvent::Established(id));
                ToHandshakes::Installed(now, id)
            }
            ShardEvent::Proven(id) => return self.tell_link(now, LinkEvent::Proven(id)),
            ShardEvent::Path(_, change) => return self.journal.paths.push(change),
            ShardEvent::Rekey(wish) => ToHandshakes::Begin(now, Start::Replace(wish)),
            ShardEvent::Replaced { old, new } => {
                self.tell_link(now, LinkEvent::Replaced(old, new));
                return self.journal.replaced.push((old, new));
            }
            ShardEvent::Closed(id, cause) => {
                self.journal.closed.push((id, cause));
                self.tell_link(now, LinkEvent::Closed(id));
                ToHandshakes::Closed(id)
            }
            ShardEvent::OtherShard(shard, from, datagram) => {
                self.journal.handed_over += 1;
                let message = ToWorker::Datagram(from, datagram);
                return self.to_workers[shard as usize].post(now, Duration::ZERO, message);
            }
        };
        self.to_handshakes.post(now, self.lag.handshakes, message);
    }

    fn read_mail(&mut self, now: Instant, index: usize) {
        while let Some(message) = self.to_workers[index].take(now) {
            self.with_shard(now, index, |shard, out| match message {
                ToWorker::Reserve(id, peer) => shard.reserve(id, peer),
                ToWorker::Rest(id) => shard.rest(id),
                ToWorker::Forget(id) => shard.release(id),
                ToWorker::Install(installation) => shard.install(now, *installation, out),
                ToWorker::RekeyFailed(id) => shard.rekey_failed(now, id),
                // A hello has no receiver id, so that no hello comes this way.
                ToWorker::Datagram(from, mut datagram) => {
                    shard.receive(now, None, from, &mut datagram, out);
                }
            });
        }
    }

    /// The handshake thread reads its mail and looks at its clock. Where its steps cost time, it
    /// does nothing else until they are done.
    fn handshake_round(&mut self, now: Instant) {
        let begun = self.journal.reserved;
        let mut datagrams = 0;
        while let Some(message) = self.to_handshakes.take(now) {
            let machine = self.machine.handshakes();
            match message {
                ToHandshakes::Begin(since, start) => machine.begin(since, start),
                ToHandshakes::Datagram(id, from, datagram) => {
                    datagrams += 1;
                    machine.datagram(now, id, from, datagram);
                }
                ToHandshakes::Installed(at, id) => machine.acknowledge(at, id),
                ToHandshakes::Closed(id) => {
                    self.ancestry.remove(id);
                    machine.release(now, id);
                }
            }
            self.carry_out_all(now);
        }
        self.machine.handshakes().handle_timeout(now);
        self.carry_out_all(now);
        let steps = datagrams + (self.journal.reserved - begun) as u32;
        self.busy_until = Some(now + self.lag.step * steps);
    }

    fn carry_out_all(&mut self, now: Instant) {
        while let Some(action) = self.machine.handshakes().poll_action() {
            self.carry_out(now, action);
        }
    }

    fn carry_out(&mut self, now: Instant, action: Action) {
        let (id, message, lag) = match action {
            Action::Count(reason) => return self.count(reason),
            Action::Retrying(_) => return,
            Action::Overload(change) => return self.journal.overload.push(change),
            Action::Ended(ended) => {
                if let (Some(token), Err(_)) = (ended.token, &ended.outcome) {
                    self.tell_link(now, LinkEvent::Failed(token));
                }
                let failed = ended.replaces.filter(|_| ended.outcome.is_err());
                self.journal.ended.push(ended);
                let Some(old) = failed else { return };
                (old, ToWorker::RekeyFailed(old), Duration::ZERO)
            }
            Action::Transmit(to, datagram) => return self.outbox.push((to.remote, datagram)),
            Action::Reserve(id, peer) => {
                self.journal.reserved += 1;
                (id, ToWorker::Reserve(id, peer), Duration::ZERO)
            }
            Action::Rest(id) => (id, ToWorker::Rest(id), Duration::ZERO),
            Action::Forget(id) => (id, ToWorker::Forget(id), Duration::ZERO),
            Action::Install(installation) => {
                self.journal.known.push(Known::of(&installation));
                self.ancestry.insert(&installation);
                (installation.local, ToWorker::Install(installation), self.lag.install)
            }
            Action::Forward(id, from, datagram) => {
                self.journal.forwarded += 1;
                (id, ToWorker::Datagram(from, datagram), Duration::ZERO)
            }
        };
        let owner = self.owner(id);
        self.to_workers[owner].post(now, lag, message);
    }

    /// Does everything that is due, until nothing is.
    pub(crate) fn settle(&mut self, now: Instant) {
        for _ in 0..10_000 {
            for index in 0..self.shards.len() {
                self.read_mail(now, index);
                if self.shards[index].deadline().is_some_and(|deadline| deadline <= now) {
                    self.with_shard(now, index, |shard, out| shard.handle_timeout(now, out));
                }
            }
            self.link_round(now);
            if self.handshakes_due().is_some_and(|time| time <= now) {
                self.handshake_round(now);
            } else if self.deadline().is_none_or(|deadline| deadline > now) {
                return;
            }
        }
        panic!("{} asks for the same moment for ever", self.address);
    }

    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        let handshakes = self.handshakes_due();
        let shards = self.shards.iter().filter_map(Shard::deadline);
        let mail = self.to_workers.iter().filter_map(Mail::next);
        let link = self.link.as_ref().and_then(|link| link.deadline());
        shards.chain(mail).chain(handshakes).chain(link).min()
    }

    /// When the handshake thread has something to do and time to do it.
    fn handshakes_due(&mut self) -> Option<Instant> {
        let mail = self.to_handshakes.next();
        let next = mail.into_iter().chain(self.machine.handshakes().deadline()).min();
        next.map(|next| self.busy_until.map_or(next, |busy_until| next.max(busy_until)))
    }
}
