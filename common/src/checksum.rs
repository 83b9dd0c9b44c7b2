//! The Internet checksum (RFC 1071) of IPv4 headers and UDP.
//!
//! The sum is taken over words in the byte order of the machine: ones' complement addition yields
//! the same bytes in any order, as long as the result is stored in it, too.

use crate::cursor::{Cursor, Truncated};

/// Bytes that are read at once.
const CHUNK_LEN: usize = 32;

/// A running ones' complement sum. Packets are far too short for 64 bits to overflow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Adds eight bytes that begin at an even place.
    #[inline(always)]
    pub fn word(&mut self, bytes: [u8; 8]) {
        let word = u64::from_ne_bytes(bytes);
        self.0 += (word & 0xffff_ffff) + (word >> 32);
    }

    /// Adds bytes four by four.
    #[inline(always)]
    fn halves<const N: usize>(&mut self, bytes: [u8; N]) {
        for half in bytes.as_chunks().0 {
            self.0 += u64::from(u32::from_ne_bytes(*half));
        }
    }

    /// Adds two bytes that begin at an even place.
    #[inline(always)]
    pub fn pair(&mut self, bytes: [u8; 2]) {
        self.0 += u64::from(u16::from_ne_bytes(bytes));
    }

    /// Adds the next `count` bytes, which begin at an even place; an odd one at the end is padded.
    #[inline(always)]
    pub fn absorb(&mut self, cursor: &mut impl Cursor, count: usize) -> Result<(), Truncated> {
        let (mut words, mut tail) = (cursor.clone(), cursor.clone());
        // For the verifier: the loop's own cursor is forgotten behind it. A cursor that had gone
        // along would be another one after each number of rounds, and all that follows verified
        // anew for each.
        cursor.skip(count)?;
        for _ in 0..count / CHUNK_LEN {
            self.halves::<CHUNK_LEN>(words.take()?);
        }
        tail.skip(count & !(CHUNK_LEN - 1))?;
        if count & 16 != 0 {
            self.halves::<16>(tail.take()?);
        }
        if count & 8 != 0 {
            self.halves::<8>(tail.take()?);
        }
        if count & 4 != 0 {
            self.halves::<4>(tail.take()?);
        }
        if count & 2 != 0 {
            self.pair(tail.take()?);
        }
        if count & 1 != 0 {
            self.pair([tail.u8()?, 0]);
        }
        Ok(())
    }

    /// The sum in 16 bits.
    #[inline(always)]
    fn fold(self) -> u16 {
        let mut sum = self.0;
        sum = (sum & 0xffff_ffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum as u16
    }

    /// The sum itself, which stands in place of a checksum that an offload is to finish.
    #[inline(always)]
    pub fn unfinished(self) -> [u8; 2] {
        self.fold().to_ne_bytes()
    }

    /// Whether what was summed, its checksum included, is intact.
    #[inline(always)]
    pub fn is_intact(self) -> bool {
        self.fold() == u16::MAX
    }

    /// The checksum of what was summed, as it stands on the wire.
    #[inline(always)]
    pub fn checksum(self) -> [u8; 2] {
        (!self.fold()).to_ne_bytes()
    }

    /// The same for UDP, where 0 would mean that there is none (RFC 768).
    #[inline(always)]
    pub fn udp_checksum(self) -> [u8; 2] {
        match self.checksum() {
            [0, 0] => [0xff, 0xff],
            checksum => checksum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::SliceCursor;

    fn sum(bytes: &[u8]) -> Sum {
        let mut sum = Sum::default();
        sum.absorb(&mut SliceCursor::new(bytes), bytes.len()).unwrap();
        sum
    }

    /// RFC 1071 §2.1 by the book: 16-bit big-endian words with end-around carry.
    fn by_the_book(bytes: &[u8]) -> [u8; 2] {
        let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        let total = bytes.chunks(2).map(word).fold(0, |sum, word| {
            let sum = sum + word;
            (sum & 0xffff) + (sum >> 16)
        });
        (!(total as u16)).to_be_bytes()
    }

    #[test]
    fn the_example_of_rfc_1071_has_its_sum() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&bytes).checksum(), [!0xdd, !0xf2]);
    }

    #[test]
    fn every_length_is_summed_by_the_book() {
        let bytes: [u8; 97] = core::array::from_fn(|i| (i * 151 + 7) as u8);
        for end in 0..bytes.len() {
            assert_eq!(sum(&bytes[..end]).checksum(), by_the_book(&bytes[..end]), "{end} bytes");
        }
        assert_eq!(sum(&[0xff; 40]).checksum(), [0, 0]);
        assert_eq!(sum(&[0xff; 40]).udp_checksum(), [0xff, 0xff]);
    }

    #[test]
    fn a_sum_with_its_checksum_is_intact_and_any_change_shows() {
        let mut bytes = [7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0];
        let checksum = sum(&bytes).checksum();
        bytes[10..].copy_from_slice(&checksum);
        assert!(sum(&bytes).is_intact());
        for at in 0..bytes.len() {
            bytes[at] ^= 0x10;
            assert!(!sum(&bytes).is_intact(), "byte {at}");
            bytes[at] ^= 0x10;
        }
    }
}
