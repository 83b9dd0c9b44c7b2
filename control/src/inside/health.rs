//! How backends are doing, counted by all workers together: a few times in a flow's life, and when
//! sending fails, never for a packet that got through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a backend counts as failing after the last datagram that it did not take.
const FAILING_FOR: Duration = Duration::from_secs(10);

/// The backends of a node, in the order of its configuration.
pub type Health = Arc<[BackendHealth]>;

/// How one backend is doing.
pub struct BackendHealth {
    since: Instant,
    flows: AtomicU64,
    failures: AtomicU64,
    /// Milliseconds from `since` to the last failure.
    failed_at_ms: AtomicU64,
}

impl BackendHealth {
    /// For so many backends.
    pub fn of(count: usize) -> Health {
        let since = Instant::now();
        let new = || Self {
            since,
            flows: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failed_at_ms: AtomicU64::new(0),
        };
        (0..count).map(|_| new()).collect()
    }

    /// A flow has been opened.
    pub fn opened(&self) {
        self.flows.fetch_add(1, Ordering::Relaxed);
    }

    /// A flow has been closed.
    pub fn closed(&self) {
        self.flows.fetch_sub(1, Ordering::Relaxed);
    }

    /// The backend has not taken so many datagrams.
    pub fn failed(&self, datagrams: u64) {
        let now_ms = self.since.elapsed().as_millis() as u64;
        self.failed_at_ms.store(now_ms, Ordering::Relaxed);
        self.failures.fetch_add(datagrams, Ordering::Relaxed);
    }

    /// Flows that are open now.
    pub fn flows(&self) -> u64 {
        self.flows.load(Ordering::Relaxed)
    }

    /// Datagrams that the backend has not taken, as far as the kernel tells.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether sending has failed a moment ago.
    pub fn is_failing(&self) -> bool {
        let failed_at = Duration::from_millis(self.failed_at_ms.load(Ordering::Relaxed));
        self.failures() > 0 && self.since.elapsed() < failed_at + FAILING_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_fails_once_a_datagram_was_not_taken() {
        let health = BackendHealth::of(2);
        health[1].opened();
        assert!(!health[1].is_failing());
        health[1].failed(3);
        assert!(health[1].is_failing() && !health[0].is_failing());
        assert_eq!((health[1].flows(), health[1].failures()), (1, 3));
        health[1].closed();
        assert_eq!(health[1].flows(), 0);
    }
}
