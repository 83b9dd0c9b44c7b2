//! Randomness that a seed repeats (SplitMix64), or that somebody dictates.

use std::collections::VecDeque;

#[derive(Clone)]
pub(crate) struct Rng {
    state: u64,
    /// What comes first, two bytes for each number; `None` if nobody dictates.
    dictated: Option<VecDeque<u8>>,
}

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, dictated: None }
    }

    /// The numbers that `bytes` are, then those of a seed.
    pub(crate) fn dictated(bytes: &[u8]) -> Self {
        Self { state: 0, dictated: Some(bytes.iter().copied().collect()) }
    }

    /// Whether all has been said that was dictated.
    pub(crate) fn is_spent(&self) -> bool {
        self.dictated.as_ref().is_some_and(VecDeque::is_empty)
    }

    pub(crate) fn next(&mut self) -> u64 {
        if let Some(bytes) = &mut self.dictated
            && let Some(high) = bytes.pop_front()
        {
            return u64::from(high) << 8 | u64::from(bytes.pop_front().unwrap_or_default());
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// Another generator, independent of this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn per_mille(&mut self, chance: u64) -> bool {
        self.below(1000) < chance
    }

    /// A hello's random.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let words: [[u8; 8]; 4] = std::array::from_fn(|_| self.next().to_be_bytes());
        std::array::from_fn(|index| words[index / 8][index % 8])
    }

    /// What the core takes as a source of 32 random bits.
    pub(crate) fn source(mut self) -> xdtls_proto::handshakes::Random {
        Box::new(move || (self.next() >> 32) as u32)
    }
}
