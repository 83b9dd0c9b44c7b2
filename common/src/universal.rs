//! A universal hash of packet bytes: Multilinear-HM (Lemire and Kaser, "Strongly universal string
//! hashing is fast", The Computer Journal 57, 2014, §3), twice, under independent keys.
//!
//! A word of the input is two numbers of 32 bits, and each is added to a key of 64 bits: the hash is the
//! upper half of ∑ (key + low)(key' + high) modulo 2^64. Two inputs of the same length that differ
//! have the same hash under at most 2^-64 of all keys, for both lanes together. That is all it
//! promises: it hides nothing, so its result has to go through a MAC, and the length with it.

use crate::cursor::{Cursor, Truncated};

/// Keys of one word of input: low and high for the one lane, low and high for the other.
pub type WordKey = [u64; LANES * 2];

/// Words that are read at once.
pub const CHUNK_WORDS: usize = 4;

/// Keys of as many words.
pub type ChunkKey = [WordKey; CHUNK_WORDS];

/// How many hashes of 32 bits there are.
pub const LANES: usize = 2;

const CHUNK_LEN: usize = 8 * CHUNK_WORDS;

/// A running hash. No key may serve two words of one input.
#[derive(Clone, Debug)]
pub struct Universal([u64; LANES]);

impl Universal {
    /// Starts a hash; the two numbers are part of the key.
    #[inline(always)]
    pub const fn new(start: [u64; LANES]) -> Self {
        Self(start)
    }

    /// Absorbs one word, which has come as two halves.
    #[inline(always)]
    pub fn word(&mut self, key: &WordKey, low: u32, high: u32) {
        let (low, high) = (u64::from(low), u64::from(high));
        let [a, b, c, d] = *key;
        let [first, second] = &mut self.0;
        *first = first.wrapping_add(a.wrapping_add(low).wrapping_mul(b.wrapping_add(high)));
        *second = second.wrapping_add(c.wrapping_add(low).wrapping_mul(d.wrapping_add(high)));
    }

    /// Absorbs the next `count` bytes, fewer than 32 `N`, zero-padded to whole words. Whole chunks have
    /// the first keys, what is left has the last.
    #[inline(always)]
    pub fn absorb<const N: usize>(
        &mut self,
        keys: &[ChunkKey; N],
        cursor: &mut impl Cursor,
        count: usize,
    ) -> Result<(), Truncated> {
        let Some((rest, whole)) = keys.split_last() else { return Err(Truncated) };
        let (mut chunks, mut last) = (cursor.clone(), cursor.clone());
        // As in `checksum::Sum::absorb`: no cursor goes through the loop and lives on.
        cursor.skip(count)?;
        if count / CHUNK_LEN > whole.len() {
            return Err(Truncated);
        }
        for (index, chunk) in whole.iter().enumerate() {
            if index >= count / CHUNK_LEN {
                break;
            }
            let bytes: [u8; CHUNK_LEN] = chunks.take()?;
            for (key, word) in chunk.iter().zip(bytes.as_chunks().0) {
                self.eight(key, *word);
            }
        }
        last.skip(count & !(CHUNK_LEN - 1))?;
        self.rest(rest, &mut last, count)
    }

    /// Absorbs what is less than a chunk. The keys have fixed places: to the verifier, an index that
    /// counts along would be another program for each number of words.
    #[inline(always)]
    fn rest(
        &mut self,
        [first, second, third, last]: &ChunkKey,
        cursor: &mut impl Cursor,
        count: usize,
    ) -> Result<(), Truncated> {
        if count & 16 != 0 {
            let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = cursor.take()?;
            self.eight(first, [a, b, c, d, e, f, g, h]);
            self.eight(second, [i, j, k, l, m, n, o, p]);
        }
        if count & 8 != 0 {
            self.eight(third, cursor.take()?);
        }
        let low = if count & 4 != 0 { cursor.u32()? } else { 0 };
        let mut high = 0;
        if count & 2 != 0 {
            high = u32::from(cursor.u16()?);
        }
        if count & 1 != 0 {
            high = high << 8 | u32::from(cursor.u8()?);
        }
        self.word(last, low, high);
        Ok(())
    }

    #[inline(always)]
    fn eight(&mut self, key: &WordKey, [a, b, c, d, e, f, g, h]: [u8; 8]) {
        self.word(key, u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    }

    /// The hash of all that was absorbed: 32 bits of each lane.
    #[inline(always)]
    pub fn finish(self) -> u64 {
        let [first, second] = self.0;
        first >> 32 << 32 | second >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::SliceCursor;
    use crate::siphash::{Key, SipHash};

    const N: usize = 3;

    /// Keys that follow from a seed.
    fn keys(seed: u64) -> ([u64; LANES], [ChunkKey; N]) {
        let key: Key = [seed, !seed];
        let mut number = 0;
        let mut next = || {
            number += 1;
            let mut hash = SipHash::new(key);
            hash.word(number);
            hash.finish()
        };
        let start = core::array::from_fn(|_| next());
        (
            start,
            core::array::from_fn(|_| core::array::from_fn(|_| core::array::from_fn(|_| next()))),
        )
    }

    fn hash(seed: u64, input: &[u8]) -> u64 {
        let (start, keys) = keys(seed);
        let mut hash = Universal::new(start);
        hash.absorb(&keys, &mut SliceCursor::new(input), input.len()).unwrap();
        hash.finish()
    }

    /// The definition, in numbers that cannot overflow.
    fn by_the_book(start: u64, pairs: &[(u64, u64, u32, u32)]) -> u64 {
        let sum = pairs.iter().fold(u128::from(start), |sum, (key, other, low, high)| {
            let (left, right) =
                (key.wrapping_add((*low).into()), other.wrapping_add((*high).into()));
            (sum + u128::from(left) * u128::from(right)) % (1 << 64)
        });
        sum as u64 >> 32
    }

    #[test]
    fn words_are_hashed_by_the_book() {
        let (start, keys) = keys(7);
        let words = [0x0123_4567_89ab_cdef_u64, u64::MAX, 0, 1 << 32];
        let mut hash = Universal::new(start);
        for (key, word) in keys[0].iter().zip(words) {
            hash.word(key, word as u32, (word >> 32) as u32);
        }
        let lane = |lane: usize| {
            let pairs = core::array::from_fn::<_, 4, _>(|at| {
                let key = &keys[0][at][2 * lane..];
                (key[0], key[1], words[at] as u32, (words[at] >> 32) as u32)
            });
            by_the_book(start[lane], &pairs)
        };
        assert_eq!(hash.finish(), lane(0) << 32 | lane(1));
    }

    #[test]
    fn every_bit_counts_at_every_length() {
        for length in 1..32 * N {
            let mut input = [0x5a; 32 * N];
            let before = hash(1, &input[..length]);
            for at in 0..length {
                for bit in [1, 0x80] {
                    input[at] ^= bit;
                    assert_ne!(hash(1, &input[..length]), before, "byte {at} of {length}");
                    input[at] ^= bit;
                }
            }
        }
    }

    #[test]
    fn more_than_there_are_keys_for_is_refused() {
        let (start, keys) = keys(1);
        let input = [0; 32 * N + 1];
        let absorb = |count| {
            Universal::new(start).absorb(&keys, &mut SliceCursor::new(&input), count).is_ok()
        };
        assert!(absorb(32 * N - 1) && !absorb(32 * N) && !absorb(32 * N + 1));
    }

    /// Inputs that differ in one bit collide in one lane about as often as chance has it, and in no
    /// way for all keys: 65,536 keys, hashes cut to 8 bits.
    #[test]
    fn keys_decide_what_collides() {
        let (one, other) = ([0; 40], core::array::from_fn::<u8, 40, _>(|at| u8::from(at == 9)));
        let same = |seed| (hash(seed, &one) ^ hash(seed, &other)) >> 56 == 0;
        let collisions = (0..65_536).filter(|seed| same(*seed)).count();
        assert!((128..512).contains(&collisions), "{collisions} of 65536, 256 expected");
    }
}
