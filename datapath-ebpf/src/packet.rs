//! Packet bytes between the two ends of a packet, read in order.

use core::arch::asm;

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
#[derive(Clone)]
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
        let after = opaque(self.at + N);
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
        if count > self.remaining() {
            return Err(Truncated);
        }
        self.skip_within(count)
    }

    #[inline(always)]
    fn skip_within(&mut self, count: usize) -> Result<(), Truncated> {
        if count > SKIP_MAX {
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

/// The same value, of which the compiler no longer knows where it comes from. It would move parts
/// of the sum to the other side of the comparison, and the verifier then sees arithmetic on the end
/// of the packet, which is forbidden, or learns nothing.
#[inline(always)]
pub(crate) fn opaque(mut value: usize) -> usize {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} */", inout(reg) value, options(pure, nomem, nostack)) };
    value
}
