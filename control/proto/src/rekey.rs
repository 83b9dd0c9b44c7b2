//! What ties a new association to the one that it replaces: a key of the old one's handshake, the
//! token that shows it, and when a key is to be replaced.
//!
//! ```text
//! rekey key = exporter(master secret, "EXPERIMENTAL-xdtls-rekey"), 16 bytes   (RFC 5705 §4)
//! token     = replaced id, 4 bytes ‖ the first 28 bytes of
//!             HMAC-SHA256(rekey key, "xdtls rekey" ‖ replaced id ‖ new client_random)
//! ```
//!
//! The id is the one that the answering end has given to the old association: it finds the key by
//! it. The random ties the token to one ClientHello, and with it, through Finished, to one handshake.
//! Whoever repeats a token can therefore not finish, or must be who the old association's peer was,
//! which is checked too.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ring::hmac;
use xdtls_common::extension::TOKEN_LEN;
use xdtls_common::id::{LocalId, PeerId};
use zeroize::ZeroizeOnDrop;

use crate::engine::PeerIdentity;
use crate::handshakes::Installation;
use crate::prf::{MASTER_SECRET_LEN, RANDOM_LEN, prf};
use crate::suite::CipherSuite;

/// RFC 5705 §4 leaves labels that begin so to private use.
const EXPORTER_LABEL: &[u8] = b"EXPERIMENTAL-xdtls-rekey";

const TOKEN_LABEL: &[u8] = b"xdtls rekey";

/// Length of a [`RekeyKey`] in bytes.
pub const REKEY_KEY_LEN: usize = 16;

const ID_LEN: usize = 4;

/// A key that only the two ends of one association know.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct RekeyKey([u8; REKEY_KEY_LEN]);

impl RekeyKey {
    /// The key of the handshake with this outcome.
    pub fn derive(
        suite: CipherSuite,
        master_secret: &[u8; MASTER_SECRET_LEN],
        client_random: &[u8; RANDOM_LEN],
        server_random: &[u8; RANDOM_LEN],
    ) -> Self {
        let (mut key, randoms) = ([0; REKEY_KEY_LEN], [&client_random[..], server_random]);
        prf(suite.prf(), master_secret, EXPORTER_LABEL, &randoms, &mut key);
        Self(key)
    }

    /// The key that [`RekeyKey::bytes`] gave.
    pub const fn of_bytes(bytes: [u8; REKEY_KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// The key itself, for whoever keeps it in another way and wipes it as well.
    pub const fn bytes(&self) -> &[u8; REKEY_KEY_LEN] {
        &self.0
    }

    /// The token of a ClientHello with this random that is to replace `replaced`.
    fn token(&self, replaced: u32, client_random: &[u8; RANDOM_LEN]) -> [u8; TOKEN_LEN] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        let id = replaced.to_be_bytes();
        [TOKEN_LABEL, &id, client_random].into_iter().for_each(|part| context.update(part));
        let mut token = [0; TOKEN_LEN];
        token[..ID_LEN].copy_from_slice(&id);
        token[ID_LEN..].copy_from_slice(&context.sign().as_ref()[..TOKEN_LEN - ID_LEN]);
        token
    }

    /// Whether `token` is this association's, in a ClientHello with this random. Takes the same time
    /// for every wrong token.
    pub fn verifies(&self, token: &[u8; TOKEN_LEN], client_random: &[u8; RANDOM_LEN]) -> bool {
        let expected = self.token(replaced_value(token), client_random);
        let difference = expected.iter().zip(token).fold(0, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for RekeyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RekeyKey").finish_non_exhaustive()
    }
}

fn replaced_value(token: &[u8; TOKEN_LEN]) -> u32 {
    let [a, b, c, d, ..] = *token;
    u32::from_be_bytes([a, b, c, d])
}

/// Which association a token names at the end that answers.
pub fn replaced_id(token: &[u8; TOKEN_LEN]) -> Option<LocalId> {
    LocalId::new(replaced_value(token))
}

/// What the opening end of an association needs to begin another that replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// The other end's name for the old association.
    pub peer: PeerId,
    /// The old association's key.
    pub key: RekeyKey,
}

impl Replaces {
    /// The token of a ClientHello with this random.
    pub fn token(&self, client_random: &[u8; RANDOM_LEN]) -> [u8; TOKEN_LEN] {
        self.key.token(self.peer.value(), client_random)
    }
}

/// What is kept of an established association for one that may replace it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// Its key.
    pub key: RekeyKey,
    /// Who its peer has proved to be.
    pub identity: Arc<PeerIdentity>,
    /// The backend that it leads to.
    pub route: u16,
}

impl Ancestor {
    /// What to keep of an association that is on its way to its worker.
    pub fn of(installation: &Installation) -> Self {
        let taken_over = &installation.taken_over;
        let identity = Arc::new(taken_over.identity.clone());
        Self { key: taken_over.rekey_key.clone(), identity, route: installation.route }
    }
}

/// Finds what is kept of an established association; of any thread of this node.
pub type AncestorLookup = Box<dyn Fn(LocalId) -> Option<Ancestor> + Send>;

/// When an association's keys are to be replaced. The first limit that is reached decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RekeyLimits {
    /// Records of one direction.
    pub records: u64,
    /// Bytes of plaintext, both directions together.
    pub bytes: u64,
    /// Time since the handshake.
    pub time: Duration,
}

impl Default for RekeyLimits {
    /// A third of the records that an AES-GCM key may seal, a sixth of the bytes that these would be
    /// at their longest, and as long as IKE associations usually live.
    fn default() -> Self {
        Self { records: 1 << 23, bytes: 1 << 36, time: Duration::from_secs(4 * 3600) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_hex::hex;

    fn derived(suite: CipherSuite) -> RekeyKey {
        let master_secret = std::array::from_fn(|index| index as u8);
        RekeyKey::derive(suite, &master_secret, &[0xc1; 32], &[0x5e; 32])
    }

    #[test]
    fn the_key_depends_on_the_handshake_and_the_token_on_everything() {
        let key = derived(CipherSuite::EcdheRsaAes128Gcm);
        assert_ne!(key, derived(CipherSuite::EcdheEcdsaAes256Gcm));
        let replaces = Replaces { peer: PeerId::new(0x5a00_002a).unwrap(), key: key.clone() };
        let token = replaces.token(&[7; 32]);
        assert_eq!(replaced_id(&token), LocalId::new(0x5a00_002a));
        assert!(key.verifies(&token, &[7; 32]));
        assert!(!key.verifies(&token, &[8; 32]), "another ClientHello");
        assert!(!derived(CipherSuite::EcdheEcdsaAes256Gcm).verifies(&token, &[7; 32]));
        for bit in 0..8 * TOKEN_LEN {
            let mut altered = token;
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verifies(&altered, &[7; 32]), "bit {bit}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = derived(CipherSuite::EcdheRsaAes128Gcm);
        assert_eq!(format!("{key:?}"), "RekeyKey { .. }");
    }

    /// Made with Python's `hmac` from the formulas above; wire.md shows the first.
    #[test]
    fn keys_and_tokens_are_those_of_the_formulas() {
        let vectors = [
            (
                CipherSuite::EcdheRsaAes128Gcm,
                "2443a50384595c41c54d66576a8104fd",
                "5a00002aba757cb6c2a6733dba5f2cb3ed29dd6481662ab190a5b535cacf6f7e",
            ),
            (
                CipherSuite::EcdheEcdsaAes256Gcm,
                "f1b71abb55023855d0043bbfd5b435ce",
                "5a00002a641d001c78dba847694ef7ea8d3afc1351eb5e2ed1035d51d38ac4a0",
            ),
        ];
        for (suite, key, token) in vectors {
            let derived = derived(suite);
            assert_eq!(derived.0, *hex(key));
            assert_eq!(derived.token(0x5a00_002a, &[7; 32]), *hex(token));
        }
    }
}
