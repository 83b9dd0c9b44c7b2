//! Rings with one producer and one consumer, in memory that both share.
//!
//! One side is ours, the other the kernel's, or ours too where there is no kernel
//! ([`Ring::pair`]). The indices count up for ever and wrap at 2^32; the entry of index `i` lies at
//! `i % capacity`. What keeps both sides apart:
//!
//! - Entries from the consumer's index up to the producer's belong to the consumer, all others to
//!   the producer. Nobody else touches an entry.
//! - Each index has one writer, which stores it with release when it is done with the entries that
//!   it gives away; the other side loads it with acquire before it touches them.
//!
//! Kernel document: Documentation/networking/af_xdp.rst, "Rings".
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::mapping::Mapping;

mod ends;
#[cfg(test)]
mod tests;

pub(super) use ends::{Consumer, Producer};

/// `XDP_RING_NEED_WAKEUP` of linux/if_xdp.h.
const NEED_WAKEUP: u32 = 1;

/// What a ring may carry.
///
/// # Safety
///
/// Every bit pattern must be a value, and the layout that of the kernel.
pub(super) unsafe trait Entry: Copy + Send {}

/// Where the parts of a ring lie, in bytes from the start of its memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offsets {
    pub(super) producer: usize,
    pub(super) consumer: usize,
    pub(super) flags: usize,
    pub(super) entries: usize,
}

/// What both sides of a ring share.
pub(super) struct Ring<T> {
    mapping: Mapping,
    offsets: Offsets,
    capacity: u32,
    entries: PhantomData<T>,
}

impl<T: Entry> Ring<T> {
    /// A ring of `capacity` entries, a power of two.
    pub(super) fn new(mapping: Mapping, offsets: Offsets, capacity: u32) -> Arc<Self> {
        assert!(capacity.is_power_of_two(), "{capacity} entries are no power of two");
        let end = offsets.entries + capacity as usize * size_of::<T>();
        assert!(end <= mapping.len() && offsets.entries.is_multiple_of(align_of::<T>()));
        for word in [offsets.producer, offsets.consumer, offsets.flags] {
            assert!(word + size_of::<u32>() <= mapping.len() && word.is_multiple_of(4));
        }
        Arc::new(Self { mapping, offsets, capacity, entries: PhantomData })
    }

    /// Both sides of a ring without a kernel.
    pub(super) fn pair(capacity: u32) -> io::Result<(Producer<T>, Consumer<T>)> {
        // As the kernel does: nobody's index shares a cache line with something else.
        let offsets = Offsets { producer: 0, consumer: 64, flags: 128, entries: 192 };
        let mapping = Mapping::anonymous(offsets.entries + capacity as usize * size_of::<T>())?;
        let ring = Self::new(mapping, offsets, capacity);
        Ok((Producer::new(ring.clone()), Consumer::new(ring)))
    }

    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// How many entries are between the indices; a moment later it may be another number.
    pub(super) fn waiting(&self) -> u32 {
        // The consumer first: it only runs after the producer, so the difference is never negative.
        let consumed = self.consumer().load(Ordering::Acquire);
        let produced = self.producer().load(Ordering::Acquire);
        produced.wrapping_sub(consumed).min(self.capacity)
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `new` has checked that the word is aligned and in the mapping, which lives as
        // long as `self`; it is only ever accessed atomically.
        unsafe { self.mapping.base().add(offset).cast().as_ref() }
    }

    fn producer(&self) -> &AtomicU32 {
        self.word(self.offsets.producer)
    }

    fn consumer(&self) -> &AtomicU32 {
        self.word(self.offsets.consumer)
    }

    fn needs_wakeup(&self) -> bool {
        self.word(self.offsets.flags).load(Ordering::Acquire) & NEED_WAKEUP != 0
    }

    fn entry(&self, index: u32) -> *mut T {
        let position = (index & (self.capacity - 1)) as usize;
        // SAFETY: `new` has checked that all entries lie in the mapping.
        let entry =
            unsafe { self.mapping.base().add(self.offsets.entries).cast::<T>().add(position) };
        entry.as_ptr()
    }
}
