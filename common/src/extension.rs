//! The xdtls extension of ClientHello and ServerHello.
//!
//! Body: version (1 byte, [`VERSION`]) ‖ token length (1 byte, 0 or 32) ‖ rekey token ‖ in ServerHello
//! the id of who answers (4 bytes). Offered by our client, answered by our gateway, ignored by
//! everyone else.

use crate::cursor::{Cursor, SliceCursor, Truncated};
use crate::id::PeerId;

/// The extension's number, from the range for private use (IANA TLS ExtensionType Values).
pub const EXTENSION_TYPE: u16 = 0xff58;

/// The version that this code speaks.
pub const VERSION: u8 = 1;

/// Length of a rekey token in bytes.
pub const TOKEN_LEN: usize = 32;

/// Length of an id in bytes.
const ID_LEN: usize = 4;

/// The longest body.
pub const MAX_BODY_LEN: usize = 2 + TOKEN_LEN + ID_LEN;

/// One extension body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdtlsExtension {
    /// The highest version that the sender speaks; never 0.
    pub version: u8,
    /// Ties a new association to the one it replaces.
    pub rekey_token: Option<[u8; TOKEN_LEN]>,
    /// What who answers calls the association. Unlike the prefix, Finished vouches for it.
    pub answerer: Option<PeerId>,
}

/// The body has no version, another version's length, or bytes left over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedExtension;

impl XdtlsExtension {
    /// What this code offers outside of a rekey.
    pub const PLAIN: Self = Self { version: VERSION, rekey_token: None, answerer: None };

    /// Reads a body. What a later version may have behind the token is passed over.
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
        let answerer = match (version, cursor.remaining()) {
            (0, _) => return Err(Truncated),
            (VERSION, ID_LEN) => Some(PeerId::new(cursor.u32()?).ok_or(Truncated)?),
            (VERSION, 1..) => return Err(Truncated),
            _ => None,
        };
        Ok(Self { version, rekey_token, answerer })
    }

    /// The body as it stands on the wire, and its length.
    pub fn encode(&self) -> ([u8; MAX_BODY_LEN], usize) {
        let mut body = [0; MAX_BODY_LEN];
        body[0] = self.version;
        let mut length = 2;
        if let Some(token) = self.rekey_token {
            body[1] = TOKEN_LEN as u8;
            body[length..length + TOKEN_LEN].copy_from_slice(&token);
            length += TOKEN_LEN;
        }
        if let Some(answerer) = self.answerer {
            body[length..length + ID_LEN].copy_from_slice(&answerer.value().to_be_bytes());
            length += ID_LEN;
        }
        (body, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_survive_the_round_trip() {
        let (token, answerer) = (Some([7; TOKEN_LEN]), PeerId::new(0x5a00_002a));
        let with = |rekey_token, answerer| XdtlsExtension { version: 1, rekey_token, answerer };
        let all =
            [with(None, None), with(token, None), with(None, answerer), with(token, answerer)];
        for extension in all {
            let (body, length) = extension.encode();
            assert_eq!(XdtlsExtension::parse(&body[..length]), Ok(extension));
        }
        assert_eq!(XdtlsExtension::PLAIN.encode().0[..2], [1, 0]);
    }

    #[test]
    fn other_lengths_are_malformed() {
        let bodies = [
            &[][..],
            &[1],
            &[0, 0],
            &[1, 1, 9],
            &[1, 0, 0],
            &[1, 0, 0, 0, 0, 0],
            &[1, 0, 1, 2, 3],
            &[1, 0, 1, 2, 3, 4, 5],
            &[1, 32, 5],
        ];
        for body in bodies {
            assert_eq!(XdtlsExtension::parse(body), Err(MalformedExtension), "{body:?}");
        }
    }

    #[test]
    fn later_versions_may_append() {
        let parsed = XdtlsExtension::parse(&[2, 0, 1, 2, 3]);
        assert_eq!(parsed, Ok(XdtlsExtension { version: 2, ..XdtlsExtension::PLAIN }));
    }
}
