//! The headers before a datagram on the wire: Ethernet, at most one VLAN tag, IPv4 or IPv6, UDP.
//!
//! Only the plain case is parsed. Everything else is [`NotPlainUdp`] and belongs to the kernel,
//! which knows how to reassemble, to walk extension headers, and what to count when a length is
//! wrong. Checksums are not looked at: ids and records are judged by what they are, and nothing
//! that came with a wrong one is authentic.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::cursor::{Bounded, Cursor, Truncated};

mod build;
mod check;

pub use build::LinkHeader;
pub use check::udp_is_credible;

const ETHERNET_LEN: usize = 14;
const VLAN_LEN: usize = 4;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const UDP_LEN: usize = 8;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// IEEE 802.1Q.
const ETHERTYPE_VLAN: u16 = 0x8100;
/// IEEE 802.1ad.
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;

/// Version 4 and a header of five words: no options.
const IPV4_WITHOUT_OPTIONS: u8 = 0x45;
/// The one bit of flags and fragment offset that a whole packet may have set.
const DONT_FRAGMENT: u16 = 0x4000;
const PROTOCOL_UDP: u8 = 17;

/// The frame is something else than one whole UDP datagram behind plain headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPlainUdp;

impl From<Truncated> for NotPlainUdp {
    fn from(Truncated: Truncated) -> Self {
        Self
    }
}

/// A VLAN tag (IEEE 802.1Q).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag {
    /// The tag's own EtherType.
    pub protocol: u16,
    /// Priority, drop eligibility and VLAN number.
    pub control: u16,
}

/// Where a datagram came from and went to, as its headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeaders {
    /// The MAC address that the frame was sent to.
    pub destination_mac: [u8; 6],
    /// The MAC address of the last hop.
    pub source_mac: [u8; 6],
    /// The VLAN tag, if there is one.
    pub vlan: Option<VlanTag>,
    /// The sender. An IPv6 address has no scope: the frame does not tell it.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// Where in the frame the UDP payload begins.
    pub payload_at: usize,
    /// How many bytes the UDP payload has.
    pub payload_len: usize,
}

/// Where in a frame the UDP datagram lies: what is needed of [`FrameHeaders`] to find all the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where in the frame the UDP payload begins.
    pub payload_at: usize,
    /// How many bytes the UDP payload has.
    pub payload_len: usize,
    /// Whether there is a VLAN tag.
    pub tagged: bool,
    /// Whether it is IPv6, or IPv4 without options.
    pub ipv6: bool,
}

impl FrameHeaders {
    /// Where the datagram lies.
    #[inline(always)]
    pub const fn place(&self) -> Place {
        Place {
            payload_at: self.payload_at,
            payload_len: self.payload_len,
            tagged: self.vlan.is_some(),
            ipv6: self.source.is_ipv6(),
        }
    }
}

/// Parses the headers of a whole frame. The cursor that is returned stands at the UDP payload and
/// ends with it: what pads a short Ethernet frame is not payload.
#[inline(always)]
pub fn parse<C: Cursor>(mut cursor: C) -> Result<(FrameHeaders, Bounded<C>), NotPlainUdp> {
    let (destination_mac, source_mac) = (cursor.take()?, cursor.take()?);
    let (ethertype, vlan) = network_protocol(&mut cursor)?;
    let packet = match ethertype {
        ETHERTYPE_IPV4 => ipv4(&mut cursor)?,
        ETHERTYPE_IPV6 => ipv6(&mut cursor)?,
        _ => return Err(NotPlainUdp),
    };
    let [s_hi, s_lo, d_hi, d_lo, l_hi, l_lo, _, _] = cursor.take::<UDP_LEN>()?;
    let length = usize::from(u16::from_be_bytes([l_hi, l_lo]));
    if length > packet.payload_len {
        return Err(NotPlainUdp);
    }
    let payload_len = length.checked_sub(UDP_LEN).ok_or(NotPlainUdp)?;
    let headers = FrameHeaders {
        destination_mac,
        source_mac,
        vlan,
        source: SocketAddr::new(packet.source, u16::from_be_bytes([s_hi, s_lo])),
        destination: SocketAddr::new(packet.destination, u16::from_be_bytes([d_hi, d_lo])),
        payload_at: ETHERNET_LEN + vlan.map_or(0, |_| VLAN_LEN) + packet.header_len + UDP_LEN,
        payload_len,
    };
    Ok((headers, Bounded::new(cursor, payload_len)?))
}

/// Passes over one VLAN tag. Of two, the second comes back as a protocol that nobody knows.
#[inline(always)]
fn network_protocol(cursor: &mut impl Cursor) -> Result<(u16, Option<VlanTag>), Truncated> {
    let ethertype = cursor.u16()?;
    if ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_SERVICE_VLAN {
        return Ok((ethertype, None));
    }
    let [c0, c1, t0, t1] = cursor.take::<VLAN_LEN>()?;
    let tag = VlanTag { protocol: ethertype, control: u16::from_be_bytes([c0, c1]) };
    Ok((u16::from_be_bytes([t0, t1]), Some(tag)))
}

struct Packet {
    source: IpAddr,
    destination: IpAddr,
    header_len: usize,
    payload_len: usize,
}

#[inline(always)]
fn ipv4(cursor: &mut impl Cursor) -> Result<Packet, NotPlainUdp> {
    let [version, _, l0, l1, _, _, f0, f1, _, protocol, _, _, addresses @ ..] =
        cursor.take::<IPV4_LEN>()?;
    let whole = u16::from_be_bytes([f0, f1]) & !DONT_FRAGMENT == 0;
    if version != IPV4_WITHOUT_OPTIONS || !whole || protocol != PROTOCOL_UDP {
        return Err(NotPlainUdp);
    }
    let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
    let total_len = usize::from(u16::from_be_bytes([l0, l1]));
    let payload_len = total_len.checked_sub(IPV4_LEN).ok_or(NotPlainUdp)?;
    if payload_len > cursor.remaining() {
        return Err(NotPlainUdp);
    }
    Ok(Packet {
        source: IpAddr::V4(Ipv4Addr::new(s0, s1, s2, s3)),
        destination: IpAddr::V4(Ipv4Addr::new(d0, d1, d2, d3)),
        header_len: IPV4_LEN,
        payload_len,
    })
}

#[inline(always)]
fn ipv6(cursor: &mut impl Cursor) -> Result<Packet, NotPlainUdp> {
    let [version, _, _, _, l0, l1, next_header, _] = cursor.take::<8>()?;
    let (source, destination) = (cursor.take::<16>()?, cursor.take::<16>()?);
    let payload_len = usize::from(u16::from_be_bytes([l0, l1]));
    let plain = version >> 4 == 6 && next_header == PROTOCOL_UDP;
    if !plain || payload_len > cursor.remaining() {
        return Err(NotPlainUdp);
    }
    Ok(Packet {
        source: IpAddr::V6(Ipv6Addr::from(source)),
        destination: IpAddr::V6(Ipv6Addr::from(destination)),
        header_len: IPV6_LEN,
        payload_len,
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::cursor::SliceCursor;

    const IPV4: [u8; 28] = [
        0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2, // IPv4
        0x11, 0x22, 0x33, 0x44, 0, 11, 0, 0, // UDP
    ];

    fn frame(tag: &[u8], rest: &[u8]) -> Vec<u8> {
        [&[1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2], tag, &[8, 0], &IPV4, rest].concat()
    }

    fn payload_of(frame: &[u8]) -> Result<(FrameHeaders, Vec<u8>), NotPlainUdp> {
        let (headers, mut cursor) = parse(SliceCursor::new(frame))?;
        let bytes = (0..cursor.remaining()).map(|_| cursor.u8().unwrap()).collect();
        Ok((headers, bytes))
    }

    #[test]
    fn headers_say_where_from_where_to_and_where_the_payload_is() {
        let tag = [0x81, 0, 0x20, 5];
        let frame = frame(&tag, &[7, 8, 9, 0, 0]);
        let (headers, payload) = payload_of(&frame).unwrap();
        assert_eq!(payload, [7, 8, 9]);
        assert_eq!(headers.destination_mac, [1; 6]);
        assert_eq!(headers.source_mac, [2; 6]);
        assert_eq!(headers.vlan, Some(VlanTag { protocol: 0x8100, control: 0x2005 }));
        assert_eq!(headers.source, "192.0.2.1:4386".parse().unwrap());
        assert_eq!(headers.destination, "198.51.100.2:13124".parse().unwrap());
        assert_eq!(&frame[headers.payload_at..][..headers.payload_len], [7, 8, 9]);
    }

    #[test]
    fn a_cut_at_any_place_is_refused() {
        let frame = frame(&[], &[7, 8, 9]);
        assert!(payload_of(&frame).is_ok());
        for end in 0..frame.len() {
            assert_eq!(payload_of(&frame[..end]).err(), Some(NotPlainUdp), "cut at {end}");
        }
    }
}
