//! DTLS 1.2 record headers (RFC 6347 §4.1) and the walk over the records of one datagram.

use core::ops::Range;

use crate::cursor::{Cursor, SliceCursor, Truncated};

/// Length of a record header in bytes: type, version, epoch, sequence number, length.
pub const HEADER_LEN: usize = 13;

/// The longest fragment that a record may carry: 2^14 bytes of plaintext and 2,048 of expansion
/// (RFC 6347 §4.1, RFC 5246 §6.2.3).
pub const MAX_FRAGMENT_LEN: usize = (1 << 14) + 2048;

/// DTLS 1.0 on the wire: what a ClientHello's record header may carry (RFC 6347 §4.2.1).
pub const DTLS_1_0: [u8; 2] = [0xfe, 0xff];

/// DTLS 1.2 on the wire.
pub const DTLS_1_2: [u8; 2] = [0xfe, 0xfd];

/// Record content types that xdtls knows.
pub mod content_type {
    /// ChangeCipherSpec (RFC 5246 §7.1).
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    /// Alert (RFC 5246 §7.2).
    pub const ALERT: u8 = 21;
    /// Handshake (RFC 5246 §7.4).
    pub const HANDSHAKE: u8 = 22;
    /// Application data: one plaintext datagram.
    pub const APPLICATION_DATA: u8 = 23;
    /// Return routability check (RFC 9853), here the path messages of the xdtls extension.
    pub const RETURN_ROUTABILITY_CHECK: u8 = 27;
}

/// One record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// One of [`content_type`], or something foreign.
    pub content_type: u8,
    /// Protocol version as sent.
    pub version: [u8; 2],
    /// Epoch: 0 before ChangeCipherSpec, 1 after.
    pub epoch: u16,
    /// Sequence number within the epoch, 48 bits.
    pub sequence: u64,
    /// Length of the fragment that follows, in bytes.
    pub length: u16,
}

impl RecordHeader {
    /// Reads one header. The fragment is not required to be there.
    pub fn parse(cursor: &mut impl Cursor) -> Result<Self, Truncated> {
        // One step for all of it: the verifier of the kernel follows one bound check instead of
        // five, and a check for a single byte is one that it cannot follow at all.
        cursor.take().map(Self::decode)
    }

    /// The header that these bytes are.
    #[inline(always)]
    pub const fn decode(bytes: [u8; HEADER_LEN]) -> Self {
        let [content_type, v0, v1, e0, e1, s0, s1, s2, s3, s4, s5, l0, l1] = bytes;
        let (version, epoch) = ([v0, v1], u16::from_be_bytes([e0, e1]));
        let sequence = u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]);
        let length = u16::from_be_bytes([l0, l1]);
        Self { content_type, version, epoch, sequence, length }
    }

    /// The header as it stands on the wire.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = self.content_type;
        bytes[1..3].copy_from_slice(&self.version);
        bytes[3..11].copy_from_slice(&self.epoch_and_sequence());
        bytes[11..13].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// Epoch ‖ sequence number, the 64-bit number that enters nonce and additional data
    /// (RFC 6347 §4.1.2.1).
    pub fn epoch_and_sequence(&self) -> [u8; 8] {
        (u64::from(self.epoch) << 48 | self.sequence & 0xffff_ffff_ffff).to_be_bytes()
    }
}

/// The rest of a datagram is not a record: its header is cut, its fragment is longer than the
/// datagram or than a record may be, or its version is none of DTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The records of one datagram, in order. After an error the walk ends.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    datagram: &'a [u8],
    at: usize,
}

/// Walks the records of `datagram` (the UDP payload without the prefix).
pub fn records(datagram: &[u8]) -> Records<'_> {
    Records { datagram, at: 0 }
}

impl Iterator for Records<'_> {
    /// A header and where the whole record (header included) stands in the datagram.
    type Item = Result<(RecordHeader, Range<usize>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.datagram.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        self.at = self.datagram.len();
        Some(header_of_first(rest).map(|header| {
            self.at = start + HEADER_LEN + usize::from(header.length);
            (header, start..self.at)
        }))
    }
}

fn header_of_first(rest: &[u8]) -> Result<RecordHeader, Malformed> {
    let mut cursor = SliceCursor::new(rest);
    let header = RecordHeader::parse(&mut cursor).map_err(|Truncated| Malformed)?;
    let length = usize::from(header.length);
    let dtls = header.version == DTLS_1_0 || header.version == DTLS_1_2;
    if dtls && length <= MAX_FRAGMENT_LEN && length <= cursor.remaining() {
        Ok(header)
    } else {
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const HEADER: RecordHeader = RecordHeader {
        content_type: content_type::APPLICATION_DATA,
        version: DTLS_1_2,
        epoch: 1,
        sequence: 0x0102_0304_0506,
        length: 2,
    };
    const GOLDEN: [u8; 13] = [23, 0xfe, 0xfd, 0, 1, 1, 2, 3, 4, 5, 6, 0, 2];

    #[test]
    fn header_has_its_golden_bytes() {
        assert_eq!(HEADER.encode(), GOLDEN);
        assert_eq!(RecordHeader::parse(&mut SliceCursor::new(&GOLDEN)), Ok(HEADER));
        assert_eq!(RecordHeader::parse(&mut SliceCursor::new(&GOLDEN[..12])), Err(Truncated));
        assert_eq!(HEADER.epoch_and_sequence(), [0, 1, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn walk_yields_each_record_and_ends_at_the_first_fault() {
        let one: Vec<u8> = [&GOLDEN[..], &[9, 9]].concat();
        let two = [&one[..], &one[..], &[23, 0xfe]].concat();
        let walked: Vec<_> = records(&two).collect();
        assert_eq!(walked, [Ok((HEADER, 0..15)), Ok((HEADER, 15..30)), Err(Malformed)]);
        assert_eq!(records(&[]).next(), None);
    }

    #[test]
    fn foreign_versions_and_overlong_fragments_are_malformed() {
        let mut record = [&GOLDEN[..], &[9, 9]].concat();
        record[1] = 3;
        assert_eq!(records(&record).next(), Some(Err(Malformed)));
        let mut long = [0; HEADER_LEN + MAX_FRAGMENT_LEN + 1];
        long[..HEADER_LEN].copy_from_slice(&GOLDEN);
        long[11..13].copy_from_slice(&(MAX_FRAGMENT_LEN as u16 + 1).to_be_bytes());
        assert_eq!(records(&long).next(), Some(Err(Malformed)));
    }
}
