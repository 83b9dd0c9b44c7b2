//! Where an association's datagrams go and come from.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// The peer's address, and ours that it sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The local address that answers; `None` leaves the choice to the kernel.
    pub local: Option<IpAddr>,
}

impl Endpoint {
    /// Whether both name one address and port of the peer, in whatever family and with whatever
    /// scope: sockets and frames differ in these.
    pub fn is_of_same_peer(&self, other: &Self) -> bool {
        let port = self.remote.port();
        self.remote == other.remote
            || port == other.remote.port()
                && self.remote.ip().to_canonical() == other.remote.ip().to_canonical()
    }

    /// Another address of the peer in the terms of this one: of its family, and on its link where
    /// that is not told, as in frames.
    pub(crate) fn name(&self, other: SocketAddr) -> SocketAddr {
        match (self.remote, other) {
            (SocketAddr::V6(own), SocketAddr::V6(other))
                if other.ip().is_unicast_link_local() && other.scope_id() == 0 =>
            {
                SocketAddrV6::new(*other.ip(), other.port(), 0, own.scope_id()).into()
            }
            (SocketAddr::V6(_), other) => mapped(other),
            (SocketAddr::V4(_), other) => other,
        }
    }
}

/// How a socket of IPv6 names an address, IPv4 as mapped (RFC 4291 §2.5.5.2).
pub fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        v6 => v6,
    }
}

/// Headers before the UDP payload, in bytes: IPv4 or IPv6 without options, and UDP.
pub(crate) const IPV4_UDP_LEN: u16 = 20 + 8;
const IPV6_UDP_LEN: u16 = 40 + 8;

/// The largest UDP payload to `remote` on a path that takes IP packets of `path_mtu` bytes.
///
/// A socket of IPv6 names peers that are reached over IPv4 by mapped addresses.
pub fn max_payload(path_mtu: u16, remote: SocketAddr) -> u16 {
    let ipv4 = remote.ip().to_canonical().is_ipv4();
    path_mtu.saturating_sub(if ipv4 { IPV4_UDP_LEN } else { IPV6_UDP_LEN })
}
