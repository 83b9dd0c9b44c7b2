//! Whose share of the limits a handshake uses.

use std::net::IpAddr;

/// What counts as one source: an IPv4 address, or the /64 that one IPv6 host is given.
pub(super) fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}
