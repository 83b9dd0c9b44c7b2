//! The cursor of the XDP program: between the two ends of a packet.

use aya_ebpf::programs::XdpContext;
use xdtls_common::cursor::{Cursor, Truncated};
use xdtls_common::verdict::MAX_LEADING_RECORDS;

/// The furthest that one step may skip. The verifier follows a pointer only while all that was
/// added to it is less than 64 KiB, and adds up the most that each skip could be. Frames of
/// drivers fit a page, so no record in them is that long.
const SKIP_MAX: usize = 0xffff / (MAX_LEADING_RECORDS + 1);

/// Reads a packet in the order in which it lies in memory.
///
/// The verifier permits a read only behind a comparison of the very pointer with the end of the
/// packet, so each step makes one.
pub(crate) struct PacketCursor {
    at: usize,
    end: usize,
}

impl PacketCursor {
    /// Starts at the first byte of the frame.
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self { at: context.data(), end: context.data_end() }
    }
}

impl Cursor for PacketCursor {
    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let after = self.at + N;
        if after > self.end {
            return Err(Truncated);
        }
        // SAFETY: the N bytes lie before the end of the packet, which belongs to this run of the
        // program alone, and bytes have no alignment.
        let bytes = unsafe { (self.at as *const [u8; N]).read() };
        self.at = after;
        Ok(bytes)
    }

    #[inline(always)]
    fn skip(&mut self, count: usize) -> Result<(), Truncated> {
        if count > SKIP_MAX || count > self.remaining() {
            return Err(Truncated);
        }
        self.at += count;
        Ok(())
    }

    #[inline(always)]
    fn remaining(&self) -> usize {
        self.end - self.at
    }
}
