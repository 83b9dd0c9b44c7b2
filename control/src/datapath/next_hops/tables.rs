//! What the kernel's tables say of the way to an address, as plain data.
//!
//! Only what is beyond doubt is answered. Several equally good routes, routes by rules of an
//! operator, tunnels, other interfaces, neighbours without an address: the kernel knows what to do,
//! so such datagrams leave through a socket.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use xdtls_common::frame::{LinkHeader, VlanTag};

/// The interface that AF_XDP transmits on, or a VLAN on top of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The kernel's number for it.
    pub index: u32,
    /// Its own MAC address.
    pub mac: [u8; 6],
    /// The tag of its frames.
    pub vlan: Option<VlanTag>,
    /// Its MTU in bytes.
    pub mtu: usize,
}

/// A way that AF_XDP can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The device, by the kernel's number.
    pub device: u32,
    /// The next hop; `None` for the destination itself.
    pub gateway: Option<IpAddr>,
    /// The source address that the route prefers.
    pub source: Option<IpAddr>,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destinations.
    pub network: IpAddr,
    /// How many leading bits of `network` count.
    pub prefix_len: u8,
    /// Of equal prefixes the lowest wins.
    pub metric: u32,
    /// `None` for what is left to the kernel.
    pub way: Option<Way>,
}

/// An address of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The device that has it, by the kernel's number.
    pub device: u32,
    /// The address.
    pub address: IpAddr,
    /// Whether new flows may choose it.
    pub preferred: bool,
}

/// Whose MAC address is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The device that it is reached through, by the kernel's number.
    pub device: u32,
    /// Its IP address.
    pub address: IpAddr,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Whether the kernel would make sure of it before long, if it sent there itself.
    pub stale: bool,
}

/// A copy of the kernel's tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    devices: Vec<Device>,
    routes: Vec<Route>,
    addresses: Vec<Address>,
    neighbours: Vec<Neighbour>,
}

/// Where a datagram goes on its first hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The link header of its frame.
    pub link: LinkHeader,
    /// Its source address.
    pub source: IpAddr,
    /// The largest packet in bytes.
    pub mtu: usize,
    /// Whose MAC address it is: the position in [`Tables::neighbours`].
    pub neighbour: usize,
}

impl Tables {
    /// Sorts what was read, so that it can be searched.
    pub fn new(
        devices: Vec<Device>,
        mut routes: Vec<Route>,
        addresses: Vec<Address>,
        mut neighbours: Vec<Neighbour>,
    ) -> Self {
        routes.sort_by_key(|route| (std::cmp::Reverse(route.prefix_len), route.metric));
        neighbours.sort_by_key(|neighbour| (neighbour.device, neighbour.address));
        Self { devices, routes, addresses, neighbours }
    }

    /// All neighbours whose MAC address is known.
    pub fn neighbours(&self) -> &[Neighbour] {
        &self.neighbours
    }

    /// Whether something of this device concerns these tables.
    pub fn has_device(&self, index: u32) -> bool {
        self.devices.iter().any(|device| device.index == index)
    }

    /// The first hop from `local`, or from the address that the kernel would choose, to `remote`.
    /// `None` if there is any doubt.
    pub fn find(&self, remote: SocketAddr, local: Option<IpAddr>) -> Option<Hop> {
        let destination = remote.ip().to_canonical();
        let way = match remote {
            SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => {
                Way { device: v6.scope_id(), gateway: None, source: None }
            }
            _ => self.route(destination)?,
        };
        let device = self.devices.iter().find(|device| device.index == way.device)?;
        let source = match local.map(|local| local.to_canonical()) {
            Some(local) => {
                self.addresses.iter().any(|own| own.address == local).then_some(local)?
            }
            None => way.source.or_else(|| self.only_address(way.device, destination))?,
        };
        let next = (way.device, way.gateway.unwrap_or(destination));
        let key = |neighbour: &Neighbour| (neighbour.device, neighbour.address);
        let neighbour = self.neighbours.binary_search_by_key(&next, key).ok()?;
        let destination = self.neighbours[neighbour].mac;
        let link = LinkHeader { destination, source: device.mac, vlan: device.vlan };
        Some(Hop { link, source, mtu: device.mtu, neighbour })
    }

    /// The way of the most specific route, unless there are two.
    fn route(&self, destination: IpAddr) -> Option<Way> {
        let mut matching = self.routes.iter().filter(|route| route.covers(destination));
        let best = matching.next()?;
        let rank = |route: &Route| (route.prefix_len, route.metric);
        let ambiguous = matching.next().is_some_and(|next| rank(next) == rank(best));
        if ambiguous { None } else { best.way }
    }

    /// The device's address for this destination, if there is no choice.
    fn only_address(&self, device: u32, destination: IpAddr) -> Option<IpAddr> {
        let mut suitable = self.addresses.iter().filter(|own| {
            let alike = own.address.is_ipv4() == destination.is_ipv4()
                && is_link_local(own.address) == is_link_local(destination);
            own.device == device && own.preferred && alike
        });
        let only = suitable.next()?;
        suitable.next().is_none().then_some(only.address)
    }
}

impl Route {
    fn covers(&self, destination: IpAddr) -> bool {
        match (self.network, destination) {
            (IpAddr::V4(network), IpAddr::V4(destination)) => {
                let differing = u32::from(network) ^ u32::from(destination);
                differing.leading_zeros() >= self.prefix_len.into()
            }
            (IpAddr::V6(network), IpAddr::V6(destination)) => {
                let differing = u128::from(network) ^ u128::from(destination);
                differing.leading_zeros() >= self.prefix_len.into()
            }
            _ => false,
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6))
}
