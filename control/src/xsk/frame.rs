//! Frames: what they are called towards the kernel, and the handles that own one each.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ring::Entry;

/// The bytes at the start of a frame that hold no packet: the kernel keeps them free in what it
/// receives (`XDP_PACKET_HEADROOM`), so that headers can grow.
pub const HEADROOM: usize = 256;

/// Ethernet header and one VLAN tag, in bytes.
pub const LINK_HEADER: usize = 14 + 4;

/// Handles that were dropped instead of returned.
static LOST_FRAMES: AtomicU64 = AtomicU64::new(0);

/// How many frames this process has lost by dropping their handles. Always 0, or there is a fault.
pub fn lost_frames() -> u64 {
    LOST_FRAMES.load(Ordering::Relaxed)
}

/// The size of one frame with its headroom; the kernel allows these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChunkSize {
    /// 2,048 bytes.
    Small,
    /// 4,096 bytes.
    Page,
}

impl ChunkSize {
    /// The size in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Small => 2048,
            Self::Page => 4096,
        }
    }

    /// The longest packet in bytes, link header included.
    pub const fn capacity(self) -> usize {
        self.bytes() - HEADROOM
    }
}

/// Where a packet or a frame lies: bytes from the start of the UMEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct FrameAddr(pub(super) u64);

/// `struct xdp_desc` of linux/if_xdp.h: a packet in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Descriptor {
    pub(super) address: FrameAddr,
    pub(super) length: u32,
    pub(super) options: u32,
}

const _: () = assert!(size_of::<Descriptor>() == 16 && size_of::<FrameAddr>() == 8);

// SAFETY: the kernel's fill and completion rings hold `u64`.
unsafe impl Entry for FrameAddr {}
// SAFETY: the kernel's rx and tx rings hold `struct xdp_desc`; its fields are plain integers.
unsafe impl Entry for Descriptor {}

/// One frame, owned, with the packet that it holds.
///
/// Return it, or transmit it: a dropped handle is a frame that nobody can use any more, and is
/// counted ([`lost_frames`]).
#[derive(Debug)]
#[must_use = "a dropped frame is lost"]
pub struct Frame {
    pub(super) chunk: NonNull<u8>,
    pub(super) size: u16,
    pub(super) start: u16,
    pub(super) length: u16,
}

// SAFETY: a handle is the only way to its frame, which belongs to no thread.
unsafe impl Send for Frame {}

impl Frame {
    /// The packet, from its link header on.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `start + length <= size`, all of the chunk is initialised (mapped zeroed), only
        // this handle leads to it, and the memory outlives its handles (see `Memory::drop`).
        unsafe { slice::from_raw_parts(self.data().as_ptr(), self.length.into()) }
    }

    /// The packet, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.data().as_ptr(), self.length.into()) }
    }

    /// The longest packet that fits, in bytes.
    pub fn capacity(&self) -> usize {
        usize::from(self.size) - HEADROOM
    }

    /// Makes room for another packet of `length` bytes. What it holds at first is left over from
    /// the packet before.
    ///
    /// # Panics
    ///
    /// If it is longer than [`Frame::capacity`].
    pub fn renew(&mut self, length: usize) -> &mut [u8] {
        assert!(length <= self.capacity(), "a packet of {length} bytes does not fit");
        (self.start, self.length) = (HEADROOM as u16, length as u16);
        self.bytes_mut()
    }

    /// Makes another packet of it, which keeps what stands from byte `at` on: `before` bytes go ahead of
    /// that, and the packet has `length` bytes in all. `None`, and nothing has changed, if the frame has
    /// no room for it.
    pub fn surround(&mut self, at: usize, before: usize, length: usize) -> Option<&mut [u8]> {
        let start = (usize::from(self.start) + at).checked_sub(before)?;
        if start + length > usize::from(self.size) {
            return None;
        }
        (self.start, self.length) = (start as u16, length as u16);
        Some(self.bytes_mut())
    }

    fn data(&self) -> NonNull<u8> {
        // SAFETY: `start` lies in the chunk.
        unsafe { self.chunk.add(self.start.into()) }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        LOST_FRAMES.fetch_add(1, Ordering::Relaxed);
    }
}
