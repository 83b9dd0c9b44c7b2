//! Opening records: what was sealed opens as it was, and nothing else opens.

use xdtls_common::cursor::SliceCursor;
use xdtls_common::record::{RecordHeader, content_type};
use xdtls_proto::keys::DirectionKeys;
use xdtls_proto::record_plane::{ExpandedKey, SealState, open, seal};
use xdtls_proto::suite::Aead;

const AEADS: [Aead; 3] = [Aead::Aes128Gcm, Aead::Aes256Gcm, Aead::ChaCha20Poly1305];

/// The first byte chooses the cipher, the next two a byte of the record and how it is altered; the
/// rest is a record, and a plaintext.
pub(crate) fn run(data: &[u8]) {
    let Some(([cipher, place, change], rest)) = data.split_first_chunk() else { return };
    let aead = AEADS[usize::from(*cipher) % AEADS.len()];
    let key = ExpandedKey::new(&DirectionKeys::new(aead, [7; 32], [9; 12]));
    let mut forged = rest.to_vec();
    if let Ok(header) = RecordHeader::parse(&mut SliceCursor::new(rest)) {
        assert!(open(&key, &header, &mut forged).is_err(), "nobody has sealed this");
    }

    let plaintext = &rest[..rest.len().min(2000)];
    let mut record = vec![0; aead.record_overhead() + plaintext.len()];
    record[aead.plaintext_offset()..][..plaintext.len()].copy_from_slice(plaintext);
    let counters = SealState::after(41, u64::from(*place)).take(aead).unwrap();
    let length = seal(&key, counters, content_type::APPLICATION_DATA, &mut record, plaintext.len());
    assert_eq!(length, record.len());

    let mut altered = record.clone();
    let place = usize::from(*place) * 31 % altered.len();
    altered[place] ^= change;
    let header = RecordHeader::parse(&mut SliceCursor::new(&altered)).unwrap();
    match open(&key, &header, &mut altered) {
        Ok(range) => {
            assert!(*change == 0, "byte {place} was altered");
            assert_eq!(altered[range], *plaintext);
        }
        Err(reason) => assert!(*change != 0, "{reason:?}"),
    }
}
