//! The headers of datagrams that we send.
//!
//! Nothing is left to offloads: lengths and checksums are whole, so that a frame is right however it
//! leaves. IPv4 packets have DF set, and with it an identification of 0 (RFC 6864 §4.1).

use core::net::{IpAddr, SocketAddr};

use super::{
    DONT_FRAGMENT, ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, FrameHeaders, IPV4_LEN,
    IPV4_WITHOUT_OPTIONS, IPV6_LEN, PROTOCOL_UDP, UDP_LEN, VLAN_LEN, VlanTag,
};

/// Hops that a packet of ours may make (IPv4 TTL, IPv6 hop limit).
const HOP_LIMIT: u8 = 64;

/// What the link layer has to know of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkHeader {
    /// The MAC address of the next hop.
    pub destination: [u8; 6],
    /// Our MAC address.
    pub source: [u8; 6],
    /// The VLAN tag, if there is one.
    pub vlan: Option<VlanTag>,
}

impl FrameHeaders {
    /// Headers of a datagram with `payload_len` bytes. `None` if the addresses are of two families,
    /// or no datagram has so many bytes.
    pub fn new(
        link: &LinkHeader,
        source: SocketAddr,
        destination: SocketAddr,
        payload_len: usize,
    ) -> Option<Self> {
        let (ip_len, largest) = match (source, destination) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => (IPV4_LEN, usize::from(u16::MAX) - IPV4_LEN),
            (SocketAddr::V6(_), SocketAddr::V6(_)) => (IPV6_LEN, usize::from(u16::MAX)),
            _ => return None,
        };
        let link_len = ETHERNET_LEN + link.vlan.map_or(0, |_| VLAN_LEN);
        (payload_len <= largest - UDP_LEN).then_some(Self {
            destination_mac: link.destination,
            source_mac: link.source,
            vlan: link.vlan,
            source,
            destination,
            payload_at: link_len + ip_len + UDP_LEN,
            payload_len,
        })
    }

    /// The whole frame, in bytes.
    pub fn frame_len(&self) -> usize {
        self.payload_at + self.payload_len
    }

    /// The packet without what belongs to the link, in bytes: what an MTU bounds.
    pub fn packet_len(&self) -> usize {
        self.frame_len() - ETHERNET_LEN - self.vlan.map_or(0, |_| VLAN_LEN)
    }

    /// Writes the headers before a payload that is in its place already.
    ///
    /// # Panics
    ///
    /// If `frame` has not [`FrameHeaders::frame_len`] bytes, or these headers were not made by
    /// [`FrameHeaders::new`].
    pub fn write(&self, frame: &mut [u8]) {
        assert_eq!(frame.len(), self.frame_len(), "the frame does not fit its headers");
        let (headers, payload) = frame.split_at_mut(self.payload_at);
        let udp_at = self.payload_at - UDP_LEN;
        let (headers, udp) = headers.split_at_mut(udp_at);
        let (link, ip) = headers.split_at_mut(ETHERNET_LEN + self.vlan.map_or(0, |_| VLAN_LEN));
        self.write_link(link);
        let udp_len = (UDP_LEN + self.payload_len) as u16;
        let addresses = self.write_ip(ip, udp_len);
        udp[..2].copy_from_slice(&self.source.port().to_be_bytes());
        udp[2..4].copy_from_slice(&self.destination.port().to_be_bytes());
        udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
        udp[6..8].fill(0);
        let pseudo_header = addresses + u64::from(PROTOCOL_UDP) + u64::from(udp_len);
        let checksum = match checksum(sum(udp) + sum(payload) + pseudo_header) {
            // 0 would say that there is none (RFC 768).
            0 => u16::MAX,
            checksum => checksum,
        };
        udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    }

    fn write_link(&self, link: &mut [u8]) {
        link[..6].copy_from_slice(&self.destination_mac);
        link[6..12].copy_from_slice(&self.source_mac);
        if let Some(VlanTag { protocol, control }) = self.vlan {
            link[12..14].copy_from_slice(&protocol.to_be_bytes());
            link[14..16].copy_from_slice(&control.to_be_bytes());
        }
        let ethertype = if self.source.is_ipv4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
        let at = link.len() - 2;
        link[at..].copy_from_slice(&ethertype.to_be_bytes());
    }

    /// Writes the IP header and returns the sum of both addresses.
    fn write_ip(&self, ip: &mut [u8], udp_len: u16) -> u64 {
        ip.fill(0);
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ip[0] = IPV4_WITHOUT_OPTIONS;
                ip[2..4].copy_from_slice(&(IPV4_LEN as u16 + udp_len).to_be_bytes());
                ip[6..8].copy_from_slice(&DONT_FRAGMENT.to_be_bytes());
                (ip[8], ip[9]) = (HOP_LIMIT, PROTOCOL_UDP);
                ip[12..16].copy_from_slice(&source.octets());
                ip[16..20].copy_from_slice(&destination.octets());
                let checksum = checksum(sum(ip));
                ip[10..12].copy_from_slice(&checksum.to_be_bytes());
                sum(&ip[12..])
            }
            (source, destination) => {
                ip[0] = 6 << 4;
                ip[4..6].copy_from_slice(&udp_len.to_be_bytes());
                (ip[6], ip[7]) = (PROTOCOL_UDP, HOP_LIMIT);
                ip[8..24].copy_from_slice(&octets(source));
                ip[24..40].copy_from_slice(&octets(destination));
                sum(&ip[8..])
            }
        }
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The sum of 32-bit words, which folds to that of 16-bit words (RFC 1071 §2); a rest counts as if
/// zeros followed.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(4);
    let mut rest = [0; 4];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    let word = |word: &[u8]| u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    words.map(word).sum::<u64>() + u64::from(u32::from_be_bytes(rest))
}

fn checksum(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::cursor::SliceCursor;
    use crate::frame::parse;

    const LINK: LinkHeader = LinkHeader { destination: [1; 6], source: [2; 6], vlan: None };
    const TAGGED: LinkHeader =
        LinkHeader { vlan: Some(VlanTag { protocol: 0x8100, control: 0x0005 }), ..LINK };

    fn built(link: &LinkHeader, source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let headers = FrameHeaders::new(link, source, destination, payload.len()).unwrap();
        // Whatever a frame held before.
        let mut frame = vec![0xa5; headers.frame_len()];
        frame[headers.payload_at..].copy_from_slice(payload);
        headers.write(&mut frame);
        assert_eq!(parse(SliceCursor::new(&frame)).unwrap().0, headers);
        assert_eq!(frame[headers.payload_at..], *payload);
        frame
    }

    /// The plain definition: 16-bit words, carries added at once.
    fn ones_complement(parts: &[&[u8]]) -> u16 {
        let bytes: Vec<u8> = parts.concat();
        bytes.chunks(2).fold(0_u16, |sum, pair| {
            let word = u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]);
            let (sum, carry) = sum.overflowing_add(word);
            sum + u16::from(carry)
        })
    }

    #[test]
    fn an_ipv4_frame_is_this_one() {
        let frame = built(&LINK, "192.0.2.1:4386", "198.51.100.2:13124", &[7, 8, 9]);
        let expected = [
            1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x08, 0x00, // Ethernet
            0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, 17, 0x4e, 0x97, 192, 0, 2, 1, 198, 51, 100, 2, 0x11,
            0x22, 0x33, 0x44, 0, 11, 0xbf, 0x32, 7, 8, 9, // UDP
        ];
        assert_eq!(frame, expected);
    }

    #[test]
    fn both_families_and_tags_are_parsed_as_they_were_built() {
        for length in (0..70).chain([1426, 1427, 1428]) {
            let payload: Vec<u8> = (0..length).map(|n| (n * 7 + length) as u8).collect();
            for link in [&LINK, &TAGGED] {
                built(link, "10.0.0.1:1", "10.0.0.2:65535", &payload);
                built(link, "[fd00::1]:4433", "[fd00::2]:9", &payload);
            }
        }
    }

    #[test]
    fn checksums_hold_over_header_pseudo_header_and_payload() {
        for length in 0..64_u8 {
            let payload: Vec<u8> = (0..length).map(|n| n.wrapping_mul(0x9d) ^ length).collect();
            let frame = built(&LINK, "10.255.0.1:4433", "203.0.113.9:40000", &payload);
            assert_eq!(ones_complement(&[&frame[14..34]]), 0xffff);
            let pseudo = [&frame[26..34], &[0, 17, 0, 8 + length]].concat();
            assert_eq!(ones_complement(&[&pseudo, &frame[34..]]), 0xffff);
            let frame = built(&TAGGED, "[fd00:1::1]:4433", "[fd00:2::9]:40000", &payload);
            let pseudo = [&frame[26..58], &[0, 17, 0, 8 + length]].concat();
            assert_eq!(ones_complement(&[&pseudo, &frame[58..]]), 0xffff);
        }
    }

    #[test]
    fn a_checksum_of_zero_is_written_as_its_negative() {
        // The payload makes up for everything else.
        let frame = built(&LINK, "10.0.0.1:1", "10.0.0.2:2", &[0, 0]);
        let payload = [frame[40], frame[41]];
        let frame = built(&LINK, "10.0.0.1:1", "10.0.0.2:2", &payload);
        assert_eq!(frame[40..42], [0xff, 0xff]);
    }

    #[test]
    fn what_is_no_datagram_has_no_headers() {
        let new = |source: &str, destination: &str, length| {
            FrameHeaders::new(&LINK, source.parse().unwrap(), destination.parse().unwrap(), length)
        };
        assert_eq!(new("10.0.0.1:1", "[fd00::2]:2", 9), None);
        assert!(new("10.0.0.1:1", "10.0.0.2:2", 65_507).is_some());
        assert_eq!(new("10.0.0.1:1", "10.0.0.2:2", 65_508), None);
        assert_eq!(new("[fd00::1]:1", "[fd00::2]:2", 65_528), None);
    }
}
