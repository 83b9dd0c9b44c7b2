//! Published vectors, records made and read by an independent implementation, and forgeries.

use aes_gcm::aead::{KeyInit, Nonce as IndependentNonce, Payload};
use proptest::prelude::*;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::record::content_type::{ALERT, APPLICATION_DATA};

use super::*;
use crate::test_hex::hex;

const AEADS: [Aead; 3] = [Aead::Aes128Gcm, Aead::Aes256Gcm, Aead::ChaCha20Poly1305];
const EXPLICIT_NONCE: u64 = 0xf0e1_d2c3_b4a5_9687;

fn keys(aead: Aead) -> DirectionKeys {
    let key = std::array::from_fn(|index| 0x40 + index as u8);
    let iv = std::array::from_fn(|index| 0xa0 + index as u8);
    DirectionKeys::new(aead, key, iv)
}

fn counters(sequence: u64) -> SealCounters {
    SealCounters { sequence, explicit_nonce: EXPLICIT_NONCE }
}

fn sealed(keys: &DirectionKeys, sequence: u64, content_type: u8, plaintext: &[u8]) -> Vec<u8> {
    let start = keys.aead().plaintext_offset();
    let mut buf = vec![0x55; plaintext.len() + keys.aead().record_overhead() + 3];
    buf[start..start + plaintext.len()].copy_from_slice(plaintext);
    let key = ExpandedKey::new(keys);
    let len = seal(&key, counters(sequence), content_type, &mut buf, plaintext.len());
    assert_eq!(buf.split_off(len), [0x55; 3], "bytes behind the record were touched");
    buf
}

fn opened(keys: &DirectionKeys, record: &[u8]) -> Result<Vec<u8>, DropReason> {
    let header = RecordHeader::parse(&mut SliceCursor::new(record)).unwrap();
    let mut record = record.to_vec();
    let plaintext = open(&ExpandedKey::new(keys), &header, &mut record)?;
    Ok(record[plaintext].to_vec())
}

/// The record as RFC 5288, RFC 7905 and RFC 6347 describe it, made with RustCrypto's ciphers.
fn independent(keys: &DirectionKeys, sequence: u64, kind: u8, plaintext: &[u8]) -> Vec<u8> {
    let iv = keys.fixed_iv();
    let number = (1 << 48 | sequence).to_be_bytes();
    let (explicit, nonce) = match keys.aead() {
        Aead::ChaCha20Poly1305 => {
            let padded = [&[0; 4][..], &number].concat();
            (vec![], padded.iter().zip(iv).map(|(a, b)| a ^ b).collect())
        }
        Aead::Aes128Gcm | Aead::Aes256Gcm => {
            let explicit = EXPLICIT_NONCE.to_be_bytes();
            (explicit.to_vec(), [&iv[..4], &explicit].concat())
        }
    };
    let start = [kind, 0xfe, 0xfd];
    let plaintext_len = (plaintext.len() as u16).to_be_bytes();
    let aad = [&number[..], &start, &plaintext_len].concat();
    let encrypt = match keys.aead() {
        Aead::Aes128Gcm => independent_encrypt::<aes_gcm::Aes128Gcm>,
        Aead::Aes256Gcm => independent_encrypt::<aes_gcm::Aes256Gcm>,
        Aead::ChaCha20Poly1305 => independent_encrypt::<chacha20poly1305::ChaCha20Poly1305>,
    };
    let fragment = [explicit, encrypt(keys.key(), &nonce, &aad, plaintext)].concat();
    [&start[..], &number, &(fragment.len() as u16).to_be_bytes(), &fragment].concat()
}

fn independent_encrypt<C>(key: &[u8], nonce: &[u8], aad: &[u8], msg: &[u8]) -> Vec<u8>
where
    C: KeyInit + aes_gcm::aead::Aead,
{
    let nonce = IndependentNonce::<C>::try_from(nonce).unwrap();
    C::new_from_slice(key).unwrap().encrypt(&nonce, Payload { msg, aad }).unwrap()
}

/// Key, nonce, additional data, plaintext, ciphertext ‖ tag: test cases 4 and 16 of the GCM
/// specification (McGrew and Viega), RFC 8439 §2.8.2.
const PUBLISHED: [(Aead, [&str; 5]); 3] = [
    (
        Aead::Aes128Gcm,
        [
            "feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e\
             21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091\
             5bc94fbc3221a5db94fae95ae7121a47",
        ],
    ),
    (
        Aead::Aes256Gcm,
        [
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662\
             76fc6ece0f4e1768cddf8853bb2d551b",
        ],
    ),
    (
        Aead::ChaCha20Poly1305,
        [
            "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
            "070000004041424344454647",
            "50515253c0c1c2c3c4c5c6c7",
            "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f6620273939\
             3a204966204920636f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f7220\
             746865206675747572652c2073756e73637265656e20776f756c642062652069742e",
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca96712\
             82fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58\
             fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116\
             1ae10b594f09e26a7e902ecbd0600691",
        ],
    ),
];

#[test]
fn expanded_keys_give_the_published_vectors() {
    for (aead, vector) in PUBLISHED {
        let [key, nonce, aad, mut text, expected] = vector.map(hex);
        key_of(aead, &key)
            .key
            .seal_in_place_append_tag(
                Nonce::try_assume_unique_for_key(&nonce).unwrap(),
                Aad::from(aad),
                &mut text,
            )
            .unwrap();
        assert_eq!(text, expected, "{aead:?}");
    }
}

fn key_of(aead: Aead, bytes: &[u8]) -> ExpandedKey {
    let mut key = [0; 32];
    key[..bytes.len()].copy_from_slice(bytes);
    ExpandedKey::new(&DirectionKeys::new(aead, key, [0; 12]))
}

#[test]
fn golden_records_of_an_independent_implementation() {
    for keys in AEADS.map(keys) {
        for (sequence, kind) in [(1, APPLICATION_DATA), (0xffff_ffff_fffe, ALERT)] {
            for len in [0, 1, 15, 16, 17, 1400, MAX_PLAINTEXT_LEN] {
                let plaintext: Vec<u8> = (0..len).map(|index| index as u8).collect();
                let record = independent(&keys, sequence, kind, &plaintext);
                assert_eq!(sealed(&keys, sequence, kind, &plaintext), record, "{keys:?}");
                assert_eq!(opened(&keys, &record), Ok(plaintext), "{keys:?}");
            }
        }
    }
}

#[test]
fn headers_say_dtls_1_2_and_epoch_1() {
    for keys in AEADS.map(keys) {
        let record = sealed(&keys, 0x0102_0304_0506, APPLICATION_DATA, b"abc");
        let fragment_len = record.len() - HEADER_LEN;
        let header = [23, 0xfe, 0xfd, 0, 1, 1, 2, 3, 4, 5, 6, 0, fragment_len as u8];
        assert_eq!(record[..HEADER_LEN], header);
        assert_eq!(record.len(), 3 + keys.aead().record_overhead());
    }
}

#[test]
fn every_changed_bit_is_noticed() {
    for keys in AEADS.map(keys) {
        let record = sealed(&keys, 5, APPLICATION_DATA, b"forty-two");
        for bit in 0..record.len() * 8 {
            let mut forged = record.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            // Another length is noticed before the key is used.
            let in_length = (11..HEADER_LEN).contains(&(bit / 8));
            let reason =
                if in_length { DropReason::MalformedRecord } else { DropReason::NotAuthentic };
            assert_eq!(opened(&keys, &forged), Err(reason), "bit {bit} of {keys:?}");
        }
    }
}

#[test]
fn cut_and_overlong_records_are_dropped() {
    for keys in AEADS.map(keys) {
        let overhead = keys.aead().record_overhead();
        let record = sealed(&keys, 5, APPLICATION_DATA, &[7; 1400]);
        for len in HEADER_LEN..record.len() {
            let mut cut = record[..len].to_vec();
            assert_eq!(opened(&keys, &cut), Err(DropReason::MalformedRecord), "length {len}");
            cut[11..HEADER_LEN].copy_from_slice(&((len - HEADER_LEN) as u16).to_be_bytes());
            let too_short = len < overhead;
            let reason =
                if too_short { DropReason::MalformedRecord } else { DropReason::NotAuthentic };
            assert_eq!(opened(&keys, &cut), Err(reason), "length {len}");
        }
        let overlong = independent(&keys, 5, APPLICATION_DATA, &[7; MAX_PLAINTEXT_LEN + 1]);
        assert_eq!(opened(&keys, &overlong), Err(DropReason::MalformedRecord));
    }
}

#[test]
fn only_the_same_key_and_iv_open() {
    for aead in AEADS {
        let record = sealed(&keys(aead), 5, APPLICATION_DATA, b"");
        let other_key = DirectionKeys::new(aead, [0; 32], *keys(aead).fixed_iv());
        let mut key = [0; 32];
        key[..aead.key_len()].copy_from_slice(keys(aead).key());
        let other_iv = DirectionKeys::new(aead, key, [0; 12]);
        let same = DirectionKeys::new(aead, key, *keys(aead).fixed_iv());
        assert_eq!(opened(&other_key, &record), Err(DropReason::NotAuthentic));
        assert_eq!(opened(&other_iv, &record), Err(DropReason::NotAuthentic));
        assert_eq!(opened(&same, &record), Ok(vec![]));
    }
}

#[test]
#[should_panic = "the plaintext fits no record"]
fn sealing_more_than_a_record_holds_is_a_bug_of_the_caller() {
    sealed(&keys(Aead::Aes128Gcm), 1, APPLICATION_DATA, &[0; MAX_PLAINTEXT_LEN + 1]);
}

#[test]
fn debug_shows_no_secret() {
    let key = ExpandedKey::new(&keys(Aead::ChaCha20Poly1305));
    assert_eq!(format!("{key:?}"), "ExpandedKey { aead: ChaCha20Poly1305, .. }");
}

proptest! {
    #[test]
    fn what_is_sealed_opens(
        aead in prop::sample::select(&AEADS[..]),
        sequence in 0..1u64 << 48,
        kind: u8,
        plaintext in prop::collection::vec(any::<u8>(), 0..=1500),
    ) {
        let record = sealed(&keys(aead), sequence, kind, &plaintext);
        prop_assert_eq!(opened(&keys(aead), &record), Ok(plaintext));
    }

    #[test]
    fn arbitrary_bytes_never_open(
        aead in prop::sample::select(&AEADS[..]),
        record in prop::collection::vec(any::<u8>(), HEADER_LEN..200),
        consistent: bool,
    ) {
        let mut record = record;
        if consistent {
            let len = (record.len() - HEADER_LEN) as u16;
            record[11..HEADER_LEN].copy_from_slice(&len.to_be_bytes());
        }
        prop_assert!(opened(&keys(aead), &record).is_err());
    }
}
