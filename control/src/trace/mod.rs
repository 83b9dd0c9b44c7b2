//! Watching one association's or one address's datagrams: what came, and what was decided, in words
//! and without payload.
//!
//! Off, it costs a worker one relaxed load for each batch and the XDP program one load for each
//! packet. On, events go into a bounded queue, those of the XDP program into its ring, and whoever
//! watches empties both; what does not fit is counted. It ends by itself when nobody asks any more.

mod by_xdp;
mod describe;
mod watched;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracing::warn;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::prefix::Prefix;
use xdtls_common::trace::TraceFilter;

use crate::datapath::trace_maps::TraceMaps;
use by_xdp::ByXdp;

pub use describe::{action, datagram};

/// Events that wait to be fetched; whoever watches asks several times a second.
const MAX_EVENTS: usize = 1000;

/// Without a question for so long, nobody watches any more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

/// Whose datagrams are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Those with this id, ours or the peer's, in the prefix.
    Id(u32),
    /// Those of this host.
    Host(IpAddr),
    /// Those of this address and port.
    Peer(SocketAddr),
}

impl Filter {
    /// Whether a datagram, prefix included, from or to `remote` is watched.
    fn concerns(&self, remote: SocketAddr, datagram: &[u8]) -> bool {
        let address = remote.ip().to_canonical();
        match *self {
            Self::Host(host) => address == host.to_canonical(),
            Self::Peer(peer) => address == peer.ip().to_canonical() && remote.port() == peer.port(),
            Self::Id(id) => Prefix::parse(&mut SliceCursor::new(datagram))
                .is_ok_and(|prefix| [prefix.sender, prefix.receiver].contains(&id)),
        }
    }
}

impl From<Filter> for TraceFilter {
    fn from(filter: Filter) -> Self {
        match filter {
            Filter::Id(id) => Self::id(id),
            Filter::Host(host) => Self::host(host),
            Filter::Peer(peer) => Self::peer(peer.ip(), peer.port()),
        }
    }
}

/// What became of one datagram in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the trace began.
    pub at_ms: u64,
    /// The thread, and how the datagram reached it.
    pub place: String,
    /// The peer's address.
    pub peer: SocketAddr,
    /// What came, and what was decided.
    pub what: String,
}

struct Running {
    filter: Filter,
    since: Instant,
    asked_at: Instant,
    events: VecDeque<Event>,
    lost: u64,
}

/// What has been seen since the last question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// In order.
    pub events: Vec<Event>,
    /// How many more there were.
    pub lost: u64,
    /// Whether the trace begins with this question: then [`end_when_forgotten`] has to end it.
    pub began: bool,
}

/// The trace of a node; there is one at a time.
#[derive(Default)]
pub struct Trace {
    on: AtomicBool,
    running: Mutex<Option<Running>>,
    program: Mutex<Option<ByXdp>>,
}

/// A trace that is on.
#[derive(Clone)]
pub struct Watch {
    filter: Filter,
    trace: Arc<Trace>,
}

impl Trace {
    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is watched, if anything is.
    pub fn watch(self: &Arc<Self>) -> Option<Watch> {
        if !self.on.load(Ordering::Relaxed) {
            return None;
        }
        let filter = self.lock().as_ref()?.filter;
        Some(Watch { filter, trace: self.clone() })
    }

    /// Lets the XDP program watch as well.
    pub fn mirror_to(&self, maps: TraceMaps) {
        *self.program() = Some(ByXdp::new(maps));
    }

    fn program(&self) -> MutexGuard<'_, Option<ByXdp>> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to watch, or goes on; returns what has been seen since the last call.
    ///
    /// # Errors
    ///
    /// Somebody else watches something else.
    pub fn poll(&self, now: Instant, filter: Filter) -> Result<Seen, String> {
        // Taken first and kept: the program is told of a beginning and of an end in their order.
        let mut program = self.program();
        let mut running = self.lock();
        let began = running.is_none();
        let fresh =
            || Running { filter, since: now, asked_at: now, events: VecDeque::new(), lost: 0 };
        let current = running.get_or_insert_with(fresh);
        if current.filter != filter {
            return Err("somebody else traces something else: wait until that has ended".to_owned());
        }
        current.asked_at = now;
        self.on.store(true, Ordering::Relaxed);
        let mut lost = std::mem::take(&mut current.lost);
        let workers: Vec<_> = current.events.drain(..).collect();
        // A worker must not wait for what comes now.
        drop(running);
        let Some(program) = program.as_mut() else {
            return Ok(Seen { events: workers, lost, began });
        };
        if began && let Err(error) = program.begin(filter.into()) {
            warn!(%error, "cannot trace in the XDP program, only behind it");
        }
        let (mut events, lost_by_xdp) = program.read();
        lost += lost_by_xdp;
        // Stable: within a millisecond, XDP comes before the worker that it has steered to.
        events.extend(workers);
        events.sort_by_key(|event| event.at_ms);
        Ok(Seen { events, lost, began })
    }

    /// Ends the trace if nobody has asked for long enough; otherwise says when to look again. `None`:
    /// there is no trace any more.
    fn end_if_forgotten(&self, now: Instant) -> Option<Instant> {
        let mut program = self.program();
        let mut running = self.lock();
        let forgotten_at = running.as_ref()?.asked_at + FORGOTTEN_AFTER;
        if now < forgotten_at {
            return Some(forgotten_at);
        }
        self.on.store(false, Ordering::Relaxed);
        *running = None;
        if let Some(Err(error)) = program.as_mut().map(ByXdp::end) {
            warn!(%error, "cannot end the trace in the XDP program");
        }
        None
    }
}

/// Waits until nobody asks any more, and ends the trace.
pub async fn end_when_forgotten(trace: Arc<Trace>) {
    while let Some(at) = trace.end_if_forgotten(Instant::now()) {
        tokio::time::sleep_until(at.into()).await;
    }
}

impl Watch {
    /// Whether a datagram, prefix included, from or to `remote` is watched.
    pub fn concerns(&self, remote: SocketAddr, datagram: &[u8]) -> bool {
        self.filter.concerns(remote, datagram)
    }

    /// The association that is watched, whatever is in the prefix.
    pub fn concerns_association(&self, id: u32, remote: SocketAddr) -> bool {
        self.filter == Filter::Id(id) || self.filter.concerns(remote, &[])
    }

    /// Keeps an event for whoever watches.
    pub fn record(&self, now: Instant, place: String, peer: SocketAddr, what: String) {
        let mut running = self.trace.lock();
        let Some(current) = running.as_mut() else { return };
        if current.events.len() >= MAX_EVENTS {
            current.lost += 1;
            return;
        }
        let at_ms = now.saturating_duration_since(current.since).as_millis() as u64;
        current.events.push_back(Event { at_ms, place, peer, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn a_trace_is_bounded_and_ends_when_nobody_asks() {
        let (trace, now) = (Arc::new(Trace::default()), Instant::now());
        assert!(trace.watch().is_none());
        let filter = Filter::Host(peer(0).ip());
        assert_eq!(trace.poll(now, filter), Ok(Seen { began: true, ..Seen::default() }));
        assert!(trace.poll(now, Filter::Id(1)).is_err());
        let watch = trace.watch().unwrap();
        for _ in 0..=MAX_EVENTS {
            watch.record(now, "worker-0".to_owned(), peer(1), "a datagram".to_owned());
        }
        let seen = trace.poll(now, filter).unwrap();
        assert_eq!((seen.events.len(), seen.lost, seen.began), (MAX_EVENTS, 1, false));
        let end = now + FORGOTTEN_AFTER;
        assert_eq!(trace.end_if_forgotten(now), Some(end));
        assert!(trace.watch().is_some());
        assert_eq!(trace.end_if_forgotten(end), None);
        assert!(trace.watch().is_none());
        watch.record(end, "worker-0".to_owned(), peer(1), "too late".to_owned());
        let filter = Filter::Id(1);
        assert_eq!(trace.poll(end, filter), Ok(Seen { began: true, ..Seen::default() }));
    }

    #[test]
    fn filters_know_hosts_ports_and_ids() {
        let datagram = [0, 0, 0, 7, 0, 0, 0, 9, 22];
        for (filter, concerned) in [
            (Filter::Id(7), true),
            (Filter::Id(9), true),
            (Filter::Id(22), false),
            (Filter::Peer(peer(5)), true),
            (Filter::Peer(peer(6)), false),
            (Filter::Host("192.0.2.1".parse().unwrap()), true),
            (Filter::Host("::ffff:192.0.2.1".parse().unwrap()), true),
            (Filter::Host("192.0.2.2".parse().unwrap()), false),
        ] {
            assert_eq!(filter.concerns(peer(5), &datagram), concerned, "{filter:?}");
        }
        assert!(!Filter::Id(7).concerns(peer(5), &datagram[..3]));
    }
}
