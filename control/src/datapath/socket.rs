//! UDP sockets with segmentation offload both ways: UDP_GRO when receiving, UDP_SEGMENT when
//! sending. The bits of them that differ between kernels are quinn-udp's business.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use super::segments::Run;

/// The receive buffer that is asked for, in bytes; without privileges the kernel gives less.
const RECEIVE_BUFFER: usize = 8 << 20;

/// The largest buffer of merged datagrams.
const GRO_BUFFER: usize = 1 << 16;

/// A non-blocking UDP socket.
pub struct Socket_ {
    socket: UdpSocket,
    state: UdpSocketState,
}
