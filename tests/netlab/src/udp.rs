//! What the UDP programs share: sockets, waiting, and the signal to stop.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use signal_hook::consts::{SIGINT, SIGTERM};

/// A buffer of this size holds any UDP payload.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_536;

/// How many datagrams are taken from a socket before others have their turn.
pub(crate) const BATCH: usize = 64;

/// How long a program may take to see that it is to stop, when the signal came at a bad moment.
pub(crate) const STOP_TICK: Duration = Duration::from_millis(100);

const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// A non-blocking socket with a large receive buffer.
pub(crate) fn bind(address: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(address).with_context(|| format!("{address} cannot be bound"))?;
    socket.set_nonblocking(true)?;
    // As large as the system allows: a small buffer costs datagrams under load, nothing else.
    let _ = set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES);
    Ok(socket)
}

/// A socket of any port that can reach `target`.
pub(crate) fn bind_towards(target: SocketAddr) -> Result<UdpSocket> {
    bind(match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    })
}

/// Waits until something can be received or the time is over; yields the sockets' indices.
pub(crate) fn readable<'a>(
    sockets: impl IntoIterator<Item = &'a UdpSocket>,
    timeout: Duration,
) -> Result<Vec<usize>> {
    let mut waiting: Vec<_> =
        sockets.into_iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
    match poll(&mut waiting, Some(&Timespec::try_from(timeout)?)) {
        Ok(_) => {}
        // A signal: the caller looks whether it is to stop.
        Err(Errno::INTR) => return Ok(Vec::new()),
        Err(error) => return Err(error).context("poll"),
    }
    let ready = waiting.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty());
    Ok(ready.map(|(index, _)| index).collect())
}

/// Takes one datagram; `None` if there is none. ICMP errors that the socket reports are passed over.
pub(crate) fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
) -> Result<Option<(usize, SocketAddr)>> {
    loop {
        match socket.recv_from(buffer) {
            Ok(received) => return Ok(Some(received)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if is_transient(&error) => {}
            Err(error) => return Err(error).context("receive"),
        }
    }
}

/// Sends one datagram; `false` if the kernel takes none now.
pub(crate) fn send(socket: &UdpSocket, datagram: &[u8], target: SocketAddr) -> Result<bool> {
    loop {
        match socket.send_to(datagram, target) {
            Ok(_) => return Ok(true),
            Err(error) if is_full(&error) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(error).context(format!("send {} bytes to {target}", datagram.len()));
            }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error())
}

/// Whether an error is about an earlier datagram's fate or a signal, not about the socket.
fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, Interrupted, NetworkUnreachable};
    let kind = error.kind();
    matches!(kind, ConnectionRefused | HostUnreachable | Interrupted | NetworkUnreachable)
}

/// A flag that SIGTERM and SIGINT raise.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}
