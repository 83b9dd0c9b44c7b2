//! The kernel's tables, read through rtnetlink.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use futures_util::{Stream, StreamExt, TryStreamExt};
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, VlanProtocol,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType, RouteVia,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion, MulticastGroup, RouteMessageBuilder};
use tracing::debug;
use xdtls_common::frame::VlanTag;

use super::tables::{Address, Device, Neighbour, Route, Tables, Way};

/// The most routes that are copied: beyond, the kernel keeps them to itself.
const ROUTES_MAX: usize = 4096;

/// Table numbers (linux/rtnetlink.h).
const TABLE_DEFAULT: u32 = 253;
const TABLE_MAIN: u32 = 254;
const TABLE_LOCAL: u32 = 255;

/// What may change the way of a datagram.
const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// Something has changed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A neighbour on this device.
    Neighbour(u32),
    /// Anything else, or the kernel could not tell everything.
    Other,
}

impl Event {
    /// Whether tables that were read before may be out of date.
    pub(super) fn concerns(self, tables: &Tables) -> bool {
        match self {
            Self::Neighbour(device) => tables.has_device(device),
            Self::Other => true,
        }
    }
}

/// The connection, to be driven, and what it reports. It ends with the connection.
pub(super) fn events()
-> Result<(impl Future<Output = ()> + use<>, impl Stream<Item = Event> + Unpin + use<>)> {
    let (connection, handle, messages) = rtnetlink::new_multicast_connection(&GROUPS)?;
    let events = messages.map(move |(message, _)| {
        // The connection ends when its last handle is gone.
        let _kept = &handle;
        match message.payload {
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewNeighbour(neighbour)
                | RouteNetlinkMessage::DelNeighbour(neighbour),
            ) => Event::Neighbour(neighbour.header.ifindex),
            _ => Event::Other,
        }
    });
    Ok((connection, events))
}

/// Reads what concerns the ways out of one interface.
pub(super) async fn read(handle: &Handle, interface: u32) -> Result<Tables> {
    let links: Vec<_> = handle.link().get().execute().try_collect().await?;
    let devices: Vec<_> = links.iter().filter_map(|link| device(link, interface)).collect();
    let ours = |index: u32| devices.iter().any(|device| device.index == index);
    let mut routes = Vec::new();
    for version in [IpVersion::V4, IpVersion::V6] {
        let rules: Vec<_> = handle.rule().get(version.clone()).execute().try_collect().await?;
        // Where rules choose the table, ours would be a guess.
        if !rules.iter().all(is_plain) {
            continue;
        }
        let mut all = std::pin::pin!(handle.route().get(every_route(&version)).execute());
        while let Some(message) = all.try_next().await? {
            routes.extend(route(&message, ours));
            ensure!(routes.len() <= ROUTES_MAX, "there are more than {ROUTES_MAX} routes");
        }
    }
    let addresses: Vec<_> = handle.address().get().execute().try_collect().await?;
    let neighbours: Vec<_> = handle.neighbours().get().execute().try_collect().await?;
    let neighbours = neighbours.iter().filter(|message| ours(message.header.ifindex));
    let (addresses, neighbours) = (
        addresses.iter().filter_map(address).collect(),
        neighbours.filter_map(neighbour).collect(),
    );
    Ok(Tables::new(devices, routes, addresses, neighbours))
}

/// Has the kernel make sure of a neighbour, as if it sent there itself (`NTF_USE`).
pub(super) async fn nudge(handle: &Handle, neighbour: &Neighbour) {
    let request = handle.neighbours().add(neighbour.device, neighbour.address);
    let request = request.state(NeighbourState::None).flags(NeighbourFlags::Use).replace();
    if let Err(error) = request.execute().await {
        debug!(%error, "the kernel does not make sure of {}", neighbour.address);
    }
}

/// The interface itself and VLANs on top of it, while they are up.
fn device(link: &LinkMessage, interface: u32) -> Option<Device> {
    let index = link.header.index;
    if !link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp) {
        return None;
    }
    let (mut mac, mut mtu, mut below, mut vlan) = (None, None, None, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Address(bytes) => mac = bytes.as_slice().try_into().ok(),
            LinkAttribute::Mtu(bytes) => mtu = Some(*bytes as usize),
            LinkAttribute::Link(index) => below = Some(*index),
            LinkAttribute::LinkInfo(info) => vlan = vlan.or(vlan_tag(info)),
            _ => {}
        }
    }
    let on_top = below == Some(interface) && vlan.is_some();
    let vlan = if index == interface { None } else { vlan };
    (index == interface || on_top).then_some(Device { index, mac: mac?, vlan, mtu: mtu? })
}

fn vlan_tag(info: &[LinkInfo]) -> Option<VlanTag> {
    let data = info.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vlan(data)) => Some(data),
        _ => None,
    })?;
    let (mut id, mut protocol) = (None, VlanProtocol::default());
    for attribute in data {
        match attribute {
            InfoVlan::Id(number) => id = Some(*number),
            InfoVlan::Protocol(other) => protocol = *other,
            _ => {}
        }
    }
    Some(VlanTag { protocol: u16::from(protocol), control: id? })
}

/// Whether a rule is one of those that every host has: all packets, one of the three tables.
fn is_plain(rule: &RuleMessage) -> bool {
    let mut table = u32::from(rule.header.table);
    let known = rule.attributes.iter().all(|attribute| match attribute {
        RuleAttribute::Table(number) => {
            table = *number;
            true
        }
        RuleAttribute::SuppressPrefixLen(length) => *length == u32::MAX,
        RuleAttribute::Priority(_) | RuleAttribute::Protocol(_) => true,
        _ => false,
    });
    let every_packet = (rule.header.src_len, rule.header.dst_len, rule.header.tos) == (0, 0, 0);
    let usual = [TABLE_LOCAL, TABLE_MAIN, TABLE_DEFAULT].contains(&table);
    known && every_packet && usual && rule.header.action == RuleAction::ToTable
}

fn every_route(version: &IpVersion) -> RouteMessage {
    match version {
        IpVersion::V4 => RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
        IpVersion::V6 => RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
    }
}

/// A route of the tables that decide, with a way if it leaves through one of our devices and asks
/// for nothing special.
fn route(message: &RouteMessage, ours: impl Fn(u32) -> bool) -> Option<Route> {
    let RouteHeader { destination_prefix_length, source_prefix_length, tos, kind, .. } =
        message.header;
    let mut table = u32::from(message.header.table);
    let (mut network, mut metric, mut device) = (None, 0, None);
    let (mut gateway, mut source) = (None, None);
    let mut plain = kind == RouteType::Unicast && source_prefix_length == 0 && tos == 0;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(to) => network = ip(to),
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::Oif(index) => device = Some(*index),
            RouteAttribute::Gateway(via) => gateway = ip(via),
            RouteAttribute::Via(RouteVia::Inet6(via)) => gateway = Some(IpAddr::V6(*via)),
            RouteAttribute::Via(_)
            | RouteAttribute::MultiPath(_)
            | RouteAttribute::Encap(_)
            | RouteAttribute::EncapType(_) => plain = false,
            RouteAttribute::PrefSource(from) => source = ip(from),
            _ => {}
        }
    }
    let ignored = message.header.flags.intersects(RouteFlags::Dead | RouteFlags::Cloned);
    if ignored || ![TABLE_LOCAL, TABLE_MAIN, TABLE_DEFAULT].contains(&table) {
        return None;
    }
    let any = match message.header.address_family {
        rtnetlink::packet_route::AddressFamily::Inet => IpAddr::V4([0; 4].into()),
        _ => IpAddr::V6([0; 16].into()),
    };
    let device = device.filter(|device| plain && ours(*device));
    Some(Route {
        network: network.unwrap_or(any),
        prefix_len: destination_prefix_length,
        metric,
        way: device.map(|device| Way { device, gateway, source }),
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

/// An address that may be used. Of a point-to-point link, our end.
fn address(message: &AddressMessage) -> Option<Address> {
    let (mut address, mut local) = (None, None);
    let mut flags = AddressFlags::empty();
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Flags(bits) => flags = *bits,
            _ => {}
        }
    }
    let unusable = AddressFlags::Tentative | AddressFlags::Dadfailed;
    let second_choice = AddressFlags::Secondary | AddressFlags::Deprecated;
    (!flags.intersects(unusable)).then_some(Address {
        device: message.header.index,
        address: local.or(address)?,
        preferred: !flags.intersects(second_choice),
    })
}

/// A neighbour that the kernel would send to.
fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let stale = match message.header.state {
        NeighbourState::Stale => true,
        NeighbourState::Reachable
        | NeighbourState::Delay
        | NeighbourState::Probe
        | NeighbourState::Permanent => false,
        _ => return None,
    };
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok(),
            _ => {}
        }
    }
    Some(Neighbour { device: message.header.ifindex, address: address?, mac: mac?, stale })
}
