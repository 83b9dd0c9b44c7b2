//! The numbers that make each sealed record's nonce unique, and when a key has sealed enough.

use xdtls_common::DropReason;

use crate::suite::Aead;

/// The most records that one AES-GCM key seals: 2^24.5 (RFC 8446 §5.5, RFC 9147 §4.5.3). The RFCs
/// mean records of 2^14 bytes; those that fit a datagram on the path stay well on the safe side.
pub const GCM_RECORDS_MAX: u64 = 23_726_566;

/// The most records that one ChaCha20-Poly1305 key seals. The cipher has no limit below the
/// sequence numbers' (RFC 8446 §5.5), which must not wrap (RFC 6347 §4.1).
pub const CHACHA20_POLY1305_RECORDS_MAX: u64 = (1 << 48) - 1;

/// Records that are kept back for alerts when a key is worn.
const RESERVE: u64 = 16;

/// The most records that one key of `aead` seals, those of the handshake included.
pub const fn records_max(aead: Aead) -> u64 {
    match aead {
        Aead::Aes128Gcm | Aead::Aes256Gcm => GCM_RECORDS_MAX,
        Aead::ChaCha20Poly1305 => CHACHA20_POLY1305_RECORDS_MAX,
    }
}

/// The numbers of one record to seal. They come from [`SealState::take`] only and can be neither
/// made nor copied, so that no two records are sealed with the same nonce.
#[derive(Debug, PartialEq, Eq)]
pub struct SealCounters {
    pub(super) sequence: u64,
    pub(super) explicit_nonce: u64,
}

/// Counts the records that one key seals.
///
/// There is one such state for a key, ever: it is not `Clone`, and it goes on where the handshake's
/// implementation stopped. ChaCha20-Poly1305 makes no use of the explicit nonce. What the key is for
/// is known beside the key, and told where it matters.
#[derive(Debug)]
pub struct SealState {
    sequence: u64,
    explicit_nonce: u64,
}

impl SealState {
    /// Goes on after the last record that was sealed with the key before: its sequence number in
    /// epoch 1 and its explicit nonce.
    pub const fn after(last_sequence: u64, last_explicit_nonce: u64) -> Self {
        Self {
            sequence: last_sequence + 1,
            // The start is random, so the wrap may come at any time. Nonces stay unique: far fewer
            // than 2^64 records are sealed.
            explicit_nonce: last_explicit_nonce.wrapping_add(1),
        }
    }

    /// The numbers of the next record, or [`DropReason::KeyLimit`] once the key, which is for `aead`,
    /// has sealed [`records_max`].
    pub fn take(&mut self, aead: Aead) -> Result<SealCounters, DropReason> {
        if self.sequence >= records_max(aead) {
            return Err(DropReason::KeyLimit);
        }
        let counters =
            SealCounters { sequence: self.sequence, explicit_nonce: self.explicit_nonce };
        self.sequence += 1;
        self.explicit_nonce = self.explicit_nonce.wrapping_add(1);
        Ok(counters)
    }

    /// How many records the key has sealed, those of the handshake included.
    pub const fn sealed(&self) -> u64 {
        self.sequence
    }

    /// Whether the key should seal no more data: what is left is for the messages that end the
    /// association.
    pub const fn is_worn(&self, aead: Aead) -> bool {
        self.sequence >= records_max(aead) - RESERVE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AEADS: [Aead; 3] = [Aead::Aes128Gcm, Aead::Aes256Gcm, Aead::ChaCha20Poly1305];

    #[test]
    fn both_numbers_count_up_together_and_the_nonce_wraps() {
        let mut state = SealState::after(0, u64::MAX - 1);
        for (sequence, explicit_nonce) in [(1, u64::MAX), (2, 0), (3, 1)] {
            let counters = SealCounters { sequence, explicit_nonce };
            assert_eq!(state.take(Aead::Aes128Gcm), Ok(counters));
        }
        let mut state = SealState::after(41, u64::MAX);
        let counters = SealCounters { sequence: 42, explicit_nonce: 0 };
        assert_eq!(state.take(Aead::ChaCha20Poly1305), Ok(counters));
    }

    #[test]
    fn a_key_seals_no_more_records_than_its_limit() {
        for aead in AEADS {
            // Sequence numbers start at 0, so the last allowed is one below the number of records.
            let last = records_max(aead) - 1;
            let mut state = SealState::after(last - 1, 7);
            assert_eq!(state.take(aead), Ok(SealCounters { sequence: last, explicit_nonce: 8 }));
            assert_eq!(state.take(aead), Err(DropReason::KeyLimit));
            assert_eq!(state.take(aead), Err(DropReason::KeyLimit));
        }
    }

    #[test]
    fn a_worn_key_can_still_say_goodbye() {
        for aead in AEADS {
            let mut state = SealState::after(records_max(aead) - RESERVE - 2, 0);
            assert!(!state.is_worn(aead));
            assert!(state.take(aead).is_ok());
            assert!(state.is_worn(aead));
            assert!((0..RESERVE).all(|_| state.take(aead).is_ok()));
            assert_eq!(state.take(aead), Err(DropReason::KeyLimit));
        }
    }
}
