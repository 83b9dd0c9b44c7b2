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

impl Endpoint {
    /// Whether datagrams travel over IPv4; a socket of IPv6 names such peers by mapped addresses.
    pub fn is_ipv4(&self) -> bool {
        self.remote.ip().to_canonical().is_ipv4()
    }
}
