//! Frames that [`crate::frame`] does not parse and that may hold a ClientHello all the same: with
//! IP options, IPv6 extension headers, two VLAN tags, or as the first of several fragments.
//!
//! Only the kernel can read them to the end, so they are not judged here. But it must not be made
//! to do so more often than is allowed, and therefore they are told from what is not ours. Later
//! fragments carry no port; without a first one they come to nothing.

use crate::cursor::{Cursor, Truncated};
use crate::ends::mapped_v4;
use crate::map::ConfigValue;
use crate::prefix::Prefix;

const TAGS_MAX: usize = 2;
const EXTENSIONS_MAX: usize = 4;
const MAC_ADDRESSES_LEN: usize = 12;
const IPV4_LEN: usize = 20;
const PROTOCOL_UDP: u8 = 17;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Whether a frame that is no plain UDP may be a ClientHello for us.
#[inline(always)]
pub fn is_hello(frame: impl Cursor, config: &ConfigValue) -> bool {
    config.answers_hellos()
        && match hello_destination(frame) {
            Ok(Some((address, port))) => config.is_ours(port) && config.listens_on(address),
            _ => false,
        }
}

/// To which address and port an odd frame goes, if it is a datagram without receiver id.
#[inline(always)]
fn hello_destination(mut frame: impl Cursor) -> Result<Option<([u8; 16], u16)>, Truncated> {
    frame.skip(MAC_ADDRESSES_LEN)?;
    let mut ethertype = frame.u16()?;
    for _ in 0..TAGS_MAX {
        if ethertype == 0x8100 || ethertype == 0x88a8 {
            let [_, _, t0, t1] = frame.take()?;
            ethertype = u16::from_be_bytes([t0, t1]);
        }
    }
    let destination = match ethertype {
        0x0800 => ipv4(&mut frame)?,
        0x86dd => ipv6(&mut frame)?,
        _ => None,
    };
    let Some(address) = destination else { return Ok(None) };
    frame.skip(2)?;
    let port = frame.u16()?;
    frame.skip(4)?;
    Ok((Prefix::parse(&mut frame)?.receiver == 0).then_some((address, port)))
}

/// Passes over an IPv4 header with any options.
#[inline(always)]
fn ipv4(frame: &mut impl Cursor) -> Result<Option<[u8; 16]>, Truncated> {
    let [version, _, _, _, _, _, f0, f1, _, protocol, _, _] = frame.take()?;
    let (_source, destination) = (frame.u32()?, frame.u32()?);
    let length = usize::from(version & 0xf) * 4;
    let first = u16::from_be_bytes([f0, f1]) & FRAGMENT_OFFSET == 0;
    if version >> 4 != 4 || length < IPV4_LEN || !first || protocol != PROTOCOL_UDP {
        return Ok(None);
    }
    frame.skip(length - IPV4_LEN)?;
    Ok(Some(mapped_v4(destination)))
}

/// Passes over an IPv6 header and the extension headers that are usual before UDP (RFC 8200 §4).
#[inline(always)]
fn ipv6(frame: &mut impl Cursor) -> Result<Option<[u8; 16]>, Truncated> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    let [version, _, _, _, _, _, mut next, _] = frame.take()?;
    frame.skip(16)?;
    let destination = frame.take()?;
    if version >> 4 != 6 {
        return Ok(None);
    }
    for _ in 0..EXTENSIONS_MAX {
        if next == PROTOCOL_UDP {
            break;
        }
        let [after, length, o0, o1, _, _, _, _] = frame.take()?;
        match next {
            HOP_BY_HOP | ROUTING | DESTINATION => frame.skip(usize::from(length) * 8)?,
            FRAGMENT if u16::from_be_bytes([o0, o1]) >> 3 == 0 => {}
            _ => return Ok(None),
        }
        next = after;
    }
    Ok((next == PROTOCOL_UDP).then_some(destination))
}
