//! Writes ClientHellos, good and bad.

use xdtls_common::client_hello::{CLIENT_HELLO, HANDSHAKE_HEADER_LEN};
use xdtls_common::prefix::Prefix;
use xdtls_common::record::{DTLS_1_0, DTLS_1_2, HEADER_LEN, RecordHeader, content_type};

/// The UDP payload of a good first ClientHello of the client with this id.
pub fn first_hello(client_id: u32) -> Vec<u8> {
    let prefix = Prefix { sender: client_id, receiver: 0 };
    [&prefix.encode()[..], &Hello::default().encode()].concat()
}

/// Where message_seq's low byte stands in the datagram without prefix.
pub(crate) const MESSAGE_SEQ_AT: usize = HEADER_LEN + 5;

/// Where the fragment offset's low byte stands.
pub(crate) const FRAGMENT_OFFSET_AT: usize = HEADER_LEN + 8;

/// Where the fragment length's low byte stands.
pub(crate) const FRAGMENT_LENGTH_AT: usize = HEADER_LEN + 11;

/// Where client_version's high byte stands.
pub(crate) const MAJOR_VERSION_AT: usize = HEADER_LEN + HANDSHAKE_HEADER_LEN;

/// The variable parts of a ClientHello.
pub(crate) struct Hello<'a> {
    /// The client's random.
    pub(crate) random: [u8; 32],
    /// The session to resume.
    pub(crate) session_id: &'a [u8],
    /// The cookie.
    pub(crate) cookie: &'a [u8],
    /// The suites, two bytes each.
    pub(crate) suites: &'a [u8],
    /// The compression methods.
    pub(crate) compression: &'a [u8],
    /// The extensions with their length before them, or nothing.
    pub(crate) extensions: &'a [u8],
}

impl Default for Hello<'_> {
    /// A first ClientHello that offers one suite (TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256) and the
    /// extended master secret.
    fn default() -> Self {
        Self {
            random: [7; 32],
            session_id: &[],
            cookie: &[],
            suites: &[0xc0, 0x2b],
            compression: &[0],
            extensions: &[0, 4, 0, 23, 0, 0],
        }
    }
}

impl Hello<'_> {
    /// The datagram without prefix: one record with one message. The parts must fit their length
    /// fields.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = DTLS_1_2.to_vec();
        body.extend(self.random);
        body.push(self.session_id.len() as u8);
        body.extend(self.session_id);
        body.push(self.cookie.len() as u8);
        body.extend(self.cookie);
        body.extend((self.suites.len() as u16).to_be_bytes());
        body.extend(self.suites);
        body.push(self.compression.len() as u8);
        body.extend(self.compression);
        body.extend(self.extensions);
        let message_length = HANDSHAKE_HEADER_LEN + body.len();
        let header = RecordHeader {
            content_type: content_type::HANDSHAKE,
            version: DTLS_1_0,
            epoch: 0,
            sequence: 0,
            length: message_length as u16,
        };
        let [_, length @ ..] = (body.len() as u32).to_be_bytes();
        let message_seq = u16::from(!self.cookie.is_empty()).to_be_bytes();
        let mut datagram = header.encode().to_vec();
        datagram.push(CLIENT_HELLO);
        datagram.extend(length);
        datagram.extend(message_seq);
        datagram.extend([0; 3]);
        datagram.extend(length);
        datagram.extend(body);
        datagram
    }
}
