//! HelloVerifyRequest (RFC 6347 §4.2.1), our only answer to a sender that has proved nothing.

use crate::client_hello::{COOKIE_LEN, HANDSHAKE_HEADER_LEN};
use crate::prefix::{PREFIX_LEN, Prefix};
use crate::record::{DTLS_1_0, HEADER_LEN, RecordHeader, content_type};

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

/// The UDP payload that answers the ClientHello of `client_id` in the record `record_sequence`.
///
/// RFC 6347 §4.2.1 wants the record's sequence number copied and DTLS 1.0 as version in both places.
#[inline(always)]
pub fn hello_verify_request(
    client_id: u32,
    record_sequence: u64,
    cookie: &[u8; COOKIE_LEN],
) -> [u8; HELLO_VERIFY_LEN] {
    let mut reply = [0; HELLO_VERIFY_LEN];
    let (prefix, rest) = reply.split_at_mut(PREFIX_LEN);
    prefix.copy_from_slice(&Prefix { sender: 0, receiver: client_id }.encode());
    let header = RecordHeader {
        content_type: content_type::HANDSHAKE,
        version: DTLS_1_0,
        epoch: 0,
        sequence: record_sequence,
        length: (HANDSHAKE_HEADER_LEN + BODY_LEN) as u16,
    };
    let (record, message) = rest.split_at_mut(HEADER_LEN);
    record.copy_from_slice(&header.encode());
    message[0] = HELLO_VERIFY_REQUEST;
    message[3] = BODY_LEN as u8;
    message[11] = BODY_LEN as u8;
    message[12..14].copy_from_slice(&DTLS_1_0);
    message[14] = COOKIE_LEN as u8;
    message[15..].copy_from_slice(cookie);
    reply
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
