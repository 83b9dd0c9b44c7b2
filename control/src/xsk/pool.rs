//! What all sockets of a set share: the memory, the free frames, the ledger.

use std::io;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::accounting::Ledger;
use super::frame::{ChunkSize, Frame};
use super::umem::Umem;

/// The memory of a set and the frames that nobody uses.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) umem: Umem,
    pub(super) ledger: Ledger,
    /// Locked for moving a batch of handles and nothing else.
    free: Mutex<Vec<Frame>>,
}

impl Memory {
    pub(super) fn new(frames: usize, chunk: ChunkSize, shards: usize) -> io::Result<Self> {
        let (umem, free) = Umem::new(frames, chunk)?;
        Ok(Self { umem, ledger: Ledger::new(shards), free: Mutex::new(free) })
    }

    /// Moves up to `count` free frames into `to` and returns how many.
    pub(super) fn take(&self, count: usize, to: &mut Vec<Frame>) -> usize {
        let mut free = self.free();
        let rest = free.len() - count.min(free.len());
        let moved = free.drain(rest..);
        let count = moved.len();
        to.extend(moved);
        count
    }

    /// Moves the frames of `from` behind the first `keep` into the pool and returns how many.
    pub(super) fn give(&self, from: &mut Vec<Frame>, keep: usize) -> usize {
        let moved = from.drain(keep.min(from.len())..);
        let count = moved.len();
        self.free().extend(moved);
        count
    }

    /// How many frames are in the pool.
    pub(super) fn free_frames(&self) -> usize {
        self.free().len()
    }

    fn free(&self) -> MutexGuard<'_, Vec<Frame>> {
        // Whoever panicked in there has left whole handles behind.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Memory {
    /// Sockets and shards are gone by now. Handles may remain with a worker that kept them beyond
    /// its shard: then the memory has to remain, too.
    fn drop(&mut self) {
        if self.ledger.sum().held != 0 {
            self.umem.leak();
        }
        for frame in mem::take(&mut *self.free()) {
            // Not lost: its memory goes away with it.
            self.umem.give(frame);
        }
    }
}
