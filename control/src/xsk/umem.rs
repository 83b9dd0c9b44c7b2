//! The memory that packets lie in (UMEM), cut into frames.
//!
//! Whoever has a [`Frame`] is the only one who may touch its bytes. A handle ends when the frame is
//! given to the kernel ([`Umem::give`]) and is made anew when the kernel gives the frame back
//! ([`Umem::take`]).
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use super::frame::{ChunkSize, Descriptor, Frame, FrameAddr};
use super::mapping::Mapping;

/// The memory of all frames.
#[derive(Debug)]
pub(super) struct Umem {
    mapping: Option<Mapping>,
    base: NonNull<u8>,
    chunk: ChunkSize,
    frames: usize,
    /// Whether a handle of the frame exists. Two of one frame would be two exclusive borrows of
    /// the same bytes, so debug builds check each one.
    handles: Option<Box<[AtomicBool]>>,
}

// SAFETY: the memory is reached only through handles, which are exclusive.
unsafe impl Send for Umem {}
// SAFETY: as above.
unsafe impl Sync for Umem {}

impl Umem {
    /// New memory, and the handles of all its frames.
    pub(super) fn new(frames: usize, chunk: ChunkSize) -> io::Result<(Self, Vec<Frame>)> {
        let mapping = Mapping::anonymous(frames * chunk.bytes())?;
        let handles = cfg!(debug_assertions).then(|| (0..frames).map(|_| AtomicBool::new(false)));
        let (base, handles) = (mapping.base(), handles.map(Iterator::collect));
        let umem = Self { mapping: Some(mapping), base, chunk, frames, handles };
        let addresses = (0..frames).map(|n| FrameAddr((n * chunk.bytes()) as u64));
        // SAFETY: nobody has a frame yet, and each is taken once.
        let free = addresses.map(|address| unsafe { umem.take(address, 0) }).collect();
        Ok((umem, free))
    }

    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    pub(super) fn chunk(&self) -> ChunkSize {
        self.chunk
    }

    /// The whole range: address and length in bytes.
    pub(super) fn range(&self) -> (u64, u64) {
        (self.base.as_ptr() as u64, (self.frames * self.chunk.bytes()) as u64)
    }

    /// The handle of a frame that its owner has given to us, with the packet at `address`.
    ///
    /// # Safety
    ///
    /// There is no other handle of the frame, and the kernel is done with it.
    pub(super) unsafe fn take(&self, address: FrameAddr, length: u32) -> Frame {
        let (size, address) = (self.chunk.bytes(), address.0 as usize);
        let (number, start) = (address / size, address % size);
        // The kernel is trusted, but an address outside would break all that follows.
        assert!(number < self.frames && start + length as usize <= size, "{address} is no frame");
        self.note(number, true);
        // SAFETY: the chunk lies in the mapping.
        let chunk = unsafe { self.base.add(number * size) };
        Frame { chunk, size: size as u16, start: start as u16, length: length as u16 }
    }

    /// Ends a handle: the frame is now whoever's to whom the descriptor goes.
    ///
    /// # Panics
    ///
    /// If the frame is of another UMEM.
    pub(super) fn give(&self, frame: Frame) -> Descriptor {
        assert!(self.owns(&frame), "the frame is of another UMEM");
        let offset = self.offset(&frame);
        self.note(offset / self.chunk.bytes(), false);
        let address = FrameAddr((offset + usize::from(frame.start)) as u64);
        let descriptor = Descriptor { address, length: frame.length.into(), options: 0 };
        mem::forget(frame);
        descriptor
    }

    /// Whether the frame is one of ours.
    pub(super) fn owns(&self, frame: &Frame) -> bool {
        self.offset(frame) < self.frames * self.chunk.bytes()
    }

    fn offset(&self, frame: &Frame) -> usize {
        (frame.chunk.as_ptr() as usize).wrapping_sub(self.base.as_ptr() as usize)
    }

    /// Never gives the memory back: there are handles that we cannot reach.
    pub(super) fn leak(&mut self) {
        mem::forget(self.mapping.take());
    }

    fn note(&self, number: usize, exists: bool) {
        if let Some(handles) = &self.handles {
            let before = handles[number].swap(exists, Ordering::Relaxed);
            assert!(before != exists, "frame {number} has two owners or none");
        }
    }
}
