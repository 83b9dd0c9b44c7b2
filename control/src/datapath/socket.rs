//! UDP sockets with segmentation offload both ways: UDP_GRO when receiving, UDP_SEGMENT when
//! sending. What differs between kernels is quinn-udp's business.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};
use xdtls_common::id::IdLayout;

use super::segments::Run;
use crate::sys;

/// The receive and send buffers that are asked for, in bytes; without privileges the kernel gives
/// less.
const KERNEL_BUFFER: usize = 4 << 20;

/// The same for a socket of one flow, which gets no more than `net.core.rmem_max` and `wmem_max`
/// allow: the usual 208 KiB hold some ninety datagrams of 1200 bytes.
const FLOW_BUFFER: usize = 1 << 20;

/// The largest buffer of merged datagrams, in bytes.
const MERGED_LEN: usize = 1 << 16;

/// A non-blocking UDP socket; DF is set on all that it sends.
#[derive(Clone)]
pub struct Channel {
    inner: Arc<(UdpSocket, UdpSocketState)>,
}

impl Channel {
    /// Takes over a bound socket that many associations share.
    fn shared(socket: Socket) -> io::Result<Self> {
        // The privileged calls fail without CAP_NET_ADMIN; the plain ones then give what they may.
        if sockopt::set_socket_recv_buffer_size_force(&socket, KERNEL_BUFFER).is_err() {
            socket.set_recv_buffer_size(KERNEL_BUFFER)?;
        }
        socket.set_send_buffer_size(KERNEL_BUFFER)?;
        Self::new(socket)
    }

    fn new(socket: Socket) -> io::Result<Self> {
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        socket.set_nonblocking(true)?;
        Ok(Self { inner: Arc::new((socket, state)) })
    }

    /// A socket bound to `address`.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = unbound(address)?;
        socket.bind(&address.into())?;
        Self::shared(socket)
    }

    /// A socket connected to `to`, from `from` if given. It serves one flow.
    pub fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<Self> {
        let socket = unbound(to)?;
        if let Some(from) = from {
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        socket.connect(&to.into())?;
        socket.set_recv_buffer_size(FLOW_BUFFER)?;
        socket.set_send_buffer_size(FLOW_BUFFER)?;
        Self::new(socket)
    }

    /// One socket for each shard on one port. With several, the receiver id decides which socket
    /// gets a datagram. A port that anybody else has is an error.
    pub fn bind_shards(address: SocketAddr, layout: IdLayout) -> io::Result<Vec<Self>> {
        if layout.shards() == 1 {
            return Ok(vec![Self::bind(address)?]);
        }
        // Sockets that share a port would let another gateway of the same user join in silently.
        unbound(address)?.bind(&address.into())?;
        let mut address = address;
        let mut channels = Vec::new();
        for _ in 0..layout.shards() {
            let socket = unbound(address)?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            let channel = Self::shared(socket)?;
            address = channel.local_address()?;
            channels.push(channel);
        }
        sys::steer_by_receiver_id(&channels[0].inner.0, layout)?;
        Ok(channels)
    }

    /// The address that the socket is bound to.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.inner.0.local_addr()
    }

    /// For epoll.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inner.0.as_fd()
    }

    /// The most datagrams that one call can send.
    pub fn max_segments(&self) -> usize {
        self.inner.1.max_gso_segments()
    }

    /// Sends one datagram.
    pub fn send(&self, to: SocketAddr, from: Option<IpAddr>, datagram: &[u8]) -> io::Result<()> {
        self.transmit(to, from, datagram, None)
    }

    /// Sends a run of datagrams; where the device cannot cut it, one by one.
    pub fn send_run<K>(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
        run: &Run<'_, K>,
    ) -> io::Result<()> {
        if run.count <= self.max_segments() {
            let segment = (run.count > 1).then_some(run.segment);
            return self.transmit(to, from, run.bytes, segment);
        }
        run.bytes.chunks(run.segment).try_for_each(|datagram| self.send(to, from, datagram))
    }

    fn transmit(
        &self,
        destination: SocketAddr,
        src_ip: Option<IpAddr>,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        let (socket, state) = &*self.inner;
        let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip };
        state.try_send(UdpSockRef::from(socket), &transmit)
    }

    /// Receives what is waiting, at most one batch. `Ok(())` with an empty batch if nothing is.
    pub fn receive(&self, batch: &mut Batch) -> io::Result<()> {
        let (socket, state) = &*self.inner;
        batch.received = 0;
        let mut buffers: Vec<_> =
            batch.buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        match state.recv(UdpSockRef::from(socket), &mut buffers, &mut batch.meta) {
            Ok(received) => batch.received = received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn unbound(address: SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
}

/// Received buffers, each of one datagram or of several that the kernel has merged.
pub struct Batch {
    buffers: Vec<Box<[u8]>>,
    meta: Vec<RecvMeta>,
    received: usize,
}

/// One received datagram.
pub struct Datagram<'a> {
    /// Where it came from.
    pub from: SocketAddr,
    /// The address of ours that it was sent to.
    pub to: Option<IpAddr>,
    /// Its payload.
    pub payload: &'a mut [u8],
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            buffers: (0..BATCH_SIZE).map(|_| vec![0; MERGED_LEN].into()).collect(),
            meta: vec![RecvMeta::default(); BATCH_SIZE],
            received: 0,
        }
    }
}

impl Batch {
    /// Calls `each` with every datagram. Merged ones are taken apart before anything is parsed.
    pub fn for_each(&mut self, mut each: impl FnMut(Datagram<'_>)) {
        for (buffer, meta) in self.buffers.iter_mut().zip(&self.meta).take(self.received) {
            let merged = &mut buffer[..meta.len];
            let mut datagram =
                |payload| each(Datagram { from: meta.addr, to: meta.dst_ip, payload });
            if merged.is_empty() {
                datagram(merged);
            } else {
                merged.chunks_mut(meta.stride.max(1)).for_each(datagram);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datapath::segments::Segments;

    fn receive_all(channel: &Channel, count: usize) -> Vec<Vec<u8>> {
        let (mut batch, mut received) = (Batch::default(), Vec::new());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while received.len() < count && std::time::Instant::now() < deadline {
            channel.receive(&mut batch).unwrap();
            batch.for_each(|datagram| received.push(datagram.payload.to_vec()));
        }
        received
    }

    #[test]
    fn a_run_arrives_as_the_datagrams_that_it_was_made_of() {
        let receiver = Channel::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let sender = Channel::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let to = receiver.local_address().unwrap();
        let sent: Vec<Vec<u8>> = [700, 700, 700, 20, 0, 0, 9]
            .iter()
            .map(|length| vec![*length as u8; *length])
            .collect();
        let mut segments = Segments::new(sender.max_segments());
        for datagram in &sent {
            let flush = |run: Run<'_, SocketAddr>| sender.send_run(*run.to, None, &run).unwrap();
            segments.room(&to, datagram.len(), flush).copy_from_slice(datagram);
        }
        segments.flush(|run| sender.send_run(*run.to, None, &run).unwrap());
        assert_eq!(receive_all(&receiver, sent.len()), sent);
    }

    #[test]
    fn shards_share_one_port() {
        let layout = IdLayout::for_capacity(64, 2).unwrap();
        let channels = Channel::bind_shards("127.0.0.1:0".parse().unwrap(), layout).unwrap();
        let to = channels[0].local_address().unwrap();
        assert_eq!(channels[1].local_address().unwrap(), to);
        let taken = Channel::bind_shards(to, layout).map(drop).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        let sender = Channel::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        for receiver in 1..=20_u32 {
            let datagram = [[0; 4], receiver.to_be_bytes()].concat();
            sender.send(to, None, &datagram).unwrap();
        }
        for (shard, channel) in channels.iter().enumerate() {
            let ids: Vec<_> = receive_all(channel, 10).iter().map(|d| d[7] as usize % 2).collect();
            assert_eq!(ids, [shard; 10]);
        }
    }
}
