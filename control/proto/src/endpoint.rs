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
