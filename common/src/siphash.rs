//! SipHash-2-4 (Aumasson and Bernstein, 2012) over 64-bit words: the MAC of cookies.

/// A 128-bit key as two little-endian words.
pub type Key = [u64; 2];

/// A running hash.
#[derive(Clone, Debug)]
pub struct SipHash {
    v: [u64; 4],
    words: u64,
}

impl SipHash {
    /// Starts a hash under `key`.
    #[inline(always)]
    pub const fn new([k0, k1]: Key) -> Self {
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
    pub const fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.round();
        self.v[0] ^= word;
        self.words += 1;
    }

    /// The hash of all that was absorbed.
    #[inline(always)]
    pub const fn finish(self) -> u64 {
        self.finish_with([0; 8], 0)
    }

    /// The hash of all that was absorbed and the first `count` of these bytes, at most 7; the others
    /// are 0.
    #[inline(always)]
    pub const fn finish_with(mut self, tail: [u8; 8], count: u64) -> u64 {
        self.word((8 * self.words + count) << 56 | u64::from_le_bytes(tail));
        self.v[2] ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.round();
        self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3]
    }

    #[inline(always)]
    const fn round(&mut self) {
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

    const KEY: Key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

    /// The reference implementation's vectors for inputs 00 01 02 …; that of 15 bytes is the example
    /// of the paper's appendix A.
    #[test]
    fn inputs_have_the_published_values() {
        let input: [u8; 64] = core::array::from_fn(|i| i as u8);
        for (length, expected) in [
            (0, 0x726f_db47_dd0e_0e31),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
            (16, 0x3f2a_cc7f_57c2_9bdb),
            (24, 0xb8ad_50c6_f649_af94),
            (56, 0xb78d_bfaf_3a8d_83bd),
        ] {
            let mut hash = SipHash::new(KEY);
            let (words, tail) = input[..length].as_chunks();
            words.iter().for_each(|word| hash.word(u64::from_le_bytes(*word)));
            let mut padded = [0; 8];
            padded[..tail.len()].copy_from_slice(tail);
            assert_eq!(hash.finish_with(padded, tail.len() as u64), expected, "{length} bytes");
        }
    }
}
