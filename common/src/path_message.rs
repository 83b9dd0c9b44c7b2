//! Messages of record type 27: return routability (RFC 9853 §5) and, between two xdtls nodes,
//! liveness.
//!
//! One message fills one record: type (1 byte) ‖ cookie (8 bytes).

use crate::cursor::{Cursor, SliceCursor, Truncated};

/// Length of a message in bytes.
pub const MESSAGE_LEN: usize = 9;

/// What a type-27 record carries. The cookie is an unpredictable number that the answer repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathMessage {
    /// path_challenge (0): answer me from where you receive this.
    Challenge([u8; 8]),
    /// path_response (1): the cookie of the challenge that it answers.
    Response([u8; 8]),
    /// path_drop (2): the sender does not want the path that the cookie names.
    Drop([u8; 8]),
}

/// The content is of another length or type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedPathMessage;

impl PathMessage {
    /// Reads the plaintext of one record.
    pub fn parse(plaintext: &[u8]) -> Result<Self, MalformedPathMessage> {
        let mut cursor = SliceCursor::new(plaintext);
        let read = |cursor: &mut SliceCursor<'_>| Ok((cursor.u8()?, cursor.take()?));
        let (kind, cookie) = read(&mut cursor).map_err(|Truncated| MalformedPathMessage)?;
        match kind {
            _ if cursor.remaining() > 0 => Err(MalformedPathMessage),
            0 => Ok(Self::Challenge(cookie)),
            1 => Ok(Self::Response(cookie)),
            2 => Ok(Self::Drop(cookie)),
            _ => Err(MalformedPathMessage),
        }
    }

    /// The message as plaintext of one record.
    pub fn encode(self) -> [u8; MESSAGE_LEN] {
        let (kind, cookie) = match self {
            Self::Challenge(cookie) => (0, cookie),
            Self::Response(cookie) => (1, cookie),
            Self::Drop(cookie) => (2, cookie),
        };
        let [c0, c1, c2, c3, c4, c5, c6, c7] = cookie;
        [kind, c0, c1, c2, c3, c4, c5, c6, c7]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_round_trip() {
        let cookie = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(PathMessage::Response(cookie).encode(), [1, 1, 2, 3, 4, 5, 6, 7, 8]);
        for message in [
            PathMessage::Challenge(cookie),
            PathMessage::Response(cookie),
            PathMessage::Drop(cookie),
        ] {
            assert_eq!(PathMessage::parse(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn other_lengths_and_types_are_malformed() {
        for plaintext in [&[][..], &[0; 8], &[0; 10], &[3, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(PathMessage::parse(plaintext), Err(MalformedPathMessage), "{plaintext:?}");
        }
    }
}
