//! Where an association's datagrams go and come from.

use std::net::{IpAddr, SocketAddr};

/// The peer's address, and ours that it sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The local address that answers; `None` leaves the choice to the kernel.
    pub local: Option<IpAddr>,
}

/// Headers before the UDP payload, in bytes: IPv4 or IPv6 without options, and UDP.
const IPV4_UDP_LEN: u16 = 20 + 8;
const IPV6_UDP_LEN: u16 = 40 + 8;

/// The largest UDP payload to `remote` on a path that takes IP packets of `path_mtu` bytes.
///
/// A socket of IPv6 names peers that are reached over IPv4 by mapped addresses.
pub fn max_payload(path_mtu: u16, remote: SocketAddr) -> u16 {
    let ipv4 = remote.ip().to_canonical().is_ipv4();
    path_mtu.saturating_sub(if ipv4 { IPV4_UDP_LEN } else { IPV6_UDP_LEN })
}
