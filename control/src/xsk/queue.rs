//! One queue of the interface: its fill and completion rings, which exist once and serve all
//! sockets on the queue.
//!
//! Whichever worker has time serves them for all, so that one that sleeps starves nobody. Each
//! comes by once a batch and goes on if another is just in there; only where the fill ring runs low
//! does it wait, because the other may have looked before the ring ran low, and who then goes to
//! sleep is not woken by packets that cannot be received.
//!
//! There are always enough free frames to fill the ring: the UMEM has at least as many as all rings
//! hold together, and what workers may hold on top ([`FrameDemand`](super::options::FrameDemand)).
#![allow(unsafe_code)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::accounting::Flows;
use super::frame::{Frame, FrameAddr};
use super::pool::Memory;
use super::ring::{Consumer, Producer, Ring};

/// The rings of one queue.
pub(super) struct Queue {
    rings: Mutex<Rings>,
    /// For looking at its level without the lock.
    fill: Arc<Ring<FrameAddr>>,
}

struct Rings {
    fill: Producer<FrameAddr>,
    completion: Consumer<FrameAddr>,
}

impl Queue {
    pub(super) fn new(fill: Producer<FrameAddr>, completion: Consumer<FrameAddr>) -> Self {
        let level = fill.ring().clone();
        Self { rings: Mutex::new(Rings { fill, completion }), fill: level }
    }

    /// Takes what was sent into `spare` and fills the fill ring up, from `spare` and then from the
    /// common pool. Returns whether the driver waits to be told so.
    pub(super) fn serve(&self, memory: &Memory, spare: &mut Vec<Frame>, flows: &mut Flows) -> bool {
        let Some(mut rings) = self.enter() else { return false };
        let Rings { fill, completion } = &mut *rings;
        while let Some(address) = completion.pop() {
            // SAFETY: the kernel returns the frame that `transmit` gave to it, once.
            spare.push(unsafe { memory.umem.take(address, 0) });
            flows.completed += 1;
        }
        completion.release();

        let room = fill.room() as usize;
        let missing = room.saturating_sub(spare.len());
        if missing > 0 {
            flows.from_pool += memory.take(missing, spare) as i64;
        }
        for frame in spare.drain(spare.len().saturating_sub(room)..) {
            let full = fill.push(memory.umem.give(frame).address);
            debug_assert!(full.is_ok(), "there is room, and we are the only producer");
            flows.filled += 1;
        }
        fill.publish();
        fill.needs_wakeup()
    }

    /// How many sent frames wait to be taken.
    pub(super) fn completed(&self) -> u32 {
        self.lock().completion.available()
    }

    fn enter(&self) -> Option<MutexGuard<'_, Rings>> {
        if self.fill.waiting() < self.fill.capacity() / 4 {
            return Some(self.lock());
        }
        match self.rings.try_lock() {
            Ok(rings) => Some(rings),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rings> {
        // A panic in there leaves indices that were not published: frames are missed, not doubled.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the lock, as a worker does that the scheduler has taken off its core.
    #[cfg(test)]
    pub(super) fn occupy(&self) -> impl Drop + '_ {
        self.lock()
    }
}
