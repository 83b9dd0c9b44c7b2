//! The strict parser of ClientHello (RFC 5246 §7.4.1.2, RFC 6347 §4.2), the only message that is
//! read before its sender has proved anything.
//!
//! It accepts exactly one epoch-0 record with one unfragmented handshake message and nothing
//! behind it. Everything is judged by length first, so that the same code can run in the kernel.

use core::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::cursor::{Cursor, SliceCursor, Truncated};
use crate::drop_reason::DropReason;
use crate::extension::{EXTENSION_TYPE, TOKEN_LEN, XdtlsExtension};
use crate::record::{self, RecordHeader, content_type};
use crate::universal::{ChunkKey, Universal};

/// Length of a DTLS handshake header in bytes (RFC 6347 §4.2.2).
pub const HANDSHAKE_HEADER_LEN: usize = 12;

/// Length of all that stands before the body, in bytes.
const HEADERS_LEN: usize = record::HEADER_LEN + HANDSHAKE_HEADER_LEN;

/// Handshake message type of ClientHello.
pub const CLIENT_HELLO: u8 = 1;

/// The longest session id (RFC 5246 §7.4.1.2).
const MAX_SESSION_ID_LEN: usize = 32;

/// The longest list of suites, in bytes, that is read: 100 suites and some reserve.
pub const MAX_SUITES_LEN: usize = 256;

/// The longest list of compression methods, in bytes, that is read.
pub const MAX_COMPRESSION_LEN: usize = 16;

/// The extension that negotiates the extended master secret (RFC 7627 §5.1).
const EXTENDED_MASTER_SECRET: u16 = 23;

/// Length of our cookies in bytes: when it was made ‖ MAC.
pub const COOKIE_LEN: usize = 12;

/// Bytes of client_version, random and the length of the session id.
const BEFORE_SESSION_ID: usize = 2 + 32 + 1;

/// Keys of [`Universal`] for the longest ClientHello that is read.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct HelloKeys {
    /// From client_version to the session id.
    pub session: [ChunkKey; 3],
    /// From the suites to the compression methods.
    pub suites: [ChunkKey; 9],
}

const _: () = assert!(BEFORE_SESSION_ID + MAX_SESSION_ID_LEN < 3 * 32);
const _: () = assert!(2 + MAX_SUITES_LEN + 1 + MAX_COMPRESSION_LEN < 9 * 32);
// The lengths fit a byte each: suites are counted in pairs of bytes.
const _: () = assert!(MAX_SESSION_ID_LEN < 256 && MAX_SUITES_LEN / 2 < 256);

/// Why a message is not a ClientHello that we answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// It is no ClientHello at all.
    NotAClientHello,
    /// It is one, but fragmented, cut, or with impossible lengths.
    Malformed,
}

impl HelloError {
    /// The reason for which the message is dropped.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::NotAClientHello => DropReason::NotAClientHello,
            Self::Malformed => DropReason::MalformedClientHello,
        }
    }
}

impl From<Truncated> for HelloError {
    fn from(_: Truncated) -> Self {
        Self::Malformed
    }
}

/// What the cookie field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieField {
    /// Nothing: the first ClientHello.
    Empty,
    /// A cookie of our length.
    Cookie([u8; COOKIE_LEN]),
    /// A cookie that cannot be ours.
    Foreign,
}

/// A ClientHello up to its compression methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The record's 48-bit sequence number.
    pub record_sequence: u64,
    /// The handshake message's number: 0 at first, 0 or 1 with a cookie.
    pub message_seq: u16,
    /// The client's random.
    pub random: [u8; 32],
    /// What the cookie field holds.
    pub cookie: CookieField,
    session_id_len: u8,
    cookie_len: u8,
    suites_len: u16,
    compression_len: u8,
}

impl ClientHello {
    /// Reads one datagram's records (the UDP payload behind the prefix).
    #[inline(always)]
    pub fn parse(cursor: &mut impl Cursor) -> Result<Self, HelloError> {
        // Both headers in one step, for the verifier as in `RecordHeader::parse`.
        let headers: [u8; HEADERS_LEN] =
            cursor.take().map_err(|Truncated| HelloError::NotAClientHello)?;
        let [h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, h10, h11, h12, message_type, rest @ ..] =
            headers;
        let header = RecordHeader::decode([h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, h10, h11, h12]);
        let version_known = matches!(header.version, record::DTLS_1_0 | record::DTLS_1_2);
        if header.content_type != content_type::HANDSHAKE
            || header.epoch != 0
            || !version_known
            || message_type != CLIENT_HELLO
        {
            return Err(HelloError::NotAClientHello);
        }
        let (message_seq, body_len) = handshake_header(rest)?;
        if usize::from(header.length) != HANDSHAKE_HEADER_LEN + body_len
            || cursor.remaining() != body_len
        {
            return Err(HelloError::Malformed);
        }
        Self::body(cursor, header.sequence, message_seq)
    }

    #[inline(always)]
    fn body(
        cursor: &mut impl Cursor,
        record_sequence: u64,
        message_seq: u16,
    ) -> Result<Self, HelloError> {
        let [major, _minor, random @ .., session_id_len] = cursor.take::<BEFORE_SESSION_ID>()?;
        if major != 0xfe || usize::from(session_id_len) > MAX_SESSION_ID_LEN {
            return Err(HelloError::Malformed);
        }
        cursor.skip(usize::from(session_id_len))?;
        let cookie_len = cursor.u8()?;
        let cookie = match usize::from(cookie_len) {
            0 => CookieField::Empty,
            COOKIE_LEN => CookieField::Cookie(cursor.take()?),
            other => {
                cursor.skip(other)?;
                CookieField::Foreign
            }
        };
        let suites_len = cursor.u16()?;
        if !(2..=MAX_SUITES_LEN).contains(&usize::from(suites_len)) || suites_len % 2 != 0 {
            return Err(HelloError::Malformed);
        }
        cursor.skip(usize::from(suites_len))?;
        let compression_len = cursor.u8()?;
        if !(1..=MAX_COMPRESSION_LEN).contains(&usize::from(compression_len)) {
            return Err(HelloError::Malformed);
        }
        cursor.skip(usize::from(compression_len))?;
        if cursor.remaining() > 0 && usize::from(cursor.u16()?) != cursor.remaining() {
            return Err(HelloError::Malformed);
        }
        Ok(Self {
            record_sequence,
            message_seq,
            random,
            cookie,
            session_id_len,
            cookie_len,
            suites_len,
            compression_len,
        })
    }

    /// Absorbs what a cookie vouches for: all from client_version to the compression methods except
    /// the cookie. `cursor` stands where [`ClientHello::parse`] began.
    #[inline(always)]
    pub fn absorb_into(
        &self,
        hash: &mut Universal,
        keys: &HelloKeys,
        cursor: &mut impl Cursor,
    ) -> Result<(), Truncated> {
        cursor.skip(HEADERS_LEN)?;
        hash.absorb(&keys.session, cursor, BEFORE_SESSION_ID + usize::from(self.session_id_len))?;
        cursor.skip(1 + usize::from(self.cookie_len))?;
        let suites = 2 + usize::from(self.suites_len);
        hash.absorb(&keys.suites, cursor, suites + 1 + usize::from(self.compression_len))
    }

    /// All lengths of what [`ClientHello::absorb_into`] absorbs, in less than 24 bits.
    #[inline(always)]
    pub const fn lengths(&self) -> u32 {
        (self.session_id_len as u32) << 16
            | (self.compression_len as u32) << 8
            | (self.suites_len / 2) as u32
    }
}

/// Reads the handshake header behind its type: message_seq and length of an unfragmented message.
#[inline(always)]
fn handshake_header(header: [u8; HANDSHAKE_HEADER_LEN - 1]) -> Result<(u16, usize), HelloError> {
    let [l0, l1, l2, s0, s1, offset @ .., f0, f1, f2] = header;
    let length = u32::from_be_bytes([0, l0, l1, l2]);
    let message_seq = u16::from_be_bytes([s0, s1]);
    if offset != [0; 3] || [f0, f1, f2] != [l0, l1, l2] || message_seq > 1 {
        return Err(HelloError::Malformed);
    }
    Ok((message_seq, length as usize))
}

/// Whether a ClientHello that [`ClientHello::parse`] has accepted offers the extended master
/// secret. `datagram` is what was parsed.
pub fn offers_extended_master_secret(hello: &ClientHello, datagram: &[u8]) -> bool {
    matches!(find_extension(hello, datagram, EXTENDED_MASTER_SECRET), Ok(Some(_)))
}

/// The rekey token that a ClientHello carries, if it offers the xdtls extension and that has one.
/// `datagram` is what was parsed.
pub fn rekey_token(hello: &ClientHello, datagram: &[u8]) -> Option<[u8; TOKEN_LEN]> {
    let body = find_extension(hello, datagram, EXTENSION_TYPE).ok().flatten()?;
    XdtlsExtension::parse(datagram.get(body)?).ok()?.rekey_token
}

/// Where in `datagram` the body of an extension stands.
fn find_extension(
    hello: &ClientHello,
    datagram: &[u8],
    wanted: u16,
) -> Result<Option<Range<usize>>, Truncated> {
    let before = record::HEADER_LEN + HANDSHAKE_HEADER_LEN + 2 + 32;
    let lists = 1 + usize::from(hello.session_id_len) + 1 + usize::from(hello.cookie_len);
    let suites = 2 + usize::from(hello.suites_len) + 1 + usize::from(hello.compression_len);
    let mut cursor = SliceCursor::new(datagram);
    cursor.skip(before + lists + suites)?;
    if cursor.remaining() == 0 {
        return Ok(None);
    }
    cursor.skip(2)?;
    while cursor.remaining() > 0 {
        let (number, length) = (cursor.u16()?, cursor.u16()?);
        let start = datagram.len() - cursor.remaining();
        cursor.skip(usize::from(length))?;
        if number == wanted {
            return Ok(Some(start..start + usize::from(length)));
        }
    }
    Ok(None)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::cookie::Secret;

    /// A ClientHello of the given parts, as one datagram without prefix.
    pub(crate) fn hello(session_id: &[u8], cookie: &[u8], suites: &[u8], tail: &[u8]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([7; 32]);
        body.push(session_id.len() as u8);
        body.extend(session_id);
        body.push(cookie.len() as u8);
        body.extend(cookie);
        body.extend((suites.len() as u16).to_be_bytes());
        body.extend(suites);
        body.extend([1, 0]);
        body.extend(tail);
        let length = (body.len() as u32).to_be_bytes();
        let mut message = vec![CLIENT_HELLO];
        message.extend(&length[1..]);
        message.extend([0, 0, 0, 0, 0]);
        message.extend(&length[1..]);
        message.extend(body);
        let header = RecordHeader {
            content_type: content_type::HANDSHAKE,
            version: record::DTLS_1_0,
            epoch: 0,
            sequence: 5,
            length: message.len() as u16,
        };
        [&header.encode()[..], &message].concat()
    }

    fn parse(datagram: &[u8]) -> Result<ClientHello, HelloError> {
        ClientHello::parse(&mut SliceCursor::new(datagram))
    }

    #[test]
    fn lengths_at_their_boundaries_are_read() {
        for session_id in [0, 1, 31, 32] {
            for suites in [2, 4, 200, 256] {
                let bytes = hello(&vec![1; session_id], &[], &vec![0xc0; suites], &[]);
                let parsed = parse(&bytes).unwrap();
                assert_eq!(parsed.record_sequence, 5);
                assert_eq!(parsed.cookie, CookieField::Empty);
            }
        }
        assert_eq!(parse(&hello(&[1; 33], &[], &[0; 2], &[])), Err(HelloError::Malformed));
        for suites in [0, 3, 258] {
            let bytes = hello(&[], &[], &vec![0; suites], &[]);
            assert_eq!(parse(&bytes), Err(HelloError::Malformed), "{suites} bytes of suites");
        }
    }

    #[test]
    fn cookies_are_told_apart_by_length() {
        let ours = parse(&hello(&[], &[9; COOKIE_LEN], &[0; 2], &[])).unwrap();
        assert_eq!(ours.cookie, CookieField::Cookie([9; COOKIE_LEN]));
        for foreign in [1, 11, 13, 255] {
            let parsed = parse(&hello(&[], &vec![9; foreign], &[0; 2], &[])).unwrap();
            assert_eq!(parsed.cookie, CookieField::Foreign);
        }
    }

    #[test]
    fn nothing_may_be_cut_or_left_over() {
        let whole = hello(&[1; 8], &[2; 12], &[3; 8], &[0, 4, 0, 23, 0, 0]);
        assert!(parse(&whole).is_ok());
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "cut at {end}");
        }
        assert_eq!(parse(&[&whole[..], &[0]].concat()), Err(HelloError::Malformed));
        let short_extensions = hello(&[], &[], &[3; 8], &[0, 5, 0, 23, 0, 0]);
        assert_eq!(parse(&short_extensions), Err(HelloError::Malformed));
    }

    #[test]
    fn other_messages_and_fragments_are_refused() {
        let whole = hello(&[], &[], &[3; 8], &[]);
        let with = |at: usize, value: u8| {
            let mut bytes = whole.clone();
            bytes[at] = value;
            parse(&bytes).unwrap_err()
        };
        assert_eq!(with(0, 23), HelloError::NotAClientHello);
        assert_eq!(with(1, 3), HelloError::NotAClientHello);
        assert_eq!(with(4, 1), HelloError::NotAClientHello);
        assert_eq!(with(13, 2), HelloError::NotAClientHello);
        assert_eq!(with(18, 2), HelloError::Malformed, "message_seq");
        assert_eq!(with(21, 1), HelloError::Malformed, "fragment offset");
        assert_eq!(with(24, 1), HelloError::Malformed, "fragment length");
        assert_eq!(with(25, 3), HelloError::Malformed, "major version");
    }

    #[test]
    fn extended_master_secret_is_found_among_extensions() {
        let offers = |tail: &[u8]| {
            let bytes = hello(&[4; 32], &[5; 12], &[3; 8], tail);
            offers_extended_master_secret(&parse(&bytes).unwrap(), &bytes)
        };
        assert!(offers(&[0, 9, 0, 10, 0, 1, 0, 0, 23, 0, 0]));
        assert!(!offers(&[0, 5, 0, 10, 0, 1, 0]));
        assert!(!offers(&[0, 3, 0, 10, 0]));
        assert!(!offers(&[]));
    }

    #[test]
    fn a_rekey_token_is_found_whole_or_not_at_all() {
        let token = |tail: &[u8]| {
            let bytes = hello(&[4; 32], &[5; 12], &[3; 8], tail);
            rekey_token(&parse(&bytes).unwrap(), &bytes)
        };
        let extension =
            XdtlsExtension { rekey_token: Some([6; TOKEN_LEN]), ..XdtlsExtension::PLAIN };
        let with = |body: &[u8], length: u8| {
            let head = [0, 8 + body.len() as u8, 0, 23, 0, 0, 0xff, 0x58, 0, length];
            [&head[..], body].concat()
        };
        let body = &extension.encode().0[..34];
        assert_eq!(token(&with(body, 34)), Some([6; TOKEN_LEN]));
        assert_eq!(token(&with(body, 33)), None, "cut");
        assert_eq!(token(&with(body, 35)), None, "longer than the message");
        assert_eq!(token(&with(&[1, 0], 2)), None);
        assert_eq!(token(&[0, 4, 0, 23, 0, 0]), None);
        assert_eq!(token(&[]), None);
    }

    #[test]
    fn every_vouched_byte_changes_the_hash_and_the_cookie_does_not() {
        let whole = hello(&[1; 9], &[2; 12], &[3; 14], &[0, 4, 0, 23, 0, 0]);
        let hash = |bytes: &[u8]| {
            let parsed = parse(bytes).ok()?;
            let mut hash = Universal::new([1, 2]);
            let keys = Secret::new([1, 2]);
            parsed.absorb_into(&mut hash, keys.hello(), &mut SliceCursor::new(bytes)).ok()?;
            Some((hash.finish(), parsed.lengths()))
        };
        let (cookie, end) = (70..82, 100);
        for at in 25..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let Some(changed) = hash(&changed) else { continue };
            let vouched = at < end && !cookie.contains(&at);
            assert_eq!(changed != hash(&whole).unwrap(), vouched, "byte {at}");
        }
    }
}
