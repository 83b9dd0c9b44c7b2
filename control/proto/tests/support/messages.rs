//! The handshake messages that a script needs, in the real format as far as the core reads it.

use xdtls_common::client_hello::HANDSHAKE_HEADER_LEN;
use xdtls_common::cursor::{Cursor, SliceCursor, Truncated};
use xdtls_common::extension::{EXTENSION_TYPE, TOKEN_LEN, VERSION, XdtlsExtension};
use xdtls_common::id::PeerId;
use xdtls_common::record::{DTLS_1_2, RecordHeader};
use xdtls_proto::suite::CipherSuite;

pub(crate) const CLIENT_HELLO: u8 = 1;
pub(crate) const SERVER_HELLO: u8 = 2;
pub(crate) const HELLO_VERIFY_REQUEST: u8 = 3;
pub(crate) const CERTIFICATE: u8 = 11;
pub(crate) const SERVER_HELLO_DONE: u8 = 14;
pub(crate) const FINISHED: u8 = 20;

const EXTENDED_MASTER_SECRET: u16 = 23;

/// One plaintext record.
pub(crate) fn record(content_type: u8, epoch: u16, sequence: u64, fragment: &[u8]) -> Vec<u8> {
    let length = fragment.len() as u16;
    let header = RecordHeader { content_type, version: DTLS_1_2, epoch, sequence, length };
    [&header.encode()[..], fragment].concat()
}

/// One unfragmented handshake message (RFC 6347 §4.2.2).
pub(crate) fn message(kind: u8, message_seq: u16, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    let [s0, s1] = message_seq.to_be_bytes();
    let (head, fragment) = ([kind, length[1], length[2], length[3], s0, s1], [0, 0, 0]);
    [&head[..], &fragment, &length[1..], body].concat()
}

/// A handshake message as it came: its type and body, if it came in one piece.
pub(crate) fn parse_message(fragment: &[u8]) -> Option<(u8, &[u8])> {
    let (header, body) = fragment.split_at_checked(HANDSHAKE_HEADER_LEN)?;
    let whole = header[1..4] == header[9..12] && header[6..9] == [0, 0, 0];
    let length = usize::from(header[2]) << 8 | usize::from(header[3]);
    (whole && body.len() == length).then_some((header[0], body))
}

/// What ClientHello and ServerHello say in a script. ServerHello has one suite and no cookie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) random: [u8; 32],
    pub(crate) session_id: Vec<u8>,
    pub(crate) cookie: Vec<u8>,
    pub(crate) suites: Vec<CipherSuite>,
    pub(crate) extended_master_secret: bool,
    pub(crate) extension: bool,
    pub(crate) rekey_token: Option<[u8; TOKEN_LEN]>,
    pub(crate) answerer: Option<PeerId>,
}

impl Hello {
    /// The body of a ClientHello (RFC 6347 §4.2.1).
    pub(crate) fn client_body(&self) -> Vec<u8> {
        let mut body = self.head();
        body.push(self.cookie.len() as u8);
        body.extend(&self.cookie);
        body.extend((2 * self.suites.len() as u16).to_be_bytes());
        self.suites.iter().for_each(|suite| body.extend(suite.iana().to_be_bytes()));
        body.extend([1, 0]);
        self.append_extensions(&mut body);
        body
    }

    /// The body of a ServerHello (RFC 5246 §7.4.1.3).
    pub(crate) fn server_body(&self) -> Vec<u8> {
        let mut body = self.head();
        self.suites.iter().for_each(|suite| body.extend(suite.iana().to_be_bytes()));
        body.push(0);
        self.append_extensions(&mut body);
        body
    }

    fn head(&self) -> Vec<u8> {
        let length = [self.session_id.len() as u8];
        [&DTLS_1_2[..], &self.random, &length, &self.session_id].concat()
    }

    fn append_extensions(&self, body: &mut Vec<u8>) {
        let mut extensions = Vec::new();
        let mut append = |number: u16, content: &[u8]| {
            extensions.extend(number.to_be_bytes());
            extensions.extend((content.len() as u16).to_be_bytes());
            extensions.extend(content);
        };
        if self.extended_master_secret {
            append(EXTENDED_MASTER_SECRET, &[]);
        }
        if self.extension {
            let (rekey_token, answerer) = (self.rekey_token, self.answerer);
            let extension = XdtlsExtension { version: VERSION, rekey_token, answerer };
            let (content, length) = extension.encode();
            append(EXTENSION_TYPE, &content[..length]);
        }
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
    }

    pub(crate) fn parse_client(body: &[u8]) -> Result<Self, Truncated> {
        let mut cursor = SliceCursor::new(body);
        let mut hello = Self::parse_head(&mut cursor)?;
        let length = cursor.u8()?;
        hello.cookie = bytes(&mut cursor, length.into())?;
        for _ in 0..cursor.u16()? / 2 {
            hello.suites.extend(CipherSuite::from_iana(cursor.u16()?));
        }
        let compressions = cursor.u8()?;
        cursor.skip(compressions.into())?;
        hello.parse_extensions(&mut cursor)?;
        Ok(hello)
    }

    pub(crate) fn parse_server(body: &[u8]) -> Result<Self, Truncated> {
        let mut cursor = SliceCursor::new(body);
        let mut hello = Self::parse_head(&mut cursor)?;
        hello.suites.extend(CipherSuite::from_iana(cursor.u16()?));
        cursor.skip(1)?;
        hello.parse_extensions(&mut cursor)?;
        Ok(hello)
    }

    fn parse_head(cursor: &mut SliceCursor<'_>) -> Result<Self, Truncated> {
        cursor.skip(2)?;
        let random = cursor.take()?;
        let length = cursor.u8()?;
        let session_id = bytes(cursor, length.into())?;
        Ok(Self { random, session_id, ..Self::default() })
    }

    fn parse_extensions(&mut self, cursor: &mut SliceCursor<'_>) -> Result<(), Truncated> {
        cursor.skip(2)?;
        while cursor.remaining() > 0 {
            let (number, length) = (cursor.u16()?, cursor.u16()?);
            let content = bytes(cursor, length.into())?;
            self.extended_master_secret |= number == EXTENDED_MASTER_SECRET;
            if number == EXTENSION_TYPE
                && let Ok(extension) = XdtlsExtension::parse(&content)
            {
                self.extension = true;
                self.rekey_token = extension.rekey_token;
                self.answerer = extension.answerer;
            }
        }
        Ok(())
    }
}

/// The cookie of a HelloVerifyRequest's body.
pub(crate) fn parse_hello_verify(body: &[u8]) -> Result<Vec<u8>, Truncated> {
    let mut cursor = SliceCursor::new(body);
    cursor.skip(2)?;
    let length = cursor.u8()?;
    bytes(&mut cursor, length.into())
}

fn bytes(cursor: &mut SliceCursor<'_>, count: usize) -> Result<Vec<u8>, Truncated> {
    (0..count).map(|_| cursor.u8()).collect()
}
