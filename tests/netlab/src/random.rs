//! Random numbers that can be repeated: SplitMix64.

use std::fs::File;
use std::io::{self, Read};
use std::ops::RangeInclusive;

/// A sequence of random numbers. Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence that nobody has seen before.
    pub fn unseen() -> io::Result<Self> {
        let mut seed = [0; 8];
        File::open("/dev/urandom")?.read_exact(&mut seed)?;
        Ok(Self(u64::from_be_bytes(seed)))
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number of the range. The bias of the remainder does not matter for packet sizes.
    pub fn within(&mut self, range: &RangeInclusive<usize>) -> usize {
        let span = (range.end() - range.start()) as u64 + 1;
        range.start() + (self.draw() % span) as usize
    }

    /// 32 bits that are not all zero: an id.
    pub fn id(&mut self) -> u32 {
        loop {
            let id = self.draw() as u32;
            if id != 0 {
                return id;
            }
        }
    }

    /// So many random bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.draw().to_be_bytes());
        words.flatten().take(count).collect()
    }
}
