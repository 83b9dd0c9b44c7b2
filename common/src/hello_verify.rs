//! HelloVerifyRequest (RFC 6347 §4.2.1), our only answer to a sender that has proved nothing.

use crate::client_hello::{COOKIE_LEN, HANDSHAKE_HEADER_LEN};
use crate::prefix::PREFIX_LEN;
use crate::record::{DTLS_1_0, HEADER_LEN, content_type};

/// Handshake message type of HelloVerifyRequest.
pub const HELLO_VERIFY_REQUEST: u8 = 3;

const BODY_LEN: usize = 2 + 1 + COOKIE_LEN;

/// Length of the whole UDP payload, prefix included, in bytes.
pub const HELLO_VERIFY_LEN: usize = PREFIX_LEN + HEADER_LEN + HANDSHAKE_HEADER_LEN + BODY_LEN;

/// The shortest ClientHello that the parser accepts, prefix included: one suite, one compression
/// method, no extensions.
const SHORTEST_REQUEST: usize =
    PREFIX_LEN + HEADER_LEN + HANDSHAKE_HEADER_LEN + 2 + 32 + 1 + 1 + (2 + 2) + (1 + 1);

// A reply is never larger than its request, whatever the request.
const _: () = assert!(HELLO_VERIFY_LEN <= SHORTEST_REQUEST);

/// How many words of eight bytes the payload is.
pub const HELLO_VERIFY_WORDS: usize = HELLO_VERIFY_LEN / 8;

const _: () = assert!(HELLO_VERIFY_WORDS * 8 == HELLO_VERIFY_LEN && COOKIE_LEN == 12);

/// The UDP payload that answers the ClientHello of `client_id` in the record `record_sequence`.
///
/// RFC 6347 §4.2.1 wants the record's sequence number copied and DTLS 1.0 as version in both places.
#[inline(always)]
pub fn hello_verify_request(
    client_id: u32,
    record_sequence: u64,
    cookie: &[u8; COOKIE_LEN],
) -> [u8; HELLO_VERIFY_LEN] {
    let words = hello_verify_words(client_id, record_sequence, cookie);
    let mut reply = [0; HELLO_VERIFY_LEN];
    reply.as_chunks_mut().0.copy_from_slice(&words);
    reply
}

/// The same in words. Fields do not begin at words, and a machine that forbids access across them
/// on its stack, as BPF does, has to be spared the sight of them.
#[inline(always)]
pub fn hello_verify_words(
    client_id: u32,
    record_sequence: u64,
    cookie: &[u8; COOKIE_LEN],
) -> [[u8; 8]; HELLO_VERIFY_WORDS] {
    const VERSION: u64 = u16::from_be_bytes(DTLS_1_0) as u64;
    const RECORD_LEN: u64 = (HANDSHAKE_HEADER_LEN + BODY_LEN) as u64;
    const MESSAGE_LEN: u64 = BODY_LEN as u64;
    let [c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11] = *cookie;
    let cookie_head = u32::from_be_bytes([c0, c1, c2, c3]);
    let (kind, message) = (content_type::HANDSHAKE, HELLO_VERIFY_REQUEST);
    [
        // Nobody's id, the client's id.
        u64::from(client_id).to_be_bytes(),
        // Type, version, epoch 0, the upper half of the sequence number;
        (u64::from(kind) << 56 | VERSION << 40 | record_sequence >> 24 & 0xff_ffff).to_be_bytes(),
        // its lower half, the record's length; message type and two bytes of its length,
        ((record_sequence & 0xff_ffff) << 40 | RECORD_LEN << 24 | u64::from(message) << 16)
            .to_be_bytes(),
        // the third of them, message_seq 0, fragment offset 0, two bytes of the fragment's length,
        (MESSAGE_LEN << 56).to_be_bytes(),
        // the third of them; version, length and head of the cookie,
        (MESSAGE_LEN << 56 | VERSION << 40 | (COOKIE_LEN as u64) << 32 | u64::from(cookie_head))
            .to_be_bytes(),
        // and the rest of it.
        [c4, c5, c6, c7, c8, c9, c10, c11],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_its_golden_bytes() {
        let cookie = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        #[rustfmt::skip]
        let golden = [
            0, 0, 0, 0, 0xca, 0xfe, 0xba, 0xbe,
            22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 1, 2, 0, 27,
            3, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 15,
            0xfe, 0xff, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
        ];
        assert_eq!(hello_verify_request(0xcafe_babe, 0x0102, &cookie), golden);
    }
}
