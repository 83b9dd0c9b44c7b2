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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(remote: &str) -> Endpoint {
        Endpoint { remote: remote.parse().unwrap(), local: None }
    }

    #[test]
    fn one_peer_has_many_names() {
        for (one, other, same) in [
            ("192.0.2.1:5", "[::ffff:192.0.2.1]:5", true),
            ("[fe80::1%2]:5", "[fe80::1]:5", true),
            ("192.0.2.1:5", "192.0.2.1:6", false),
            ("192.0.2.1:5", "192.0.2.2:5", false),
            ("[2001:db8::1]:5", "[2001:db8::2]:5", false),
        ] {
            assert_eq!(at(one).is_of_same_peer(&at(other)), same, "{one} {other}");
            assert_eq!(at(other).is_of_same_peer(&at(one)), same, "{other} {one}");
        }
    }

    #[test]
    fn a_new_address_is_named_as_the_socket_of_the_old_one_takes_it() {
        for (old, new, named) in [
            ("192.0.2.1:5", "192.0.2.2:6", "192.0.2.2:6"),
            ("[::ffff:192.0.2.1]:5", "192.0.2.2:6", "[::ffff:192.0.2.2]:6"),
            ("[2001:db8::1]:5", "192.0.2.2:6", "[::ffff:192.0.2.2]:6"),
            ("[2001:db8::1]:5", "[2001:db8::2]:6", "[2001:db8::2]:6"),
            ("[fe80::1%2]:5", "[fe80::2]:6", "[fe80::2%2]:6"),
            ("[fe80::1%2]:5", "[fe80::2%3]:6", "[fe80::2%3]:6"),
        ] {
            assert_eq!(at(old).name(at(new).remote), at(named).remote, "{old} {new}");
        }
    }
}
