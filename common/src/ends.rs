//! The addresses and ports of a frame as words.
//!
//! [`FrameHeaders`](crate::frame::FrameHeaders) has addresses as `IpAddr`, whose bytes begin at an odd place; in a BPF program each
//! byte then takes a register or eight bytes of the stack. Where addresses matter there, they are
//! read anew.

use crate::cursor::{Cursor, Truncated};
use crate::frame::Place;

const UDP_LEN: usize = 8;

/// Bytes of both addresses; they stand right before the UDP header.
pub const IPV4_PAIR_LEN: usize = 8;
/// The same of IPv6.
pub const IPV6_PAIR_LEN: usize = 32;

/// Who sends a datagram and who gets it. Addresses are IPv6, IPv4 as mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The sender's address.
    pub source: [u8; 16],
    /// The receiver's address.
    pub destination: [u8; 16],
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
}

impl Ends {
    /// Reads them. `frame` stands at the first byte of the frame in which the datagram lies.
    #[inline(always)]
    pub fn read(place: &Place, mut frame: impl Cursor) -> Result<Self, Truncated> {
        let (source, destination) = if place.ipv6 {
            frame.skip(place.payload_at - UDP_LEN - IPV6_PAIR_LEN)?;
            (frame.take()?, frame.take()?)
        } else {
            frame.skip(place.payload_at - UDP_LEN - IPV4_PAIR_LEN)?;
            (mapped_v4(frame.u32()?), mapped_v4(frame.u32()?))
        };
        let (source_port, destination_port) = (frame.u16()?, frame.u16()?);
        Ok(Self { source, destination, source_port, destination_port })
    }
}

/// An IPv4 address as 16 bytes (RFC 4291 §2.5.5.2).
#[inline(always)]
pub fn mapped_v4(address: u32) -> [u8; 16] {
    (0xffff << 32 | u128::from(address)).to_be_bytes()
}
