//! Cipher suites that xdtls negotiates, and what each means for keys and records.
//!
//! All are AEAD suites, so there are no MAC keys and no padding. Those with a pre-shared key alone
//! lack forward secrecy and are negotiated only where that is allowed.

use xdtls_common::record::HEADER_LEN;

/// Length of the authentication tag of every AEAD here (RFC 5116 §5.1, RFC 8439 §2.8).
pub const TAG_LEN: usize = 16;

/// A negotiable cipher suite; its discriminant is its number in the IANA registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CipherSuite {
    /// Pre-shared key alone, AES-128-GCM (RFC 5487 §2).
    PskAes128Gcm = 0x00A8,
    /// Pre-shared key alone, AES-256-GCM (RFC 5487 §2).
    PskAes256Gcm = 0x00A9,
    /// ECDHE, ECDSA certificate, AES-128-GCM (RFC 5289 §3.2).
    EcdheEcdsaAes128Gcm = 0xC02B,
    /// ECDHE, ECDSA certificate, AES-256-GCM (RFC 5289 §3.2).
    EcdheEcdsaAes256Gcm = 0xC02C,
    /// ECDHE, RSA certificate, AES-128-GCM (RFC 5289 §3.2).
    EcdheRsaAes128Gcm = 0xC02F,
    /// ECDHE, RSA certificate, AES-256-GCM (RFC 5289 §3.2).
    EcdheRsaAes256Gcm = 0xC030,
    /// ECDHE, RSA certificate, ChaCha20-Poly1305 (RFC 7905 §2).
    EcdheRsaChaCha20Poly1305 = 0xCCA8,
    /// ECDHE, ECDSA certificate, ChaCha20-Poly1305 (RFC 7905 §2).
    EcdheEcdsaChaCha20Poly1305 = 0xCCA9,
    /// Pre-shared key alone, ChaCha20-Poly1305 (RFC 7905 §2).
    PskChaCha20Poly1305 = 0xCCAB,
    /// ECDHE, pre-shared key, ChaCha20-Poly1305 (RFC 7905 §2).
    EcdhePskChaCha20Poly1305 = 0xCCAC,
}

impl CipherSuite {
    /// Every suite, by number.
    pub const ALL: [Self; 10] = [
        Self::PskAes128Gcm,
        Self::PskAes256Gcm,
        Self::EcdheEcdsaAes128Gcm,
        Self::EcdheEcdsaAes256Gcm,
        Self::EcdheRsaAes128Gcm,
        Self::EcdheRsaAes256Gcm,
        Self::EcdheRsaChaCha20Poly1305,
        Self::EcdheEcdsaChaCha20Poly1305,
        Self::PskChaCha20Poly1305,
        Self::EcdhePskChaCha20Poly1305,
    ];

    /// The suite with this number in the IANA registry, if xdtls negotiates it.
    pub fn from_iana(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.iana() == number)
    }

    /// The suite's number in the IANA registry, as it stands in ServerHello (RFC 5246 §7.4.1.3).
    pub const fn iana(self) -> u16 {
        self as u16
    }

    /// The suite's name in the IANA registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PskAes128Gcm => "TLS_PSK_WITH_AES_128_GCM_SHA256",
            Self::PskAes256Gcm => "TLS_PSK_WITH_AES_256_GCM_SHA384",
            Self::PskChaCha20Poly1305 => "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256",
            Self::EcdheEcdsaAes128Gcm => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            Self::EcdheEcdsaAes256Gcm => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            Self::EcdheRsaAes128Gcm => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            Self::EcdheRsaAes256Gcm => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            Self::EcdheRsaChaCha20Poly1305 => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            Self::EcdheEcdsaChaCha20Poly1305 => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            Self::EcdhePskChaCha20Poly1305 => "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
        }
    }

    /// Whether both ends prove themselves by a pre-shared key, instead of certificates.
    pub const fn is_psk(self) -> bool {
        matches!(
            self,
            Self::PskAes128Gcm
                | Self::PskAes256Gcm
                | Self::PskChaCha20Poly1305
                | Self::EcdhePskChaCha20Poly1305
        )
    }

    /// What seals and opens the suite's records.
    pub const fn aead(self) -> Aead {
        match self {
            Self::EcdheEcdsaAes128Gcm | Self::EcdheRsaAes128Gcm | Self::PskAes128Gcm => {
                Aead::Aes128Gcm
            }
            Self::EcdheEcdsaAes256Gcm | Self::EcdheRsaAes256Gcm | Self::PskAes256Gcm => {
                Aead::Aes256Gcm
            }
            Self::EcdheRsaChaCha20Poly1305
            | Self::PskChaCha20Poly1305
            | Self::EcdheEcdsaChaCha20Poly1305
            | Self::EcdhePskChaCha20Poly1305 => Aead::ChaCha20Poly1305,
        }
    }

    /// The hash of the suite's pseudo-random function (RFC 5289 §3.2, RFC 7905 §2).
    pub const fn prf(self) -> PrfHash {
        match self.aead() {
            Aead::Aes256Gcm => PrfHash::Sha384,
            Aead::Aes128Gcm | Aead::ChaCha20Poly1305 => PrfHash::Sha256,
        }
    }
}

/// An authenticated cipher for records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aead {
    /// AES-128-GCM (RFC 5288).
    Aes128Gcm,
    /// AES-256-GCM (RFC 5288).
    Aes256Gcm,
    /// ChaCha20-Poly1305 (RFC 7905).
    ChaCha20Poly1305,
}

impl Aead {
    /// Length of the key in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }

    /// Length in bytes of the part of the nonce that comes from the key block: the salt of AES-GCM
    /// (RFC 5288 §3), the whole mask of ChaCha20-Poly1305 (RFC 7905 §2).
    pub const fn fixed_iv_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 4,
            Self::ChaCha20Poly1305 => 12,
        }
    }

    /// Length in bytes of the part of the nonce that each record carries (RFC 5288 §3;
    /// RFC 7905 §2: none).
    pub const fn explicit_nonce_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 8,
            Self::ChaCha20Poly1305 => 0,
        }
    }

    /// How many bytes a record is longer than its plaintext: header, explicit nonce and tag.
    pub const fn record_overhead(self) -> usize {
        self.plaintext_offset() + TAG_LEN
    }

    /// Where the plaintext stands in a record: after header and explicit nonce.
    pub const fn plaintext_offset(self) -> usize {
        HEADER_LEN + self.explicit_nonce_len()
    }
}

/// The hash of a suite's pseudo-random function (RFC 5246 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrfHash {
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-384.
    Sha384,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_exactly_the_known_suites() {
        let known: Vec<u16> = (0..=u16::MAX)
            .filter(|number| CipherSuite::from_iana(*number).is_some_and(|s| s.iana() == *number))
            .collect();
        assert_eq!(
            known,
            [0x00A8, 0x00A9, 0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9, 0xCCAB, 0xCCAC]
        );
    }

    #[test]
    fn names_say_what_the_suites_are() {
        for suite in CipherSuite::ALL {
            let (cipher, aead) = match suite.aead() {
                Aead::Aes128Gcm => ("AES_128_GCM_SHA256", (16, 4, 8, 37)),
                Aead::Aes256Gcm => ("AES_256_GCM_SHA384", (32, 4, 8, 37)),
                Aead::ChaCha20Poly1305 => ("CHACHA20_POLY1305_SHA256", (32, 12, 0, 29)),
            };
            assert!(suite.name().ends_with(cipher), "{}", suite.name());
            assert_eq!(suite.name().ends_with("SHA384"), suite.prf() == PrfHash::Sha384);
            assert_eq!(suite.name().contains("_PSK_"), suite.is_psk());
            let a = suite.aead();
            let lengths =
                (a.key_len(), a.fixed_iv_len(), a.explicit_nonce_len(), a.record_overhead());
            assert_eq!(lengths, aead);
        }
    }
}
