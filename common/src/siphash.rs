//! SipHash-2-4 (Aumasson and Bernstein, 2012) over 64-bit words: the MAC of cookies.
//!
//! Input is taken word by word and padded by the caller, which keeps every loop free of the byte
//! accesses at variable offsets that the BPF verifier refuses.

use crate::cursor::{Cursor, Truncated};

/// A 128-bit key as two little-endian words.
pub type Key = [u64; 2];

/// A running hash. Only inputs of whole words have the published SipHash value.
#[derive(Clone, Debug)]
pub struct SipHash {
    v: [u64; 4],
    words: u64,
}

impl SipHash {
    /// Starts a hash under `key`.
    #[inline(always)]
    pub fn new([k0, k1]: Key) -> Self {
        let v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, words: 0 }
    }

    /// Absorbs one word.
    #[inline(always)]
    pub fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.round();
        self.v[0] ^= word;
        self.words += 1;
    }

    /// Absorbs `count` bytes of packet, zero-padded to whole words. Two inputs of different length
    /// can collide unless the caller absorbs the length as well.
    #[inline(always)]
    pub fn absorb(&mut self, cursor: &mut impl Cursor, count: usize) -> Result<(), Truncated> {
        let (mut words, mut last) = (cursor.clone(), cursor.clone());
        // As in `checksum::Sum::absorb`: no cursor goes through the loop and lives on.
        cursor.skip(count)?;
        for _ in 0..count / 8 {
            self.word(u64::from_le_bytes(words.take()?));
        }
        last.skip(count & !7)?;
        let mut tail = 0;
        if count & 4 != 0 {
            tail = u64::from(last.u32()?);
        }
        if count & 2 != 0 {
            tail = tail << 16 | u64::from(last.u16()?);
        }
        if count & 1 != 0 {
            tail = tail << 8 | u64::from(last.u8()?);
        }
        if !count.is_multiple_of(8) {
            self.word(tail);
        }
        Ok(())
    }

    /// The hash of all that was absorbed.
    #[inline(always)]
    pub fn finish(mut self) -> u64 {
        self.word(self.words << 59);
        self.v[2] ^= 0xff;
        for _ in 0..4 {
            self.round();
        }
        self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3]
    }

    #[inline(always)]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.v;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32).wrapping_add(d);
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        d = d.rotate_left(21) ^ a;
        self.v = [a, b, c.rotate_left(32), d];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::SliceCursor;

    const KEY: Key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

    /// The reference implementation's vectors for inputs 00 01 02 … of 0, 8, 16, 24 and 56 bytes.
    #[test]
    fn whole_words_have_the_published_values() {
        let input: [u8; 64] = core::array::from_fn(|i| i as u8);
        for (length, expected) in [
            (0, 0x726f_db47_dd0e_0e31),
            (8, 0x93f5_f579_9a93_2462),
            (16, 0x3f2a_cc7f_57c2_9bdb),
            (24, 0xb8ad_50c6_f649_af94),
            (56, 0xb78d_bfaf_3a8d_83bd),
        ] {
            let mut hash = SipHash::new(KEY);
            hash.absorb(&mut SliceCursor::new(&input), length).unwrap();
            assert_eq!(hash.finish(), expected, "{length} bytes");
        }
    }

    #[test]
    fn every_byte_of_a_tail_counts() {
        for length in 1..24 {
            let mut input = [0x5a; 24];
            let hash = |input: &[u8]| {
                let mut hash = SipHash::new(KEY);
                hash.absorb(&mut SliceCursor::new(input), length).unwrap();
                hash.finish()
            };
            let before = hash(&input);
            for at in 0..length {
                input[at] ^= 1;
                assert_ne!(hash(&input), before, "byte {at} of {length}");
                input[at] ^= 1;
            }
        }
    }
}
