//! One AF_XDP socket: making it step by step, and the calls of its life.
//!
//! Kernel document: Documentation/networking/af_xdp.rst.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, SocketAddrXdpWithSharedUmem, XdpOptionsFlags, XdpStatistics,
    XdpUmemReg, XdpUmemRegFlags,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, socket_with,
};

use super::error::{Place, Step, XskError};
use super::kernel_ring::{self, RingKind};
use super::options::ZeroCopy;
use super::ring::{Entry, Ring};
use super::umem::Umem;

/// What may be on its way in copy mode, in bytes.
const SEND_BUFFER: usize = 8 << 20;

/// How often binding is tried, and what it waits in between: a queue is freed in the background
/// when its last socket is closed, so for a moment it is still taken by whoever was there before.
const BIND_ATTEMPTS: usize = 10;
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// Whose memory a socket uses.
pub(super) enum Sharing<'a> {
    /// The one that it has registered itself.
    Own(ZeroCopy),
    /// That of a socket that is bound already, and on the same queue its fill and completion rings.
    With(&'a XskSocket),
}

/// An AF_XDP socket.
#[derive(Debug)]
pub(super) struct XskSocket {
    fd: OwnedFd,
    place: Place,
    zero_copy: bool,
}

impl XskSocket {
    pub(super) fn new(place: Place) -> Result<Self, XskError> {
        let socket = socket_with(AddressFamily::XDP, SocketType::RAW, SocketFlags::CLOEXEC, None);
        let fd = socket.map_err(|errno| XskError::kernel(Step::OpenSocket, place, errno))?;
        // What the default allows to be on its way is a few dozen packets. Less is no fault.
        let _ = sockopt::set_socket_send_buffer_size_force(&fd, SEND_BUFFER);
        Ok(Self { fd, place, zero_copy: false })
    }

    pub(super) fn register(&self, umem: &Umem) -> Result<(), XskError> {
        let (addr, len) = umem.range();
        let registration = XdpUmemReg {
            addr,
            len,
            chunk_size: umem.chunk().bytes() as u32,
            // On top of `HEADROOM`, which the kernel always keeps.
            headroom: 0,
            flags: XdpUmemRegFlags::empty(),
            tx_metadata_len: 0,
        };
        sockopt::set_xdp_umem_reg(&self.fd, registration)
            .map_err(|errno| XskError::kernel(Step::RegisterMemory, self.place, errno))
    }

    /// Makes and maps a ring. Each kind once a socket: whoever gets it is our only end of it.
    pub(super) fn ring<T: Entry>(
        &self,
        kind: RingKind,
        size: u32,
    ) -> Result<Arc<Ring<T>>, XskError> {
        kernel_ring::make(self.fd.as_fd(), kind, size)
            .map_err(|errno| XskError::kernel(Step::MakeRing, self.place, errno))
    }

    /// Binds to the queue and learns whether it is zero-copy.
    pub(super) fn bind(&mut self, sharing: &Sharing<'_>) -> Result<(), XskError> {
        let mut outcome = self.try_bind(sharing);
        for _ in 1..BIND_ATTEMPTS {
            if outcome != Err(Errno::BUSY) {
                break;
            }
            std::thread::sleep(BIND_PAUSE);
            outcome = self.try_bind(sharing);
        }
        outcome
            .and_then(|()| sockopt::xdp_options(&self.fd))
            .map(|options| self.zero_copy = options.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY))
            .map_err(|errno| XskError::kernel(Step::Bind, self.place, errno))
    }

    fn try_bind(&self, sharing: &Sharing<'_>) -> Result<(), Errno> {
        let Place { interface, queue, .. } = self.place;
        let address = |flags| SocketAddrXdp::new(flags, interface, queue);
        let wakeup = SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP;
        match sharing {
            Sharing::Own(ZeroCopy::Auto) => bind(&self.fd, &address(wakeup)),
            Sharing::Own(ZeroCopy::Require) => {
                bind(&self.fd, &address(wakeup | SocketAddrXdpFlags::XDP_ZEROCOPY))
            }
            Sharing::Own(ZeroCopy::Off) => {
                bind(&self.fd, &address(wakeup | SocketAddrXdpFlags::XDP_COPY))
            }
            // The other flags come from the first socket, and the kernel wants none here.
            Sharing::With(first) => {
                let addr = address(SocketAddrXdpFlags::XDP_SHARED_UMEM);
                let shared_umem_fd = first.fd.as_fd();
                bind(&self.fd, &SocketAddrXdpWithSharedUmem { addr, shared_umem_fd })
            }
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn zero_copy(&self) -> bool {
        self.zero_copy
    }

    pub(super) fn statistics(&self) -> io::Result<XdpStatistics> {
        Ok(sockopt::xdp_statistics(&self.fd)?)
    }

    /// Tells the driver that there are packets to send; in copy mode this is what sends them.
    pub(super) fn wake_tx(&self) -> io::Result<()> {
        later(rustix::net::send(&self.fd, &[], SendFlags::DONTWAIT).map(drop))
    }

    /// Tells the driver that there are frames to receive into.
    pub(super) fn wake_rx(&self) -> io::Result<()> {
        later(rustix::net::recv(&self.fd, &mut [0_u8; 0], RecvFlags::DONTWAIT).map(drop))
    }
}

/// What only says "not all, not now" is no error.
fn later(outcome: Result<(), Errno>) -> io::Result<()> {
    match outcome {
        Err(Errno::AGAIN | Errno::BUSY | Errno::NOBUFS | Errno::INTR) => Ok(()),
        outcome => Ok(outcome?),
    }
}
