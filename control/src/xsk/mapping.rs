//! Memory from `mmap`, given back when dropped.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// Page-aligned memory for reading and writing, zeroed at first.
///
/// It is only an address range: who may touch which part is decided by the types above it.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the range belongs to the process, not to a thread, and the type touches none of it.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Memory of our own. It is touched at once, so that no packet waits for a page.
    pub(super) fn anonymous(len: usize) -> io::Result<Self> {
        let flags =
            if cfg!(miri) { MapFlags::PRIVATE } else { MapFlags::PRIVATE | MapFlags::POPULATE };
        // SAFETY: the kernel chooses an address where nothing is.
        let base = unsafe {
            mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags)
        }?;
        Self::new(base.cast(), len)
    }

    /// A ring that an AF_XDP socket shares with us; `ring` is one of `XDP_PGOFF_*`.
    pub(super) fn of_ring(socket: BorrowedFd<'_>, ring: u64, len: usize) -> io::Result<Self> {
        let (protection, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: the kernel chooses an address where nothing is.
        let base = unsafe { mmap(ptr::null_mut(), len, protection, flags, socket, ring) }?;
        Self::new(base.cast(), len)
    }

    fn new(base: *mut u8, len: usize) -> io::Result<Self> {
        let base = NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, len })
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range came from `mmap`, and whoever points into it does not outlive us. It
        // cannot fail for a range that was mapped as a whole.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}
