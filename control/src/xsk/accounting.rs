//! Where all frames are. None may get lost: what leaks is missed only when nothing is received any
//! more.
//!
//! Each shard counts what passes through its hands, as the only writer of its counters. A frame
//! goes round like this:
//!
//! ```text
//!   free ──────► fill ──► (driver) ──► rx ──┐
//!    ▲ ▲                                    ▼
//!    │ └──────────────────────────────── held by a worker
//!    │                                      │
//!    └── completion ◄── (driver) ◄── tx ◄───┘
//! ```
//!
//! What the driver has taken from the fill ring counts as `fill` until it shows up in an rx ring,
//! and what it has taken from a tx ring counts as `tx` until it is complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::pool::Memory;
use super::queue::Queue;

/// Where the frames of a UMEM are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameAccount {
    /// Received, waiting in rx rings.
    pub rx: i64,
    /// To be sent: in tx rings, or with the driver.
    pub tx: i64,
    /// To be received into: in fill rings, or with the driver.
    pub fill: i64,
    /// Sent, waiting in completion rings.
    pub completion: i64,
    /// With nobody: in the common pool, or in the spare store of a shard.
    pub free: i64,
    /// With workers, as [`Frame`](super::Frame).
    pub held: i64,
}

impl FrameAccount {
    /// Of a memory whose fill and completion rings are those of `queues`.
    pub(super) fn of(memory: &Memory, queues: &[Arc<Queue>]) -> Self {
        let flows = memory.ledger.sum();
        let completion = queues.iter().map(|queue| i64::from(queue.completed())).sum();
        Self {
            rx: flows.waiting,
            tx: flows.transmitted - flows.completed - completion,
            fill: flows.filled - flows.received - flows.waiting,
            completion,
            free: memory.free_frames() as i64 + flows.spare,
            held: flows.held,
        }
    }

    /// All of them, which is to be what the UMEM has.
    pub fn total(&self) -> i64 {
        self.rx + self.tx + self.fill + self.completion + self.free + self.held
    }
}

/// What went through the hands of one shard, in frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flows {
    /// Taken from rx rings.
    pub(super) received: i64,
    /// Put into tx rings.
    pub(super) transmitted: i64,
    /// Put into fill rings.
    pub(super) filled: i64,
    /// Taken from completion rings.
    pub(super) completed: i64,
    /// Taken from the common pool, less what was given to it.
    pub(super) from_pool: i64,
    /// Given to the worker, less what it gave back. Below 0 where it gave back what another worker
    /// had received.
    pub(super) held: i64,
    /// In the spare store.
    pub(super) spare: i64,
    /// Waiting in rx rings when last looked at.
    pub(super) waiting: i64,
}

impl Flows {
    /// What came in is what went out and what is here.
    pub(super) fn is_balanced(&self) -> bool {
        let came = self.received + self.completed + self.from_pool;
        came == self.transmitted + self.filled + self.held + self.spare
    }
}

/// The published counters of one shard, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Page {
    counters: [AtomicI64; 8],
}

/// The counters of all shards.
#[derive(Debug)]
pub(super) struct Ledger {
    pages: Box<[Page]>,
}

impl Ledger {
    pub(super) fn new(shards: usize) -> Self {
        Self { pages: (0..shards).map(|_| Page::default()).collect() }
    }

    /// Only the shard itself may do this.
    pub(super) fn publish(&self, shard: usize, flows: &Flows) {
        let Flows { received, transmitted, filled, completed, .. } = *flows;
        let Flows { from_pool, held, spare, waiting, .. } = *flows;
        let values = [received, transmitted, filled, completed, from_pool, held, spare, waiting];
        for (counter, value) in self.pages[shard].counters.iter().zip(values) {
            counter.store(value, Ordering::Relaxed);
        }
    }

    /// What all shards have published, added up.
    pub(super) fn sum(&self) -> Flows {
        let sum = |n: usize| -> i64 {
            self.pages.iter().map(|page| page.counters[n].load(Ordering::Relaxed)).sum()
        };
        Flows {
            received: sum(0),
            transmitted: sum(1),
            filled: sum(2),
            completed: sum(3),
            from_pool: sum(4),
            held: sum(5),
            spare: sum(6),
            waiting: sum(7),
        }
    }
}
