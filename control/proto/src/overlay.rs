//! Associations over channels that are not UDP: relays, overlays, queues in memory.
//!
//! Nothing in this crate knows what carries its datagrams. A [`Carrier`] says what it takes to do
//! so, and a [`Driver`] joins one shard, one handshake machine and the queues between them, which
//! in the program are threads. The caller has the clock and the carrier; the driver does no I/O.
//!
//! A carrier is trusted with nothing: it may lose, double, delay, reorder, alter, forge and read
//! everything, as a UDP path may (docs/threat-model.md).
//!
//! # Names
//!
//! A carrier names its ends by socket addresses, real ones or made up: the core compares them, makes
//! cookies for them and answers to them, nothing else. An end whose name changes keeps its
//! associations as one whose address changes ([`crate::paths`]).
//!
//! # Example
//!
//! An end that opens, over a channel in memory. What makes engines is an argument here;
//! `control/tests/handshake_engine/overlay/` has both ends, with OpenSSL, over a relay that loses.
//!
//! ```
//! use std::net::SocketAddr;
//! use std::sync::mpsc::{Receiver, Sender};
//! use std::time::Instant;
//!
//! use xdtls_proto::engine::ConnectEngine;
//! use xdtls_proto::handshakes::initiators::Initiators;
//! use xdtls_proto::overlay::{Carrier, Driver, Event};
//!
//! /// A relay that hands over what is addressed to us and says who has sent it.
//! struct Relay {
//!     to: Sender<(SocketAddr, Vec<u8>)>,
//!     from: Receiver<(SocketAddr, Vec<u8>)>,
//! }
//!
//! impl Carrier for Relay {
//!     fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
//!         // A relay that is gone loses what it is given.
//!         let _ = self.to.send((to, datagram.to_vec()));
//!     }
//!
//!     fn receive(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
//!         self.from.try_recv().ok()
//!     }
//! }
//!
//! /// Asks once, as soon as there is an association, and returns the answer.
//! fn ask<C: ConnectEngine>(
//!     driver: &mut Driver<Initiators<C>>,
//!     relay: &mut Relay,
//!     peer: SocketAddr,
//! ) -> Option<Vec<u8>> {
//!     driver.open(Instant::now(), peer, 1);
//!     loop {
//!         driver.exchange(Instant::now(), relay);
//!         while let Some(event) = driver.poll_event() {
//!             match event {
//!                 Event::Established { id, .. } => driver.send(Instant::now(), id, b"who is it?"),
//!                 Event::Plaintext(_, answer) => return Some(answer),
//!                 Event::Failed { .. } | Event::Closed(..) => return None,
//!                 Event::Path(..) | Event::Replaced { .. } | Event::Dropped(_) => {}
//!             }
//!         }
//!         // A real end would sleep until something comes, or `driver.deadline()`.
//!     }
//! }
//! ```

mod cookies;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use xdtls_common::DropReason;
use xdtls_common::id::{IdLayout, LocalId};

use crate::association::CloseCause;
use crate::endpoint::{Endpoint, IPV4_UDP_LEN};
use crate::engine::{ConnectEngine, PeerIdentity};
use crate::failure::Failure;
use crate::handshakes::initiators::Initiators;
use crate::handshakes::{Action, Handshakes, Random, Start};
use crate::paths::PathChange;
use crate::rekey::RekeyLimits;
use crate::shard::{Output, Shard, ShardConfig, ShardEvent};
use cookies::Cookies;

/// Datagrams that one [`Driver::exchange`] takes at most.
pub const BATCH: usize = 256;

/// A channel that carries datagrams: each whole or not at all, in any order, any number of times.
pub trait Carrier {
    /// Takes one datagram for the end that is called `to`. There is no answer: what cannot be
    /// carried is lost.
    fn send(&mut self, to: SocketAddr, datagram: &[u8]);

    /// The next datagram that has come, and what the carrier calls its sender.
    fn receive(&mut self) -> Option<(SocketAddr, Vec<u8>)>;
}

/// What a driver is made for.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the carrier calls this end.
    pub name: SocketAddr,
    /// Slots for associations, half-open ones and those that rest.
    pub capacity: u32,
    /// The layout of ids for so many slots and one shard, which the handshake machine has too.
    pub layout: IdLayout,
    /// The longest datagram that the carrier takes, in bytes.
    pub max_datagram: u16,
    /// Whether others may open associations here.
    pub answers: bool,
}

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// An association can be used.
    Established {
        /// Our name for it.
        id: LocalId,
        /// The number given to [`Driver::open`], if we opened it.
        token: Option<u64>,
        /// Who the peer has proved to be.
        identity: PeerIdentity,
    },
    /// A plaintext datagram, perhaps empty.
    Plaintext(LocalId, Vec<u8>),
    /// The way to an association's peer has changed.
    Path(LocalId, PathChange),
    /// One association has taken the place of another: all plaintext comes on the new one.
    Replaced {
        /// It still receives for a while.
        old: LocalId,
        /// What is sent has to go on it.
        new: LocalId,
    },
    /// An association has ended.
    Closed(LocalId, CloseCause),
    /// A handshake has failed.
    Failed {
        /// The number given to [`Driver::open`], if we opened it.
        token: Option<u64>,
        /// Why.
        failure: Failure,
    },
    /// Something went no further.
    Dropped(DropReason),
}

/// One end: a shard, a handshake machine, and what passes between them.
///
/// Its role is that of the machine. Events have to be taken after each call; they queue up. Keys are
/// replaced before they are worn if the machine was made to know ancestors; otherwise the association
/// ends, and its owner may open another.
pub struct Driver<H> {
    name: SocketAddr,
    shard: Shard,
    handshakes: H,
    cookies: Option<Cookies>,
    out: Outbox,
}

/// What a shard puts out during one call.
#[derive(Default)]
struct Outbox {
    datagrams: Vec<(SocketAddr, Vec<u8>)>,
    for_handshakes: Vec<ShardEvent>,
    events: VecDeque<Event>,
}

impl Output for Outbox {
    fn datagram(&mut self, to: &Endpoint, length: usize) -> Option<&mut [u8]> {
        self.datagrams.push((to.remote, vec![0; length]));
        self.datagrams.last_mut().map(|(_, room)| &mut room[..])
    }

    fn plaintext(&mut self, id: LocalId, plaintext: &[u8]) {
        self.events.push_back(Event::Plaintext(id, plaintext.to_vec()));
    }

    fn event(&mut self, event: ShardEvent) {
        self.for_handshakes.push(event);
    }

    fn count(&mut self, reason: DropReason) {
        self.events.push_back(Event::Dropped(reason));
    }
}

impl<C: ConnectEngine> Driver<Initiators<C>> {
    /// Wishes for an association with the end that the carrier calls `peer`. `token` comes back when
    /// it is established, or cannot be.
    pub fn open(&mut self, now: Instant, peer: SocketAddr, token: u64) {
        let endpoint = Endpoint { remote: peer, local: None };
        self.handshakes.begin(now, Start::Open(endpoint, token));
        self.settle(now);
    }
}

impl<H: Handshakes> Driver<H> {
    /// An end without associations. `source` makes sources of random bits, which have to be
    /// unpredictable: cookies and challenges depend on them.
    pub fn new(
        now: Instant,
        config: &Config,
        handshakes: H,
        mut source: impl FnMut() -> Random,
    ) -> Self {
        let shard = ShardConfig {
            capacity: config.capacity,
            layout: config.layout,
            index: 0,
            // Of both families the one with the shorter headers: names of the other lose 20 bytes.
            path_mtu: config.max_datagram.saturating_add(IPV4_UDP_LEN),
            idle_timeout: None,
            rekey: RekeyLimits::default(),
            cached_keys: config.capacity.min(1024) as usize,
        };
        let cookies = config.answers.then(|| Cookies::new(now, source()));
        Self {
            name: config.name,
            shard: Shard::new(shard, source()),
            handshakes,
            cookies,
            out: Outbox::default(),
        }
    }

    /// Takes what has come, at most [`BATCH`] datagrams, does what is due, and sends what is to be
    /// sent. Whether more may be waiting.
    pub fn exchange(&mut self, now: Instant, carrier: &mut impl Carrier) -> bool {
        let mut received = 0;
        while received < BATCH
            && let Some((from, datagram)) = carrier.receive()
        {
            self.receive(now, from, datagram);
            received += 1;
        }
        self.handshakes.handle_timeout(now);
        self.shard.handle_timeout(now, &mut self.out);
        self.settle(now);
        for (to, datagram) in self.out.datagrams.drain(..) {
            carrier.send(to, &datagram);
        }
        received == BATCH
    }

    /// Sends one plaintext datagram with the next [`Driver::exchange`].
    pub fn send(&mut self, now: Instant, id: LocalId, plaintext: &[u8]) {
        self.shard.send(now, id, plaintext, &mut self.out);
        self.settle(now);
    }

    /// Ends an association; close_notify goes with the next [`Driver::exchange`].
    pub fn close(&mut self, now: Instant, id: LocalId) {
        self.shard.close(now, id, CloseCause::Local, &mut self.out);
        self.settle(now);
    }

    /// What has happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// When [`Driver::exchange`] has to be called at the latest, if nothing comes before.
    pub fn deadline(&self) -> Option<Instant> {
        [self.handshakes.deadline(), self.shard.deadline()].into_iter().flatten().min()
    }

    /// How many associations are established.
    pub fn established(&self) -> usize {
        self.shard.established()
    }

    fn receive(&mut self, now: Instant, from: SocketAddr, mut datagram: Vec<u8>) {
        let from = Endpoint { remote: from, local: Some(self.name.ip()) };
        let front = self.cookies.as_mut().map(|cookies| cookies.front(now, self.name.port()));
        self.shard.receive(now, front.as_ref(), from, &mut datagram, &mut self.out);
        self.settle(now);
    }

    /// Lets shard and handshakes answer each other until neither has anything to say.
    fn settle(&mut self, now: Instant) {
        loop {
            while let Some(action) = self.handshakes.poll_action() {
                self.carry_out(now, action);
            }
            let events = std::mem::take(&mut self.out.for_handshakes);
            if events.is_empty() {
                return;
            }
            events.into_iter().for_each(|event| self.tell(now, event));
        }
    }

    fn carry_out(&mut self, now: Instant, action: Action) {
        match action {
            Action::Transmit(to, datagram) => self.out.datagrams.push((to.remote, datagram)),
            Action::Reserve(id, peer) => self.shard.reserve(id, peer),
            Action::Install(installation) => {
                self.out.events.push_back(Event::Established {
                    id: installation.local,
                    token: installation.token,
                    identity: installation.taken_over.identity.clone(),
                });
                self.shard.install(now, *installation, &mut self.out);
            }
            Action::Forward(_, from, mut datagram) => {
                self.shard.receive(now, None, from, &mut datagram, &mut self.out);
            }
            Action::Rest(id) => self.shard.rest(id),
            Action::Forget(id) => self.shard.release(id),
            Action::Count(reason) => self.out.count(reason),
            Action::Ended(ended) => {
                let Err(failure) = ended.outcome else { return };
                match ended.replaces {
                    Some(old) => self.shard.rekey_failed(now, old),
                    None => {
                        let failed = Event::Failed { token: ended.token, failure };
                        self.out.events.push_back(failed);
                    }
                }
            }
            Action::Overload(_) | Action::Retrying(_) => {}
        }
    }

    fn tell(&mut self, now: Instant, event: ShardEvent) {
        match event {
            ShardEvent::Hello(hello) => self.handshakes.begin(now, Start::Answer(hello)),
            ShardEvent::Handshake(id, from, datagram) => {
                self.handshakes.datagram(now, id, from, datagram);
            }
            ShardEvent::Installed(id, _) => self.handshakes.acknowledge(now, id),
            ShardEvent::Rekey(wish) => self.handshakes.begin(now, Start::Replace(wish)),
            ShardEvent::Replaced { old, new } => {
                self.out.events.push_back(Event::Replaced { old, new });
            }
            // Nobody asks for proofs here.
            ShardEvent::Proven(_) => {}
            ShardEvent::Path(id, change) => self.out.events.push_back(Event::Path(id, change)),
            ShardEvent::Closed(id, cause) => {
                self.out.events.push_back(Event::Closed(id, cause));
                self.handshakes.release(now, id);
            }
            // With one shard there is no other.
            ShardEvent::OtherShard(..) => {}
        }
    }
}
