//! The HelloVerifyRequest that takes the place of its ClientHello in the very frame.
//!
//! Addresses are swapped where they stand, a VLAN tag stays, everything else is written anew with
//! checksums in full. The ClientHello was longer ([`crate::hello_verify`] proves it), so that the
//! frame only has to be shortened.

use crate::checksum::Sum;
use crate::client_hello::COOKIE_LEN;
use crate::cursor::Truncated;
use crate::hello_verify::{HELLO_VERIFY_LEN, hello_verify_words};

const UDP_LEN: usize = 8;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;

/// The UDP length of every reply.
const LENGTH: u16 = (UDP_LEN + HELLO_VERIFY_LEN) as u16;
const PROTOCOL_UDP: u8 = 17;
const HOP_LIMIT: u8 = 64;
const DONT_FRAGMENT: u8 = 0x40;

/// A frame that is rewritten: bytes in memory, or a packet in the driver.
pub trait FrameMut {
    /// The `N` bytes at `at`.
    fn get<const N: usize>(&self, at: usize) -> Result<[u8; N], Truncated>;

    /// Overwrites the bytes at `at`.
    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) -> Result<(), Truncated>;
}

impl FrameMut for [u8] {
    fn get<const N: usize>(&self, at: usize) -> Result<[u8; N], Truncated> {
        self.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Truncated)
    }

    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) -> Result<(), Truncated> {
        let room = self.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
        *room.ok_or(Truncated)? = bytes;
        Ok(())
    }
}

/// A HelloVerifyRequest, and where in the frame of its ClientHello it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloReply {
    /// Whether the frame has a VLAN tag.
    pub tagged: bool,
    /// Whether the frame is IPv6, or IPv4 without options.
    pub ipv6: bool,
    /// The client's id.
    pub client_id: u32,
    /// The sequence number of the ClientHello's record.
    pub record_sequence: u64,
    /// The cookie.
    pub cookie: [u8; COOKIE_LEN],
}

impl HelloReply {
    /// Where the IP header begins.
    const fn network_at(&self) -> usize {
        if self.tagged { 18 } else { 14 }
    }

    /// Where the UDP header begins.
    const fn udp_at(&self) -> usize {
        self.network_at() + if self.ipv6 { IPV6_LEN } else { IPV4_LEN }
    }

    /// Length of the frame that the reply is, in bytes.
    pub const fn frame_len(&self) -> usize {
        self.udp_at() + LENGTH as usize
    }

    /// Writes the reply over the frame of its ClientHello; what is beyond
    /// [`HelloReply::frame_len`] is to be cut off.
    #[inline(always)]
    pub fn write(&self, frame: &mut (impl FrameMut + ?Sized)) -> Result<(), Truncated> {
        swap_stations(frame)?;
        let mut sum = if self.ipv6 { self.ipv6(frame)? } else { self.ipv4(frame)? };
        let at = self.udp_at();
        let [s0, s1, d0, d1] = frame.get::<4>(at)?;
        let [l0, l1] = LENGTH.to_be_bytes();
        // The pseudo-header (RFC 768, RFC 8200 §8.1) behind its addresses, and the UDP header.
        sum.word([0, PROTOCOL_UDP, l0, l1, d0, d1, s0, s1]);
        sum.pair([l0, l1]);
        let words = hello_verify_words(self.client_id, self.record_sequence, &self.cookie);
        for (index, word) in words.into_iter().enumerate() {
            sum.word(word);
            frame.put(at + UDP_LEN + 8 * index, word)?;
        }
        let [c0, c1] = sum.udp_checksum();
        frame.put(at, [d0, d1, s0, s1, l0, l1, c0, c1])
    }

    /// Writes the IPv4 header (RFC 791) and returns the sum of its addresses.
    #[inline(always)]
    fn ipv4(&self, frame: &mut (impl FrameMut + ?Sized)) -> Result<Sum, Truncated> {
        let at = self.network_at();
        let [s0, s1, s2, s3, d0, d1, d2, d3] = frame.get::<8>(at + 12)?;
        let [l0, l1] = (IPV4_LEN as u16 + LENGTH).to_be_bytes();
        let addresses = [d0, d1, d2, d3, s0, s1, s2, s3];
        let first = [0x45, 0, l0, l1, 0, 0, DONT_FRAGMENT, 0];
        let mut sum = Sum::default();
        sum.word(addresses);
        let mut header = sum;
        header.word(first);
        header.pair([HOP_LIMIT, PROTOCOL_UDP]);
        let [c0, c1] = header.checksum();
        frame.put(at, first)?;
        frame.put(at + 8, [HOP_LIMIT, PROTOCOL_UDP, c0, c1])?;
        frame.put(at + 12, addresses)?;
        Ok(sum)
    }

    /// Writes the IPv6 header (RFC 8200 §3) and returns the sum of its addresses.
    #[inline(always)]
    fn ipv6(&self, frame: &mut (impl FrameMut + ?Sized)) -> Result<Sum, Truncated> {
        let at = self.network_at();
        let [l0, l1] = LENGTH.to_be_bytes();
        frame.put(at, [0x60, 0, 0, 0, l0, l1, PROTOCOL_UDP, HOP_LIMIT])?;
        let mut sum = Sum::default();
        // One word of each address at a time: no more is held than fits registers.
        for part in [8, 16] {
            let (source, destination) =
                (frame.get::<8>(at + part)?, frame.get::<8>(at + part + 16)?);
            sum.word(source);
            sum.word(destination);
            frame.put(at + part, destination)?;
            frame.put(at + part + 16, source)?;
        }
        Ok(sum)
    }
}

/// Swaps the MAC addresses: six bytes and six bytes, which are three words turned by half of their
/// length.
#[inline(always)]
fn swap_stations(frame: &mut (impl FrameMut + ?Sized)) -> Result<(), Truncated> {
    let [a, b, c] = [frame.get(0)?, frame.get(4)?, frame.get(8)?].map(u32::from_le_bytes);
    for (at, low, high) in [(0, b, c), (4, c, a), (8, a, b)] {
        frame.put(at, (low >> 16 | high << 16).to_le_bytes())?;
    }
    Ok(())
}
