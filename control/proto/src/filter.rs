//! The filter before the handshake engine.
//!
//! Everything that reaches a half-open association can be forged by whoever knows its ids. The
//! filter passes what a handshake needs and takes away what would harm the engine: epoch-0 record
//! sequence numbers are in no transcript and no MAC, so they are renumbered, or one forged far-ahead
//! number would close the engine's replay window for good; encrypted records are passed in small
//! number, because the engine keeps a whole read buffer for each.

use std::ops::RangeInclusive;

use xdtls_common::DropReason;
use xdtls_common::cursor::{Cursor, SliceCursor, Truncated};
use xdtls_common::record::{HEADER_LEN, RecordHeader, content_type};

/// The longest handshake message, in bytes.
const MAX_MESSAGE_LEN: u32 = 16 << 10;

/// How far beyond the first message the number of a message may be: no flight of DTLS 1.2 comes near.
const MAX_MESSAGES: u16 = 8;

/// Encrypted handshake records that are passed before ChangeCipherSpec has been seen.
const MAX_EARLY_RECORDS: usize = 4;

/// Encrypted handshake records that are passed in all: Finished and its retransmissions.
const MAX_ENCRYPTED_RECORDS: usize = 12;

/// The fragment of an encrypted handshake record, in bytes: Finished is the only message in one,
/// 24 bytes of it, a tag, and with AES-GCM an explicit nonce.
const ENCRYPTED_LEN: RangeInclusive<u16> = 40..=128;

/// What the filter does with a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Filtered {
    /// It goes to the engine, in this form.
    Pass(Vec<u8>),
    /// It is for the established association and is held for it.
    Hold,
    /// An alert that nobody has vouched for: its description, to be named if the handshake fails.
    Alert(u8),
}

/// The filter of one handshake.
pub struct Filter {
    next_sequence: u64,
    first_message_seq: u16,
    /// One bit for each message number of which a fragment was passed.
    messages_seen: u16,
    change_cipher_spec_seen: bool,
    encrypted: Vec<Vec<u8>>,
}

impl Filter {
    /// A filter whose first epoch-0 record will be numbered `first_sequence`, and whose first
    /// handshake message has the number `first_message_seq`.
    pub fn new(first_sequence: u64, first_message_seq: u16) -> Self {
        Self {
            next_sequence: first_sequence,
            first_message_seq,
            messages_seen: 0,
            change_cipher_spec_seen: false,
            encrypted: Vec::new(),
        }
    }

    /// Decides on one whole record.
    pub fn admit(&mut self, header: &RecordHeader, record: &[u8]) -> Result<Filtered, DropReason> {
        let fragment = record.get(HEADER_LEN..).ok_or(DropReason::MalformedRecord)?;
        match (header.epoch, header.content_type) {
            (0, content_type::HANDSHAKE) => {
                self.check_messages(fragment)?;
                Ok(Filtered::Pass(self.renumber(header, fragment)))
            }
            (0, content_type::CHANGE_CIPHER_SPEC) => {
                if fragment != [1] {
                    return Err(DropReason::HandshakeMessage);
                }
                self.change_cipher_spec_seen = true;
                Ok(Filtered::Pass(self.renumber(header, fragment)))
            }
            (0, content_type::ALERT) => match fragment {
                [_level, description] => Ok(Filtered::Alert(*description)),
                _ => Err(DropReason::MalformedContent),
            },
            (1, content_type::HANDSHAKE) => self.admit_encrypted(header, record),
            (
                1,
                content_type::ALERT
                | content_type::APPLICATION_DATA
                | content_type::RETURN_ROUTABILITY_CHECK,
            ) => Ok(Filtered::Hold),
            (0 | 1, _) => Err(DropReason::HandshakeRecordType),
            _ => Err(DropReason::WrongEpoch),
        }
    }

    /// How many different handshake messages were passed, each at least in part.
    pub fn messages_seen(&self) -> u32 {
        self.messages_seen.count_ones()
    }

    /// The encrypted handshake records that were passed: one of them is the peer's Finished.
    pub fn into_encrypted(self) -> Vec<Vec<u8>> {
        self.encrypted
    }

    fn admit_encrypted(
        &mut self,
        header: &RecordHeader,
        record: &[u8],
    ) -> Result<Filtered, DropReason> {
        let limit =
            if self.change_cipher_spec_seen { MAX_ENCRYPTED_RECORDS } else { MAX_EARLY_RECORDS };
        if self.encrypted.len() >= limit {
            return Err(DropReason::EarlyRecordLimit);
        }
        if !ENCRYPTED_LEN.contains(&header.length) {
            return Err(DropReason::HandshakeMessage);
        }
        self.encrypted.push(record.to_vec());
        Ok(Filtered::Pass(record.to_vec()))
    }

    /// Checks every handshake message or fragment in a record (RFC 6347 §4.2.2).
    fn check_messages(&mut self, fragment: &[u8]) -> Result<(), DropReason> {
        let mut cursor = SliceCursor::new(fragment);
        let mut seen = 0;
        while cursor.remaining() > 0 {
            match self.check_message(&mut cursor) {
                Ok(Some(place)) => seen |= 1 << place,
                Ok(None) | Err(Truncated) => return Err(DropReason::HandshakeMessage),
            }
        }
        self.messages_seen |= seen;
        if seen == 0 { Err(DropReason::HandshakeMessage) } else { Ok(()) }
    }

    /// The message's place behind the first one, `None` if its header is impossible.
    fn check_message(&self, cursor: &mut SliceCursor<'_>) -> Result<Option<u16>, Truncated> {
        let _message_type = cursor.u8()?;
        let length = cursor.u24()?;
        let message_seq = cursor.u16()?;
        let (offset, fragment_length) = (cursor.u24()?, cursor.u24()?);
        cursor.skip(fragment_length as usize)?;
        let place = message_seq.saturating_sub(self.first_message_seq);
        let sane = length <= MAX_MESSAGE_LEN
            && place <= MAX_MESSAGES
            && offset + fragment_length <= length
            && (fragment_length > 0 || length == 0);
        Ok(sane.then_some(place))
    }

    fn renumber(&mut self, header: &RecordHeader, fragment: &[u8]) -> Vec<u8> {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        [&RecordHeader { sequence, ..*header }.encode()[..], fragment].concat()
    }
}

#[cfg(test)]
mod tests {
    use xdtls_common::record::DTLS_1_2;

    use super::*;

    fn record(content_type: u8, epoch: u16, fragment: &[u8]) -> (RecordHeader, Vec<u8>) {
        let header = RecordHeader {
            content_type,
            version: DTLS_1_2,
            epoch,
            sequence: 0xffff_ffff_0000,
            length: fragment.len() as u16,
        };
        (header, [&header.encode()[..], fragment].concat())
    }

    fn admit(
        filter: &mut Filter,
        kind: u8,
        epoch: u16,
        body: &[u8],
    ) -> Result<Filtered, DropReason> {
        let (header, record) = record(kind, epoch, body);
        filter.admit(&header, &record)
    }

    fn message(length: u32, message_seq: u16, offset: u32, body: &[u8]) -> Vec<u8> {
        let mut message = vec![16];
        message.extend(&length.to_be_bytes()[1..]);
        message.extend(message_seq.to_be_bytes());
        message.extend(&offset.to_be_bytes()[1..]);
        message.extend(&(body.len() as u32).to_be_bytes()[1..]);
        message.extend(body);
        message
    }

    #[test]
    fn epoch_0_is_renumbered_without_gaps() {
        let mut filter = Filter::new(41, 1);
        for expected in 41..45 {
            let passed = admit(&mut filter, 22, 0, &message(2, 2, 0, &[1, 2])).unwrap();
            let Filtered::Pass(record) = passed else { panic!("{passed:?}") };
            let header = RecordHeader::parse(&mut SliceCursor::new(&record)).unwrap();
            assert_eq!((header.sequence, header.length), (expected, 14));
        }
    }

    #[test]
    fn impossible_messages_are_dropped() {
        let mut filter = Filter::new(0, 1);
        let bad = Err(DropReason::HandshakeMessage);
        let long_ahead = message(2, 10, 0, &[1, 2]);
        let beyond_end = message(2, 1, 1, &[1, 2]);
        let too_long = message(MAX_MESSAGE_LEN + 1, 1, 0, &[1]);
        let empty_fragment = message(5, 1, 0, &[]);
        for body in [&[][..], &[1, 2, 3], &long_ahead, &beyond_end, &too_long, &empty_fragment] {
            assert_eq!(admit(&mut filter, 22, 0, body), bad, "{body:?}");
        }
        assert_eq!(admit(&mut filter, 20, 0, &[2]), bad);
        let two_messages = [message(0, 1, 0, &[]), message(9, 9, 3, &[1; 6])].concat();
        assert!(matches!(admit(&mut filter, 22, 0, &two_messages), Ok(Filtered::Pass(_))));
        let second_bad = [message(0, 1, 0, &[]), beyond_end].concat();
        assert_eq!(admit(&mut filter, 22, 0, &second_bad), bad);
    }

    #[test]
    fn encrypted_records_are_few_before_change_cipher_spec() {
        let mut filter = Filter::new(0, 1);
        let limit = Err(DropReason::EarlyRecordLimit);
        for _ in 0..MAX_EARLY_RECORDS {
            assert!(matches!(admit(&mut filter, 22, 1, &[0; 48]), Ok(Filtered::Pass(_))));
        }
        assert_eq!(admit(&mut filter, 22, 1, &[0; 48]), limit);
        assert!(matches!(admit(&mut filter, 20, 0, &[1]), Ok(Filtered::Pass(_))));
        for _ in MAX_EARLY_RECORDS..MAX_ENCRYPTED_RECORDS {
            assert!(matches!(admit(&mut filter, 22, 1, &[0; 48]), Ok(Filtered::Pass(_))));
        }
        assert_eq!(admit(&mut filter, 22, 1, &[0; 48]), limit);
        assert_eq!(filter.into_encrypted().len(), MAX_ENCRYPTED_RECORDS);
    }

    #[test]
    fn data_is_held_alerts_are_noted_and_the_rest_is_dropped() {
        let mut filter = Filter::new(0, 1);
        for kind in [21, 23, 27] {
            assert_eq!(admit(&mut filter, kind, 1, &[0; 30]), Ok(Filtered::Hold));
        }
        assert_eq!(admit(&mut filter, 21, 0, &[2, 40]), Ok(Filtered::Alert(40)));
        assert_eq!(admit(&mut filter, 21, 0, &[2]), Err(DropReason::MalformedContent));
        assert_eq!(admit(&mut filter, 23, 0, &[2]), Err(DropReason::HandshakeRecordType));
        assert_eq!(admit(&mut filter, 20, 1, &[1]), Err(DropReason::HandshakeRecordType));
        assert_eq!(admit(&mut filter, 22, 2, &[1]), Err(DropReason::WrongEpoch));
        for length in [0, 39, 129] {
            let admitted = admit(&mut filter, 22, 1, &vec![0; length]);
            assert_eq!(admitted, Err(DropReason::HandshakeMessage), "{length} bytes");
        }
    }
}
