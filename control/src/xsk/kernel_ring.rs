//! Rings of which the other side is the kernel's.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use rustix::net::sockopt;
use rustix::net::xdp::{
    XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING, XDP_UMEM_PGOFF_COMPLETION_RING, XDP_UMEM_PGOFF_FILL_RING,
    XdpRingOffset,
};

use super::mapping::Mapping;
use super::ring::{Entry, Offsets, Ring};

/// `XDP_MAX_TX_SKB_BUDGET` of linux/if_xdp.h, since kernel 6.18.
const MAX_TX_SKB_BUDGET: libc::c_int = 9;

/// Which ring of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) enum RingKind {
    Rx,
    Tx,
    Fill,
    Completion,
}

/// Makes a ring of a socket that is not bound yet, and maps it. Each kind once a socket: whoever
/// gets it is our only end of it.
pub(super) fn make<T: Entry>(
    socket: BorrowedFd<'_>,
    kind: RingKind,
    size: u32,
) -> io::Result<Arc<Ring<T>>> {
    match kind {
        RingKind::Rx => sockopt::set_xdp_rx_ring_size(socket, size),
        RingKind::Tx => sockopt::set_xdp_tx_ring_size(socket, size),
        RingKind::Fill => sockopt::set_xdp_umem_fill_ring_size(socket, size),
        RingKind::Completion => sockopt::set_xdp_umem_completion_ring_size(socket, size),
    }?;
    if let RingKind::Tx = kind {
        raise_tx_budget(socket, size);
    }
    let all = sockopt::xdp_mmap_offsets(socket)?;
    let (page, XdpRingOffset { producer, consumer, desc, flags }) = match kind {
        RingKind::Rx => (XDP_PGOFF_RX_RING, all.rx),
        RingKind::Tx => (XDP_PGOFF_TX_RING, all.tx),
        RingKind::Fill => (XDP_UMEM_PGOFF_FILL_RING, all.fr),
        RingKind::Completion => (XDP_UMEM_PGOFF_COMPLETION_RING, all.cr),
    };
    // Without flags (before 5.4) nobody could say that the driver has to be woken.
    let flags = flags.ok_or(io::ErrorKind::Unsupported)?;
    let [producer, consumer, flags, entries] =
        [producer, consumer, flags, desc].map(|offset| offset as usize);
    let len = entries + size as usize * size_of::<T>();
    let mapping = Mapping::of_ring(socket, page, len)?;
    Ok(Ring::new(mapping, Offsets { producer, consumer, flags, entries }, size))
}

/// Lets one call transmit the whole ring instead of 32 packets. Older kernels cannot, and are
/// called more often.
fn raise_tx_budget(socket: BorrowedFd<'_>, budget: u32) {
    // SAFETY: the option's value is a `u32` that is alive, and the length is its size.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            MAX_TX_SKB_BUDGET,
            (&raw const budget).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
}
