//! A HelloVerifyRequest, read byte by byte without our own code: the frame by the library
//! etherparse, the datagram by RFC 6347's page and docs/wire.md.

use std::net::{IpAddr, SocketAddr};

use etherparse::{NetHeaders, PacketHeaders, PayloadSlice, TransportHeader, UdpHeader};

use crate::hellos::Hello;

/// The cookie of the reply, or what is wrong with it.
pub(crate) fn cookie_of(
    reply: &[u8],
    hello: &Hello,
    request_len: usize,
) -> Result<Vec<u8>, String> {
    if reply.len() >= request_len {
        return Err(format!("{} bytes answer {request_len}", reply.len()));
    }
    let parsed = PacketHeaders::from_ethernet_slice(reply).map_err(|error| error.to_string())?;
    let link = parsed.link.and_then(|link| link.ethernet2()).ok_or("no Ethernet header")?;
    let vlan = parsed.link_exts.first().and_then(|extension| match extension {
        etherparse::LinkExtHeader::Vlan(tag) => Some(tag.vlan_id.value()),
        _ => None,
    });
    let Some(TransportHeader::Udp(udp)) = parsed.transport else { return Err("no UDP".into()) };
    let PayloadSlice::Udp(payload) = parsed.payload else { return Err("no datagram".into()) };
    let (from, to) = addresses(parsed.net.as_ref().ok_or("no IP header")?, &udp, payload)?;
    let swapped = (hello.destination, hello.source);
    same("MAC addresses", ([link.source, link.destination], vlan), {
        let [source, destination] = hello.macs;
        ([destination, source], hello.vlan)
    })?;
    same("addresses", (SocketAddr::new(from, udp.source_port), to), (swapped.0, swapped.1.ip()))?;
    same("destination port", udp.destination_port, swapped.1.port())?;
    same("UDP length", usize::from(udp.length), 8 + 48)?;
    datagram(payload, hello)
}

/// The addresses of an IP header that is as it must be, checksums included.
fn addresses(
    net: &NetHeaders,
    udp: &UdpHeader,
    payload: &[u8],
) -> Result<(IpAddr, IpAddr), String> {
    match net {
        NetHeaders::Ipv4(ip, extensions) => {
            same("options", ip.options.len() + extensions.header_len(), 0)?;
            same("IPv4 checksum", ip.header_checksum, ip.calc_header_checksum())?;
            same("IPv4 length", ip.total_len, 20 + 8 + 48)?;
            same("IPv4 fields", (ip.time_to_live, ip.protocol.0), (64, 17))?;
            same("fragments", (ip.dont_fragment, ip.more_fragments), (true, false))?;
            let checksum = udp.calc_checksum_ipv4(ip, payload).map_err(|e| e.to_string())?;
            same("UDP checksum", udp.checksum, checksum)?;
            Ok((ip.source.into(), ip.destination.into()))
        }
        NetHeaders::Ipv6(ip, extensions) => {
            same("extensions", extensions.header_len(), 0)?;
            same("IPv6 length", ip.payload_length, 8 + 48)?;
            same("IPv6 fields", (ip.hop_limit, ip.next_header.0), (64, 17))?;
            let checksum = udp.calc_checksum_ipv6(ip, payload).map_err(|e| e.to_string())?;
            same("UDP checksum", udp.checksum, checksum)?;
            Ok((ip.source.into(), ip.destination.into()))
        }
        other => Err(format!("{other:?}")),
    }
}

fn datagram(payload: &[u8], hello: &Hello) -> Result<Vec<u8>, String> {
    let mut expected = vec![0, 0, 0, 0];
    expected.extend(hello.client_id.to_be_bytes());
    expected.extend([22, 0xfe, 0xff, 0, 0]);
    expected.extend(&hello.sequence.to_be_bytes()[2..]);
    expected.extend([0, 27, 3, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 15, 0xfe, 0xff, 12]);
    let (head, cookie) = payload.split_at_checked(36).ok_or("a short datagram")?;
    same("datagram", head, &expected[..])?;
    same("cookie length", cookie.len(), 12)?;
    Ok(cookie.to_vec())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, seen: T, wanted: T) -> Result<(), String> {
    if seen == wanted { Ok(()) } else { Err(format!("{what}: {seen:?} instead of {wanted:?}")) }
}
