//! System calls that no crate offers.
#![allow(unsafe_code)]

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};

use xdtls_common::id::IdLayout;

/// `struct sock_filter` of classic BPF (linux/filter.h).
type Instruction = libc::sock_filter;

/// The classic BPF program that picks a socket of a reuseport group by the receiver id, with the
/// same result as [`IdLayout::shard_of`]. The packet begins with the UDP payload; where it is too
/// short, the load ends the program with 0, the first socket.
fn shard_program(layout: IdLayout) -> [Instruction; 4] {
    let instruction = |code: u32, k: u32| Instruction { code: code as u16, jt: 0, jf: 0, k };
    let slots = (1_u32 << layout.slot_bits()) - 1;
    [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 4),
        instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, slots),
        instruction(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, layout.shards()),
        instruction(libc::BPF_RET | libc::BPF_A, 0),
    ]
}

/// Lets the receiver id decide which socket of `socket`'s reuseport group gets a datagram. The
/// sockets count in the order in which they were bound.
pub fn steer_by_receiver_id(socket: impl AsFd, layout: IdLayout) -> io::Result<()> {
    let mut program = shard_program(layout);
    let descriptor = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the option's value is a `sock_fprog` that is alive, as is the program it points to,
    // and the length given is its size. The kernel copies both before it returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const descriptor).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `struct ethtool_rxnfc` (linux/ethtool.h) as far as `ETHTOOL_GRXFH` reads it, with room for the rest.
#[repr(C)]
struct FlowHash {
    command: u32,
    flow_type: u32,
    /// The `RXH_…` bits of what counts.
    data: u64,
    rest: [u64; 32],
}

/// Whether a network card looks at the ports of UDP over IPv4 when it picks a receive queue.
/// `socket` is any socket in the interface's namespace.
pub fn udp_ports_spread(socket: impl AsFd, interface: &str) -> io::Result<bool> {
    const ETHTOOL_GRXFH: u32 = 0x29;
    const UDP_V4_FLOW: u32 = 0x02;
    const RXH_L4_PORTS: u64 = 0b11 << 6;
    let mut hash =
        FlowHash { command: ETHTOOL_GRXFH, flow_type: UDP_V4_FLOW, data: 0, rest: [0; 32] };
    // SAFETY: `ifreq` is plain data; all zeroes are an empty name and a null pointer.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut hash).cast();
    // SAFETY: the request names an interface, ends its name with a zero, and points to a structure
    // that is alive and at least as large as what the kernel copies for this command.
    let result =
        unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result == 0 {
        Ok(hash.data & RXH_L4_PORTS == RXH_L4_PORTS)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Asks the kernel to back the whole pages of a range of memory by huge ones, from now on and where
/// it can: what is read at random in there is then found without walks through page tables that no
/// cache has.
pub fn prefer_huge_pages(memory: Range<*const u8>) -> io::Result<()> {
    let page = rustix::param::page_size();
    let start = memory.start.addr().next_multiple_of(page);
    let length = (memory.end.addr() & !(page - 1)).saturating_sub(start);
    if length == 0 {
        return Ok(());
    }
    let start = memory.start.with_addr(start).cast_mut();
    // SAFETY: this advice changes neither what memory holds nor who may use it, whosever it is.
    let result = unsafe { libc::madvise(start.cast(), length, libc::MADV_HUGEPAGE) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn the_kernel_picks_the_socket_that_shard_of_names() {
        let layout = IdLayout::for_capacity(1000, 3).unwrap();
        let mut address: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        let sockets: Vec<UdpSocket> = (0..3)
            .map(|_| {
                let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
                socket.set_reuse_port(true).unwrap();
                socket.bind(&address.into()).unwrap();
                let socket = UdpSocket::from(socket);
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                address = socket.local_addr().unwrap();
                socket
            })
            .collect();
        steer_by_receiver_id(&sockets[0], layout).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for receiver in (0..200_u32).map(|number| number.wrapping_mul(0x9e37_79b1)) {
            let datagram = [[9; 4], receiver.to_be_bytes()].concat();
            sender.send_to(&datagram, address).unwrap();
            let mut buffer = [0; 16];
            let socket = &sockets[layout.shard_of(receiver) as usize];
            assert_eq!(socket.recv(&mut buffer).unwrap(), 8, "receiver id {receiver:08x}");
        }
        sender.send_to(&[1, 2, 3], address).unwrap();
        assert_eq!(sockets[0].recv(&mut [0; 16]).unwrap(), 3);
    }
}
