//! One shard: the associations that one worker alone owns, and all that is done to a datagram.
//!
//! A datagram's way in: prefix → [verdict](xdtls_common::verdict) → each record: replay window
//! checked → opened in place → window committed → [`Output::plaintext`]. Its way out:
//! [`Shard::send`] → room in the transmit buffer → sealed in place there. The shard does no I/O: a
//! worker hands it slices, the time, and an [`Output`].

mod ahead;
mod final_flights;
mod lineage;
mod look;
mod paths;
mod proofs;
mod receive;
mod rekey;
mod replies;
mod send;
mod table;
mod timers;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use xdtls_common::DropReason;
use xdtls_common::cookie::CookieSecrets;
use xdtls_common::id::{IdLayout, LocalId, PeerId};

use crate::association::{Association, CloseCause};
use crate::endpoint::Endpoint;
use crate::handshakes::{Hello, Installation, Replacement};
use crate::key_cache::KeyCache;
use crate::moment::Clock;
use crate::paths::PathChange;
use crate::rekey::RekeyLimits;
pub use ahead::Ahead;
use final_flights::FinalFlights;
use lineage::Lineage;
pub use lineage::PREDECESSORS_MAX;
pub use look::AssociationView;
use proofs::Proofs;
use replies::Replies;
pub use replies::ReplyLimits;
use table::Table;
pub(crate) use timers::Grain;
use timers::Timers;

/// Where the shard puts what a datagram or the clock brings about.
pub trait Output {
    /// Room for one datagram of exactly `length` bytes to `to`; `None` if there is none.
    fn datagram(&mut self, to: &Endpoint, length: usize) -> Option<&mut [u8]>;

    /// The same for the datagram that [`Shard::send_held`] is about: its plaintext stands in the room
    /// already, from byte `at` on. Only outputs that hold plaintext have any.
    fn datagram_around(&mut self, _to: &Endpoint, _length: usize, _at: usize) -> Option<&mut [u8]> {
        None
    }

    /// One plaintext datagram of an association, perhaps empty.
    fn plaintext(&mut self, id: LocalId, plaintext: &[u8]);

    /// Something that others have to act on.
    fn event(&mut self, event: ShardEvent);

    /// Something went no further.
    fn count(&mut self, reason: DropReason);
}

/// What a shard cannot do by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardEvent {
    /// A ClientHello with a good cookie.
    Hello(Hello),
    /// A datagram, prefix included, for an id reserved for a handshake.
    Handshake(LocalId, Endpoint, Vec<u8>),
    /// A datagram, prefix included, for an association of another shard.
    OtherShard(u32, Endpoint, Vec<u8>),
    /// The keys are installed; whose they are at the peer.
    Installed(LocalId, PeerId),
    /// The peer has answered a challenge of [`Shard::prove`].
    Proven(LocalId),
    /// The way to an association's peer has changed.
    Path(LocalId, PathChange),
    /// An association of ours is to be replaced by one with new keys.
    Rekey(Replacement),
    /// One association has taken the place of another: what belongs to the old one belongs to the
    /// new one, to which all its plaintext comes from now on, and on which we send.
    Replaced {
        /// It still receives for a while.
        old: LocalId,
        /// It has no plaintext behind it yet.
        new: LocalId,
    },
    /// An association has ended and its id may rest.
    Closed(LocalId, CloseCause),
}

/// What judges ClientHellos; only gateways have it.
pub struct Front {
    /// The secrets of cookies.
    pub secrets: Arc<CookieSecrets>,
    /// Seconds of a coarse monotonic clock.
    pub now_s: u32,
    /// The UDP port that we answer on.
    pub local_port: u16,
    /// How often we answer.
    pub limits: ReplyLimits,
}

/// What a shard is made for.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Slots of all shards together.
    pub capacity: u32,
    /// The layout of ids, which says which slots are this shard's.
    pub layout: IdLayout,
    /// Which of the shards this is.
    pub index: u32,
    /// The largest IP packet of the path, in bytes.
    pub path_mtu: u16,
    /// Associations that neither send nor receive for so long are closed.
    pub idle_timeout: Option<Duration>,
    /// When keys are replaced.
    pub rekey: RekeyLimits,
    /// How many associations' expanded keys are kept at hand.
    pub cached_keys: usize,
}

impl ShardConfig {
    /// An id's place among those of this shard.
    fn place_of(&self, id: LocalId) -> u32 {
        self.layout.slot_of(id.value()) / self.layout.shards()
    }
}

/// What a shard has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardCounters {
    /// Plaintext datagrams opened.
    pub opened: u64,
    /// Their bytes.
    pub opened_bytes: u64,
    /// Plaintext datagrams sealed.
    pub sealed: u64,
    /// Their bytes.
    pub sealed_bytes: u64,
    /// HelloVerifyRequests sent.
    pub hello_verify_requests: u64,
    /// Final flights repeated.
    pub final_flights_repeated: u64,
    /// New addresses of peers that have been challenged, or could not be.
    pub paths_new: u64,
    /// New addresses that have answered.
    pub paths_validated: u64,
    /// New addresses that were given up.
    pub paths_failed: u64,
    /// Associations that another has replaced.
    pub replaced: u64,
}

/// One shard.
pub struct Shard {
    config: ShardConfig,
    clock: Clock,
    table: Table,
    keys: KeyCache,
    flights: FinalFlights,
    timers: Timers,
    proofs: Proofs,
    lineage: Lineage,
    replies: Replies,
    /// When a "no renegotiation" was sent last, for the few that have asked for it.
    warned: HashMap<LocalId, Instant>,
    random: crate::handshakes::Random,
    counters: ShardCounters,
}

impl Shard {
    /// A shard without associations.
    pub fn new(config: ShardConfig, random: crate::handshakes::Random) -> Self {
        Self {
            clock: Clock::default(),
            table: Table::new(config.layout, config.capacity),
            keys: KeyCache::new(config.cached_keys),
            flights: FinalFlights::default(),
            timers: Timers::default(),
            proofs: Proofs::default(),
            lineage: Lineage::default(),
            replies: Replies::default(),
            warned: HashMap::new(),
            random,
            counters: ShardCounters::default(),
            config,
        }
    }

    /// Where its associations will stand: as many as it has slots for, read at random when there are
    /// many. Nothing is there yet where none has been.
    pub fn addresses(&self) -> Range<*const u8> {
        self.table.addresses()
    }

    /// Which of the shards this is.
    pub fn index(&self) -> usize {
        self.config.index as usize
    }

    /// What the shard has done so far.
    pub fn counters(&self) -> ShardCounters {
        self.counters
    }

    /// How many associations are established.
    pub fn established(&self) -> usize {
        self.table.established()
    }

    /// Datagrams for `id` go to the handshakes from now on.
    pub fn reserve(&mut self, id: LocalId, peer: Option<PeerId>) {
        self.table.reserve(id, peer);
    }

    /// A handshake has failed: what still comes for its id comes too late.
    pub fn rest(&mut self, id: LocalId) {
        self.table.rest(id);
    }

    /// Forgets an id that has rested.
    pub fn release(&mut self, id: LocalId) {
        self.table.forget(id);
    }

    /// Takes an association over, acknowledges it, and opens what was held for it.
    pub fn install(&mut self, now: Instant, mut installation: Installation, out: &mut impl Output) {
        let id = installation.local;
        let held = std::mem::take(&mut installation.taken_over.held);
        let flight = std::mem::take(&mut installation.taken_over.final_flight);
        let (peer, replaces) = (installation.peer, installation.replaces);
        let prefix = send::prefix_of(id, peer).encode();
        let endpoint = installation.endpoint;
        let at = self.clock.moment(now);
        let worn_at = self.worn_at(at, installation.role);
        let mut association = Association::new(at, installation, worn_at);
        self.timers.schedule(id, &mut association, self.config.idle_timeout);
        if !self.table.establish(association) {
            return out.event(ShardEvent::Closed(id, CloseCause::Local));
        }
        out.event(ShardEvent::Installed(id, peer));
        if let Some(old) = replaces {
            self.replace(now, old, id, out);
        }
        for mut record in held {
            self.receive_records(now, id, &endpoint, &mut record, out);
        }
        // Held data was sent before our last flight and does not show that it has arrived.
        if !flight.is_empty() && self.table.association(id).is_some() {
            let datagrams = flight.iter().map(|records| [&prefix[..], records].concat()).collect();
            self.flights.keep(now, id, datagrams);
        }
    }

    /// Ends an association; its peer is told, with close_notify or why it is not admitted any more.
    pub fn close(&mut self, now: Instant, id: LocalId, cause: CloseCause, out: &mut impl Output) {
        self.send_last_alert(now, id, cause, out);
        self.forget(now, id, cause, out);
    }

    /// Ends every association with close_notify.
    pub fn close_all(&mut self, now: Instant, out: &mut impl Output) {
        for id in self.table.ids() {
            self.close(now, id, CloseCause::Local, out);
        }
    }

    fn forget(&mut self, now: Instant, id: LocalId, cause: CloseCause, out: &mut impl Output) {
        // What is only reserved belongs to its handshake.
        if !self.table.end(id) {
            return;
        }
        self.keys.forget(id, self.config.place_of(id));
        self.flights.forget(id);
        if !self.warned.is_empty() {
            self.warned.remove(&id);
        }
        self.proofs.forget(id);
        out.event(ShardEvent::Closed(id, cause));
        let (to_replace, replaced) = self.lineage.forget(id);
        if let Some(old) = to_replace {
            self.rekey_failed(now, old);
        }
        if let Some(old) = replaced {
            self.close(now, old, cause, out);
        }
    }
}
