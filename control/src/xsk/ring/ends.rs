//! The two sides of a ring.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Entry, Ring};

/// The side that writes entries.
pub(in crate::xsk) struct Producer<T> {
    ring: Arc<Ring<T>>,
    produced: u32,
    /// The consumer's index when it was last read.
    consumed: u32,
}

impl<T: Entry> Producer<T> {
    /// The only producer of this ring.
    pub(in crate::xsk) fn new(ring: Arc<Ring<T>>) -> Self {
        let consumed = ring.consumer().load(Ordering::Acquire);
        let produced = ring.producer().load(Ordering::Relaxed);
        Self { ring, produced, consumed }
    }

    /// The ring, for looking at its level.
    pub(in crate::xsk) fn ring(&self) -> &Arc<Ring<T>> {
        &self.ring
    }

    /// For how many more entries there is room.
    pub(in crate::xsk) fn room(&mut self) -> u32 {
        self.consumed = self.ring.consumer().load(Ordering::Acquire);
        self.ring.capacity - self.produced.wrapping_sub(self.consumed)
    }

    /// Whether there is none; asks the consumer's side only if it looks so.
    pub(in crate::xsk) fn is_full(&mut self) -> bool {
        self.produced.wrapping_sub(self.consumed) == self.ring.capacity && self.room() == 0
    }

    /// Writes one entry, which the consumer sees after [`Producer::publish`]; gives it back where
    /// there is no room.
    pub(in crate::xsk) fn push(&mut self, entry: T) -> Result<(), T> {
        if self.is_full() {
            return Err(entry);
        }
        // SAFETY: the consumer is past this entry, as the acquire load of its index has shown, and
        // will not look at it before the next release store.
        unsafe { self.ring.entry(self.produced).write(entry) };
        self.produced = self.produced.wrapping_add(1);
        Ok(())
    }

    /// Gives what was written to the consumer.
    pub(in crate::xsk) fn publish(&mut self) {
        self.ring.producer().store(self.produced, Ordering::Release);
    }

    /// How many entries the consumer has not taken, published or not.
    pub(in crate::xsk) fn unconsumed(&mut self) -> u32 {
        self.ring.capacity - self.room()
    }

    /// Whether the kernel waits for a system call before it goes on.
    pub(in crate::xsk) fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }
}

/// The side that reads entries.
pub(in crate::xsk) struct Consumer<T> {
    ring: Arc<Ring<T>>,
    consumed: u32,
    /// The producer's index when it was last read.
    produced: u32,
}

impl<T: Entry> Consumer<T> {
    /// The only consumer of this ring.
    pub(in crate::xsk) fn new(ring: Arc<Ring<T>>) -> Self {
        let produced = ring.producer().load(Ordering::Acquire);
        let consumed = ring.consumer().load(Ordering::Relaxed);
        Self { ring, consumed, produced }
    }

    /// How many entries can be read.
    pub(in crate::xsk) fn available(&self) -> u32 {
        self.ring.waiting()
    }

    /// Reads one entry. Its place is the producer's again after [`Consumer::release`].
    pub(in crate::xsk) fn pop(&mut self) -> Option<T> {
        if self.consumed == self.produced {
            self.produced = self.ring.producer().load(Ordering::Acquire);
            if self.consumed == self.produced {
                return None;
            }
        }
        // SAFETY: the producer has written this entry, as the acquire load has shown, and will not
        // touch it before our next release store. `Entry` says that any bits are a value.
        let entry = unsafe { self.ring.entry(self.consumed).read() };
        self.consumed = self.consumed.wrapping_add(1);
        Some(entry)
    }

    /// Gives the places of what was read back to the producer.
    pub(in crate::xsk) fn release(&mut self) {
        self.ring.consumer().store(self.consumed, Ordering::Release);
    }
}
