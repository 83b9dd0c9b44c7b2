//! The Internet checksum (RFC 1071).

/// The sum of the 16-bit words of `bytes`, not folded; an odd last byte counts as a high one.
#[inline(always)]
pub fn sum_of(bytes: &[u8]) -> u32 {
    let words = bytes.chunks_exact(2);
    let last = words.remainder().first().map_or(0, |byte| u32::from(*byte) << 8);
    words.fold(last, |sum, word| sum + (u32::from(word[0]) << 8 | u32::from(word[1])))
}

/// The sum with its carries added; two rounds are enough for 32 bits.
#[inline(always)]
pub fn fold(sum: u32) -> u16 {
    let once = (sum >> 16) + (sum & 0xffff);
    ((once >> 16) + (once & 0xffff)) as u16
}
