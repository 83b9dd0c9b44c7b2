//! What keeps a peer's only link: the task beside the threads, and the local program that sends.

use std::collections::VecDeque;
use std::time::Instant;

use xdtls_common::id::LocalId;
use xdtls_proto::association::CloseCause;
use xdtls_proto::convergence::{Action, Link};
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::handshakes::Start;

use super::{Machine, Node};
use crate::support::forger::Known;
use crate::support::mail::Mail;

/// What becomes of the link's associations.
pub(super) enum LinkEvent {
    Established(LocalId),
    Proven(LocalId),
    Replaced(LocalId, LocalId),
    Closed(LocalId),
    Failed(u64),
}

pub(crate) struct LinkSide {
    pub(crate) link: Link,
    peer: Endpoint,
    mail: Mail<LinkEvent>,
    /// What the local program has sent while there was no association.
    waiting: VecDeque<Vec<u8>>,
    /// How often data has changed its way.
    pub(crate) switches: u32,
}

impl LinkSide {
    pub(crate) fn new(link: Link, peer: Endpoint) -> Self {
        let (mail, waiting) = (Mail::default(), VecDeque::new());
        Self { link, peer, mail, waiting, switches: 0 }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.link.deadline(), self.mail.next()].into_iter().flatten().min()
    }
}

fn known(all: &[Known], id: LocalId) -> &Known {
    all.iter().rev().find(|known| known.local == id).unwrap()
}

impl Node {
    /// The local program sends.
    pub(crate) fn send_by_link(&mut self, now: Instant, plaintext: &[u8]) {
        let Some(side) = self.link.as_mut() else { return };
        match side.link.current() {
            Some(id) => self.send(now, id, plaintext),
            None => side.waiting.push_back(plaintext.to_vec()),
        }
    }

    pub(super) fn tell_link(&mut self, now: Instant, event: LinkEvent) {
        let lag = self.lag.link;
        if let Some(side) = self.link.as_mut() {
            side.mail.post(now, lag, event);
        }
    }

    /// Reads the link's mail, looks at its clock, and does what it wants.
    pub(super) fn link_round(&mut self, now: Instant) {
        while let Some(event) = self.link.as_mut().and_then(|side| side.mail.take(now)) {
            let Some(side) = self.link.as_mut() else { return };
            match event {
                LinkEvent::Established(id) => {
                    let known = known(&self.journal.known, id);
                    // What is to replace another is none of the link's business until it does.
                    if known.replaces.is_none() {
                        side.link.established(now, id, known.rank(), known.token);
                    }
                }
                LinkEvent::Replaced(old, new) => side.link.replaced(old, new),
                LinkEvent::Proven(id) => side.link.proven(now, id),
                LinkEvent::Closed(id) => side.link.closed(now, id),
                LinkEvent::Failed(token) => side.link.failed(now, token),
            }
            self.carry_out_link(now);
        }
        if let Some(side) = self.link.as_mut()
            && side.link.deadline().is_some_and(|deadline| deadline <= now)
        {
            side.link.handle_timeout(now);
            self.carry_out_link(now);
        }
    }

    fn carry_out_link(&mut self, now: Instant) {
        while let Some(action) = self.link.as_mut().and_then(|side| side.link.poll_action()) {
            let Some(side) = self.link.as_mut() else { return };
            match action {
                Action::Open(token) => {
                    let start = Start::Open(side.peer, token);
                    self.begin(now, start);
                }
                Action::Cancel(token) => {
                    if let Machine::Both(machine) = &mut self.machine {
                        machine.cancel(now, token);
                    }
                }
                Action::Use(Some(id)) => {
                    side.switches += 1;
                    for plaintext in std::mem::take(&mut side.waiting) {
                        self.send(now, id, &plaintext);
                    }
                }
                Action::Use(None) => {}
                Action::Probe(id) => {
                    let owner = self.owner(id);
                    self.with_shard(now, owner, |shard, out| {
                        shard.prove(now, id, out);
                    });
                }
                Action::Close(id) => {
                    let (owner, cause) = (self.owner(id), CloseCause::Superseded);
                    self.with_shard(now, owner, |shard, out| shard.close(now, id, cause, out));
                }
            }
        }
    }
}
