//! The 8-byte prefix of every datagram: sender's id ‖ receiver's id, big-endian; 0 = not known yet.

use crate::cursor::{Cursor, Truncated};

/// Length of the prefix in bytes.
pub const PREFIX_LEN: usize = 8;

/// The two ids that stand before the DTLS records of a datagram, as the sender wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The sender's own id; 0 where a gateway answers without keeping state.
    pub sender: u32,
    /// The receiver's id; 0 in a ClientHello only.
    pub receiver: u32,
}

impl Prefix {
    /// Reads a prefix.
    pub fn parse(cursor: &mut impl Cursor) -> Result<Self, Truncated> {
        let ids = u64::from_be_bytes(cursor.take()?);
        Ok(Self { sender: (ids >> 32) as u32, receiver: ids as u32 })
    }

    /// The prefix as it stands on the wire.
    pub fn encode(self) -> [u8; PREFIX_LEN] {
        (u64::from(self.sender) << 32 | u64::from(self.receiver)).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::SliceCursor;

    #[test]
    fn has_its_golden_bytes() {
        let prefix = Prefix { sender: 0x0102_0304, receiver: 0xfffe_fdfc };
        let golden = [1, 2, 3, 4, 0xff, 0xfe, 0xfd, 0xfc];
        assert_eq!(prefix.encode(), golden);
        assert_eq!(Prefix::parse(&mut SliceCursor::new(&golden)), Ok(prefix));
        assert_eq!(Prefix::parse(&mut SliceCursor::new(&golden[..7])), Err(Truncated));
    }
}
