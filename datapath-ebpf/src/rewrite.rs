//! Packet bytes written where they stand, and a packet's new end.

use aya_ebpf::helpers::bpf_xdp_adjust_tail;
use aya_ebpf::programs::XdpContext;
use xdtls_common::cursor::Truncated;
use xdtls_common::reply::FrameMut;

use crate::packet::opaque;

/// Rewrites a packet.
pub(crate) struct PacketMut {
    start: usize,
    end: usize,
}

impl PacketMut {
    /// The frame.
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self { start: context.data(), end: context.data_end() }
    }
}

impl FrameMut for PacketMut {
    #[inline(always)]
    fn get<const N: usize>(&self, at: usize) -> Result<[u8; N], Truncated> {
        let from = self.start + at;
        if from + N > self.end {
            return Err(Truncated);
        }
        // SAFETY: as in `PacketCursor::take`.
        Ok(unsafe { (from as *const [u8; N]).read() })
    }

    #[inline(always)]
    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) -> Result<(), Truncated> {
        let from = self.start + at;
        if from + N > self.end {
            return Err(Truncated);
        }
        // SAFETY: as in `PacketCursor::take`.
        unsafe { (from as *mut [u8; N]).write(bytes) };
        Ok(())
    }
}

/// Cuts the packet to `length`; no pointer into it is good any more.
#[inline(always)]
pub(crate) fn shorten(context: &XdpContext, length: usize) -> bool {
    // Pointers have 64 bits; their difference must not be taken in the 32 of what it is used for.
    let whole = opaque(context.data_end() - context.data());
    let change = length as i32 - whole as i32;
    // SAFETY: the helper checks the length; the context is this run's.
    unsafe { bpf_xdp_adjust_tail(context.ctx, change) == 0 }
}
