//! Watching one association's or one address's datagrams: what came, and what was decided, in words
//! and without payload.
//!
//! Off, it costs a worker one relaxed load for each batch. On, events go into a bounded queue that
//! whoever watches empties; what does not fit is counted. It ends by itself when nobody asks any more.

mod describe;
mod watched;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::prefix::Prefix;

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

/// The trace of a node; there is one at a time.
#[derive(Default)]
pub struct Trace {
    on: AtomicBool,
    running: Mutex<Option<Running>>,
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

    /// Begins to watch, or goes on; returns what has been seen since the last call, and how many
    /// events did not fit in between.
    ///
    /// # Errors
    ///
    /// Somebody else watches something else.
    pub fn poll(&self, now: Instant, filter: Filter) -> Result<(Vec<Event>, u64), String> {
        let mut running = self.lock();
        let old = running.take_if(|old| {
            old.filter != filter && now.duration_since(old.asked_at) >= FORGOTTEN_AFTER
        });
        drop(old);
        let fresh =
            || Running { filter, since: now, asked_at: now, events: VecDeque::new(), lost: 0 };
        let current = running.get_or_insert_with(fresh);
        if current.filter != filter {
            return Err("somebody else traces something else: wait until that has ended".to_owned());
        }
        current.asked_at = now;
        self.on.store(true, Ordering::Relaxed);
        Ok((current.events.drain(..).collect(), std::mem::take(&mut current.lost)))
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
        if now.saturating_duration_since(current.asked_at) >= FORGOTTEN_AFTER {
            self.trace.on.store(false, Ordering::Relaxed);
            *running = None;
            return;
        }
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
        assert_eq!(trace.poll(now, filter), Ok((Vec::new(), 0)));
        assert!(trace.poll(now, Filter::Id(1)).is_err());
        let watch = trace.watch().unwrap();
        for _ in 0..=MAX_EVENTS {
            watch.record(now, "worker-0".to_owned(), peer(1), "a datagram".to_owned());
        }
        let (events, lost) = trace.poll(now, filter).unwrap();
        assert_eq!((events.len(), lost), (MAX_EVENTS, 1));
        watch.record(now + FORGOTTEN_AFTER, "worker-0".to_owned(), peer(1), String::new());
        assert!(trace.watch().is_none());
        assert_eq!(trace.poll(now, Filter::Id(1)), Ok((Vec::new(), 0)));
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
