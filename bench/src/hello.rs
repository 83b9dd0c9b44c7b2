//! ClientHellos as clients write them, without prefix.

use xdtls_common::client_hello::{CLIENT_HELLO, HANDSHAKE_HEADER_LEN};
use xdtls_common::record::{DTLS_1_0, DTLS_1_2, HEADER_LEN, RecordHeader, content_type};

/// Where the client's random stands in a datagram without prefix.
pub const RANDOM_AT: usize = HEADER_LEN + HANDSHAKE_HEADER_LEN + 2;

/// Where the cookie stands if there is no session id.
pub const COOKIE_AT: usize = RANDOM_AT + 32 + 1 + 1;

/// The suites that `openssl s_client` of OpenSSL 3.0 offers for DTLS 1.2.
const SUITES: [u16; 28] = [
    0xc02c, 0xc030, 0x009f, 0xcca9, 0xcca8, 0xccaa, 0xc02b, 0xc02f, 0x009e, 0xc024, 0xc028, 0x006b,
    0xc023, 0xc027, 0x0067, 0xc00a, 0xc014, 0x0039, 0xc009, 0xc013, 0x0033, 0x009d, 0x009c, 0x003d,
    0x003c, 0x0035, 0x002f, 0x00ff,
];

/// Its extensions: point formats, groups, session ticket, encrypt-then-MAC, extended master
/// secret, signature algorithms.
const EXTENSIONS: [u8; 82] = [
    0, 11, 0, 4, 3, 0, 1, 2, //
    0, 10, 0, 12, 0, 10, 0, 29, 0, 23, 0, 30, 0, 25, 0, 24, //
    0, 35, 0, 0, 0, 22, 0, 0, 0, 23, 0, 0, //
    0, 13, 0, 42, 0, 40, 4, 3, 5, 3, 6, 3, 8, 7, 8, 8, 8, 9, 8, 10, 8, 11, 8, 4, 8, 5, 8, 6, 4, 1,
    5, 1, 6, 1, 3, 3, 3, 1, 3, 2, 4, 2, 5, 2, 6, 2,
];

/// The extension that pads a ClientHello (RFC 7685).
const PADDING: u16 = 21;

/// How many bytes the ClientHello of `s_client` has.
pub const S_CLIENT_LEN: usize = 205;

/// The ClientHello of OpenSSL 3.0's `s_client`, with a cookie of `cookie` zeros if that is not 0,
/// and padded to `length` bytes in all if that is longer by at least an extension's header.
pub fn client_hello(cookie: usize, length: usize) -> Vec<u8> {
    let mut body = DTLS_1_2.to_vec();
    body.extend([0; 32]);
    body.extend([0, cookie as u8]);
    body.extend(vec![0; cookie]);
    body.extend((2 * SUITES.len() as u16).to_be_bytes());
    body.extend(SUITES.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    let so_far = HEADER_LEN + HANDSHAKE_HEADER_LEN + body.len() + 2 + EXTENSIONS.len();
    let mut extensions = EXTENSIONS.to_vec();
    if let Some(padding) = length.checked_sub(so_far + 4) {
        extensions.extend(PADDING.to_be_bytes());
        extensions.extend((padding as u16).to_be_bytes());
        extensions.extend(vec![0; padding]);
    }
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    message(u16::from(cookie > 0), &body)
}

/// One record with one whole handshake message.
fn message(message_seq: u16, body: &[u8]) -> Vec<u8> {
    let header = RecordHeader {
        content_type: content_type::HANDSHAKE,
        version: DTLS_1_0,
        epoch: 0,
        sequence: u64::from(message_seq),
        length: (HANDSHAKE_HEADER_LEN + body.len()) as u16,
    };
    let [_, length @ ..] = (body.len() as u32).to_be_bytes();
    let mut datagram = header.encode().to_vec();
    datagram.push(CLIENT_HELLO);
    datagram.extend(length);
    datagram.extend(message_seq.to_be_bytes());
    datagram.extend([0; 3]);
    datagram.extend(length);
    datagram.extend(body);
    datagram
}

#[cfg(test)]
mod tests {
    use xdtls_common::client_hello::offers_extended_master_secret;
    use xdtls_common::client_hello::{COOKIE_LEN, ClientHello, CookieField};
    use xdtls_common::cursor::SliceCursor;

    use super::*;

    #[test]
    fn they_are_what_the_gateway_parses() {
        for (cookie, length) in [(0, 0), (0, 1_400), (COOKIE_LEN, 0), (COOKIE_LEN, 600)] {
            let mut bytes = client_hello(cookie, length);
            bytes[RANDOM_AT..RANDOM_AT + 32].fill(7);
            if cookie > 0 {
                bytes[COOKIE_AT..COOKIE_AT + cookie].fill(9);
            }
            assert_eq!(bytes.len(), length.max(S_CLIENT_LEN + cookie));
            let hello = ClientHello::parse(&mut SliceCursor::new(&bytes)).unwrap();
            assert_eq!(hello.random, [7; 32]);
            let expected = [CookieField::Cookie([9; COOKIE_LEN]), CookieField::Empty];
            assert_eq!(hello.cookie, expected[usize::from(cookie == 0)]);
            assert!(offers_extended_master_secret(&hello, &bytes));
        }
    }
}
