//! Datagrams that tell by themselves where they belong, so that what comes back can be judged.

use std::ops::RangeInclusive;

use crate::random::Random;

/// Length of the header that each datagram carries if it is long enough: lane ‖ sequence number.
pub(crate) const HEADER_LEN: usize = 8;

/// The content of one datagram: a header if it fits, random bytes of its own for the rest.
pub fn content(seed: u64, lane: u32, sequence: u32, sizes: &RangeInclusive<usize>) -> Vec<u8> {
    let header = u64::from(lane) << 32 | u64::from(sequence);
    let mut random = Random::new(seed ^ Random::new(header).draw());
    let size = random.within(sizes);
    let mut content = random.bytes(size);
    if let Some(start) = content.first_chunk_mut::<HEADER_LEN>() {
        *start = header.to_be_bytes();
    }
    content
}

/// Lane and sequence number that a datagram claims to have; `None` where it has no header.
pub fn label(datagram: &[u8]) -> Option<(u32, u32)> {
    let header = u64::from_be_bytes(*datagram.first_chunk::<HEADER_LEN>()?);
    Some(((header >> 32) as u32, header as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_repeatable_and_says_where_it_belongs() {
        let sizes = 8..=40;
        let bytes = content(7, 3, 9, &sizes);
        assert_eq!(bytes, content(7, 3, 9, &sizes));
        assert_eq!(label(&bytes), Some((3, 9)));
        assert_eq!(label(&bytes[..7]), None);
        assert_ne!(content(7, 3, 9, &(64..=64)), content(8, 3, 9, &(64..=64)));
        assert!(content(7, 3, 9, &(0..=0)).is_empty());
        let lengths: Vec<_> = (0..1000).map(|n| content(7, 0, n, &(0..=9)).len()).collect();
        assert!((0..=9).all(|length| lengths.contains(&length)));
    }
}
