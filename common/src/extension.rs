//! The xdtls extension of ClientHello and ServerHello.
//!
//! Body: version (1 byte, [`VERSION`]) ‖ token length (1 byte, 0 or 32) ‖ rekey token. Offered by
//! our client, answered by our gateway, ignored by everyone else.

use crate::cursor::{Cursor, SliceCursor, Truncated};

/// The extension's number, from the range for private use (IANA TLS ExtensionType Values).
pub const EXTENSION_TYPE: u16 = 0xff58;

/// The version that this code speaks.
pub const VERSION: u8 = 1;

/// Length of a rekey token in bytes.
pub const TOKEN_LEN: usize = 32;

/// The longest body.
pub const MAX_BODY_LEN: usize = 2 + TOKEN_LEN;

/// One extension body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdtlsExtension {
    /// The highest version that the sender speaks; never 0.
    pub version: u8,
    /// Ties a new association to the one it replaces.
    pub rekey_token: Option<[u8; TOKEN_LEN]>,
}

/// The body has no version, another version's length, or bytes left over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedExtension;

impl XdtlsExtension {
    /// What this code offers and answers outside of a rekey.
    pub const PLAIN: Self = Self { version: VERSION, rekey_token: None };

    /// Reads a body. What a later version may add behind the token is passed over.
    pub fn parse(body: &[u8]) -> Result<Self, MalformedExtension> {
        Self::parse_from(&mut SliceCursor::new(body)).map_err(|Truncated| MalformedExtension)
    }

    fn parse_from(cursor: &mut SliceCursor<'_>) -> Result<Self, Truncated> {
        let version = cursor.u8()?;
        let rekey_token = match usize::from(cursor.u8()?) {
            0 => None,
            TOKEN_LEN => Some(cursor.take()?),
            _ => return Err(Truncated),
        };
        let known_whole = version != VERSION || cursor.remaining() == 0;
        if version == 0 || !known_whole {
            return Err(Truncated);
        }
        Ok(Self { version, rekey_token })
    }

    /// The body as it stands on the wire, and its length.
    pub fn encode(&self) -> ([u8; MAX_BODY_LEN], usize) {
        let mut body = [0; MAX_BODY_LEN];
        body[0] = self.version;
        match self.rekey_token {
            None => (body, 2),
            Some(token) => {
                body[1] = TOKEN_LEN as u8;
                body[2..].copy_from_slice(&token);
                (body, MAX_BODY_LEN)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_survive_the_round_trip() {
        let with_token = XdtlsExtension { version: 1, rekey_token: Some([7; TOKEN_LEN]) };
        for extension in [XdtlsExtension::PLAIN, with_token] {
            let (body, length) = extension.encode();
            assert_eq!(XdtlsExtension::parse(&body[..length]), Ok(extension));
        }
        assert_eq!(XdtlsExtension::PLAIN.encode().0[..2], [1, 0]);
    }

    #[test]
    fn other_lengths_are_malformed() {
        for body in [&[][..], &[1], &[0, 0], &[1, 1, 9], &[1, 0, 0], &[1, 32, 5]] {
            assert_eq!(XdtlsExtension::parse(body), Err(MalformedExtension), "{body:?}");
        }
    }

    #[test]
    fn later_versions_may_append() {
        let parsed = XdtlsExtension::parse(&[2, 0, 1, 2, 3]);
        assert_eq!(parsed, Ok(XdtlsExtension { version: 2, rekey_token: None }));
    }
}
