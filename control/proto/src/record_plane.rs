//! Seals and opens DTLS 1.2 records in place (RFC 6347 §4.1.2, RFC 5246 §6.2.3.3).
//!
//! One layout for every AEAD; the explicit nonce is empty for ChaCha20-Poly1305:
//!
//! ```text
//! | header, 13 | explicit nonce, 8 or 0 | plaintext or ciphertext | tag, 16 |
//! ```
//!
//! This module knows neither the replay window nor associations: the caller checks the window
//! before it opens and commits after, and takes the numbers to seal with from a [`SealState`].

use std::fmt;
use std::ops::Range;

use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use xdtls_common::DropReason;
use xdtls_common::record::{DTLS_1_2, HEADER_LEN, RecordHeader};

use crate::keys::DirectionKeys;
use crate::suite::{Aead, TAG_LEN};

mod seal_state;
#[cfg(test)]
mod tests;

pub use seal_state::{
    CHACHA20_POLY1305_RECORDS_MAX, GCM_RECORDS_MAX, SealCounters, SealState, records_max,
};

/// The longest plaintext of one record in bytes (RFC 5246 §6.2.1).
pub const MAX_PLAINTEXT_LEN: usize = 1 << 14;

/// The epoch of every record that is sealed here: the first after ChangeCipherSpec, and the last,
/// because renegotiation is off (RFC 6347 §4.1).
pub const EPOCH: u16 = 1;

/// Length in bytes of an AEAD's nonce (RFC 5116 §3.2).
const NONCE_LEN: usize = 12;

/// Length in bytes of what a record authenticates beside its fragment (RFC 5246 §6.2.3.3).
const ADDITIONAL_DATA_LEN: usize = 13;

/// One direction's key with its schedule computed: fast to use, about 500 bytes.
pub struct ExpandedKey {
    key: LessSafeKey,
    fixed_iv: [u8; NONCE_LEN],
    aead: Aead,
}

impl ExpandedKey {
    /// Expands raw keys.
    pub fn new(keys: &DirectionKeys) -> Self {
        let algorithm = match keys.aead() {
            Aead::Aes128Gcm => &aead::AES_128_GCM,
            Aead::Aes256Gcm => &aead::AES_256_GCM,
            Aead::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, keys.key())
            .expect("only a key of another length than the algorithm's is refused");
        Self { key: LessSafeKey::new(key), fixed_iv: *keys.fixed_iv(), aead: keys.aead() }
    }

    /// What the key is for.
    pub const fn aead(&self) -> Aead {
        self.aead
    }

    /// AES-GCM: salt ‖ the record's explicit nonce (RFC 5288 §3). ChaCha20-Poly1305: epoch ‖
    /// sequence number, padded on the left, XOR the fixed IV (RFC 7905 §2).
    fn nonce(&self, header: &RecordHeader, explicit_nonce: &[u8]) -> Nonce {
        let mut nonce = self.fixed_iv;
        let last_8 = &mut nonce[4..];
        match self.aead {
            Aead::Aes128Gcm | Aead::Aes256Gcm => last_8.copy_from_slice(explicit_nonce),
            Aead::ChaCha20Poly1305 => {
                for (byte, number) in last_8.iter_mut().zip(header.epoch_and_sequence()) {
                    *byte ^= number;
                }
            }
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

impl fmt::Debug for ExpandedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpandedKey").field("aead", &self.aead).finish_non_exhaustive()
    }
}

/// Seals one record in place and returns its length.
///
/// `buf` starts where the record's header is to stand; the plaintext stands in it already, from
/// [`Aead::plaintext_offset`] on. Version is DTLS 1.2, epoch [`EPOCH`].
///
/// # Panics
///
/// If the plaintext is longer than [`MAX_PLAINTEXT_LEN`], or if `buf` is shorter than the plaintext
/// and [`Aead::record_overhead`].
pub fn seal(
    key: &ExpandedKey,
    counters: SealCounters,
    content_type: u8,
    buf: &mut [u8],
    plaintext_len: usize,
) -> usize {
    assert!(plaintext_len <= MAX_PLAINTEXT_LEN, "the plaintext fits no record");
    let record_len = key.aead.record_overhead() + plaintext_len;
    let (head, rest) = buf[..record_len].split_at_mut(key.aead.plaintext_offset());
    let (header_bytes, explicit_nonce) = head.split_at_mut(HEADER_LEN);
    let (plaintext, tag_bytes) = rest.split_at_mut(plaintext_len);

    let header = RecordHeader {
        content_type,
        version: DTLS_1_2,
        epoch: EPOCH,
        sequence: counters.sequence,
        length: (record_len - HEADER_LEN) as u16,
    };
    header_bytes.copy_from_slice(&header.encode());
    explicit_nonce.copy_from_slice(&counters.explicit_nonce.to_be_bytes()[..explicit_nonce.len()]);

    let nonce = key.nonce(&header, explicit_nonce);
    let additional_data = additional_data(&header, plaintext.len());
    let tag = key
        .key
        .seal_in_place_separate_tag(nonce, additional_data, plaintext)
        .expect("only a plaintext far longer than a record's is refused");
    tag_bytes.copy_from_slice(tag.as_ref());
    record_len
}

/// Opens one record in place and tells where in `record` its plaintext stands; it may be empty.
///
/// `record` is the whole record, header included, and `header` what was parsed from it. After an
/// error the bytes behind the header are unspecified.
///
/// # Errors
///
/// [`DropReason::MalformedRecord`] if the fragment is not as long as the header says, too short for
/// explicit nonce and tag, or longer than a record's may be; [`DropReason::NotAuthentic`] if key,
/// header or fragment is not the sealer's.
pub fn open(
    key: &ExpandedKey,
    header: &RecordHeader,
    record: &mut [u8],
) -> Result<Range<usize>, DropReason> {
    let start = key.aead.plaintext_offset();
    let plaintext_len = record
        .len()
        .checked_sub(key.aead.record_overhead())
        .filter(|plaintext_len| *plaintext_len <= MAX_PLAINTEXT_LEN)
        .filter(|_| record.len() == HEADER_LEN + usize::from(header.length))
        .ok_or(DropReason::MalformedRecord)?;

    let (head, sealed) = record.split_at_mut(start);
    let nonce = key.nonce(header, &head[HEADER_LEN..]);
    key.key
        .open_in_place(nonce, additional_data(header, plaintext_len), sealed)
        .map_err(|_| DropReason::NotAuthentic)?;
    Ok(start..start + plaintext_len)
}

/// Epoch ‖ sequence number ‖ type ‖ version ‖ length of the plaintext (RFC 5246 §6.2.3.3 with the
/// 64-bit number of RFC 6347 §4.1.2.1).
fn additional_data(header: &RecordHeader, plaintext_len: usize) -> Aad<[u8; ADDITIONAL_DATA_LEN]> {
    let mut data = [0; ADDITIONAL_DATA_LEN];
    data[..8].copy_from_slice(&header.epoch_and_sequence());
    data[8] = header.content_type;
    data[9..11].copy_from_slice(&header.version);
    data[11..].copy_from_slice(&(plaintext_len as u16).to_be_bytes());
    Aad::from(data)
}

// `seal` writes lengths as 16 bits.
const _: () = assert!(MAX_PLAINTEXT_LEN + Aead::Aes256Gcm.record_overhead() <= u16::MAX as usize);
const _: () = assert!(TAG_LEN == aead::MAX_TAG_LEN && NONCE_LEN == aead::NONCE_LEN);
