//! Raw record keys of one association: what stays in memory while it idles.
//!
//! They are zeroized on drop. Copies that the compiler leaves behind when a value moves, and those
//! inside ring, are not.

use std::fmt;

use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::prf::{MASTER_SECRET_LEN, RANDOM_LEN, key_block};
use crate::suite::{Aead, CipherSuite};

/// The longest key of any [`Aead`].
const MAX_KEY_LEN: usize = 32;

/// The longest fixed IV of any [`Aead`].
const MAX_IV_LEN: usize = 12;

/// Key and fixed IV of one direction (RFC 5246 §6.3).
#[derive(ZeroizeOnDrop)]
pub struct DirectionKeys {
    #[zeroize(skip)]
    aead: Aead,
    key: [u8; MAX_KEY_LEN],
    iv: [u8; MAX_IV_LEN],
}

impl DirectionKeys {
    /// Keys for `aead`; of key and IV it uses as many first bytes as it needs.
    pub const fn new(aead: Aead, key: [u8; MAX_KEY_LEN], iv: [u8; MAX_IV_LEN]) -> Self {
        Self { aead, key, iv }
    }

    /// What the keys are for.
    pub const fn aead(&self) -> Aead {
        self.aead
    }

    /// The key, as long as the AEAD's keys are.
    pub fn key(&self) -> &[u8] {
        &self.key[..self.aead.key_len()]
    }

    /// The part of every nonce that the key block gave (RFC 5288 §3, RFC 7905 §2); the bytes that
    /// the AEAD does not use are meaningless.
    pub const fn fixed_iv(&self) -> &[u8; MAX_IV_LEN] {
        &self.iv
    }
}

impl fmt::Debug for DirectionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectionKeys").field("aead", &self.aead).finish_non_exhaustive()
    }
}

/// Which end of the handshake a node was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It sent ClientHello.
    Client,
    /// It sent ServerHello.
    Server,
}

/// The record keys of both directions (RFC 5246 §6.3).
#[derive(Debug)]
pub struct KeyPair {
    /// What the client seals with and the server opens with.
    pub client_write: DirectionKeys,
    /// What the server seals with and the client opens with.
    pub server_write: DirectionKeys,
}

impl KeyPair {
    /// Derives both directions' keys after a handshake (RFC 5246 §6.3). AEAD suites have no MAC
    /// keys, so the key block is client key, server key, client IV, server IV.
    pub fn derive(
        suite: CipherSuite,
        master_secret: &[u8; MASTER_SECRET_LEN],
        client_random: &[u8; RANDOM_LEN],
        server_random: &[u8; RANDOM_LEN],
    ) -> Self {
        let aead = suite.aead();
        let (key_len, iv_len) = (aead.key_len(), aead.fixed_iv_len());
        let mut block = Zeroizing::new([0; 2 * (MAX_KEY_LEN + MAX_IV_LEN)]);
        let block = &mut block[..2 * (key_len + iv_len)];
        key_block(suite.prf(), master_secret, client_random, server_random, block);

        let (keys, ivs) = block.split_at(2 * key_len);
        let direction = |index: usize| {
            let mut direction = DirectionKeys::new(aead, [0; MAX_KEY_LEN], [0; MAX_IV_LEN]);
            direction.key[..key_len].copy_from_slice(&keys[index * key_len..][..key_len]);
            direction.iv[..iv_len].copy_from_slice(&ivs[index * iv_len..][..iv_len]);
            direction
        };
        Self { client_write: direction(0), server_write: direction(1) }
    }

    /// The keys to seal with and those to open with, in this order, for the end that was `role`.
    pub fn into_seal_and_open(self, role: Role) -> (DirectionKeys, DirectionKeys) {
        match role {
            Role::Client => (self.client_write, self.server_write),
            Role::Server => (self.server_write, self.client_write),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_hex::hex;

    /// Master secret 00..2f, client random c1.., server random 5e.., made with
    /// `openssl kdf -kdfopt digest:… -kdfopt hexsecret:… -kdfopt hexseed:… TLS1-PRF`
    /// over "key expansion" ‖ server random ‖ client random.
    const BLOCKS: [(CipherSuite, &str); 3] = [
        (
            CipherSuite::EcdheRsaAes128Gcm,
            "cceb3e14d846a21dde9a42cbcbed13a667078ba0dab8d1732a3cb4899a742466234f54ef0f9b87b1",
        ),
        (
            CipherSuite::EcdheEcdsaAes256Gcm,
            "2353183785767c3f69bccee8a7e1096d743385890510310e45418aef7b068d0a65de98dde3c3e08b\
             909a2362c78202d4aa098f1f187f28110c070ece64b5578890a4f9ee23b57bae",
        ),
        (
            CipherSuite::EcdhePskChaCha20Poly1305,
            "cceb3e14d846a21dde9a42cbcbed13a667078ba0dab8d1732a3cb4899a742466234f54ef0f9b87b1\
             1b1ccae6ffacd12acf8a784b60a5d36b819d5bd840985f3128e699cf88370e8ba55f5462605891ad\
             e359c7caec46be58",
        ),
    ];

    fn derived(suite: CipherSuite) -> KeyPair {
        let master_secret = std::array::from_fn(|index| index as u8);
        KeyPair::derive(suite, &master_secret, &[0xc1; 32], &[0x5e; 32])
    }

    #[test]
    fn key_block_is_cut_in_the_order_of_rfc_5246() {
        for (suite, block) in BLOCKS {
            let KeyPair { client_write, server_write } = derived(suite);
            let iv_len = suite.aead().fixed_iv_len();
            let in_order = [
                client_write.key(),
                server_write.key(),
                &client_write.fixed_iv()[..iv_len],
                &server_write.fixed_iv()[..iv_len],
            ];
            assert_eq!(in_order.concat(), hex(block), "{}", suite.name());
            assert_eq!(client_write.aead(), suite.aead());
        }
    }

    #[test]
    fn each_end_opens_what_the_other_seals() {
        let suite = CipherSuite::EcdheRsaAes128Gcm;
        let (client_seal, client_open) = derived(suite).into_seal_and_open(Role::Client);
        let (server_seal, server_open) = derived(suite).into_seal_and_open(Role::Server);
        assert_eq!(client_seal.key(), derived(suite).client_write.key());
        assert_eq!(client_seal.key(), server_open.key());
        assert_eq!(server_seal.key(), client_open.key());
        assert_ne!(client_seal.key(), server_seal.key());
    }

    #[test]
    fn keys_that_are_dropped_are_wiped() {
        fn is_wiped<T: ZeroizeOnDrop>() {}
        is_wiped::<DirectionKeys>();
    }

    #[test]
    fn debug_shows_no_secret_and_an_idle_direction_is_small() {
        let keys = DirectionKeys::new(Aead::Aes128Gcm, [0xab; 32], [0xcd; 12]);
        assert_eq!(format!("{keys:?}"), "DirectionKeys { aead: Aes128Gcm, .. }");
        assert_eq!(size_of::<DirectionKeys>(), 45);
    }
}
