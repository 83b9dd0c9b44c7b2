//! The pseudo-random function of TLS 1.2 (RFC 5246 §5) and the key block made with it.

use ring::hmac;

use crate::suite::PrfHash;

/// Length of a master secret in bytes (RFC 5246 §8.1).
pub const MASTER_SECRET_LEN: usize = 48;

/// Length of the randoms of ClientHello and ServerHello in bytes (RFC 5246 §7.4.1.2).
pub const RANDOM_LEN: usize = 32;

/// Fills `out` with PRF(secret, label, seed), the parts of `seed` taken as one string
/// (RFC 5246 §5).
pub fn prf(hash: PrfHash, secret: &[u8], label: &[u8], seed: &[&[u8]], out: &mut [u8]) {
    let algorithm = match hash {
        PrfHash::Sha256 => hmac::HMAC_SHA256,
        PrfHash::Sha384 => hmac::HMAC_SHA384,
    };
    let key = hmac::Key::new(algorithm, secret);
    let labelled_seed = |context: &mut hmac::Context| {
        context.update(label);
        seed.iter().for_each(|part| context.update(part));
    };

    // A(1) = HMAC(secret, label ‖ seed), then A(i + 1) = HMAC(secret, A(i)); each A(i) yields one
    // chunk of output, HMAC(secret, A(i) ‖ label ‖ seed).
    let mut context = hmac::Context::with_key(&key);
    labelled_seed(&mut context);
    let mut a = context.sign();
    for chunk in out.chunks_mut(algorithm.digest_algorithm().output_len()) {
        let mut context = hmac::Context::with_key(&key);
        context.update(a.as_ref());
        labelled_seed(&mut context);
        chunk.copy_from_slice(&context.sign().as_ref()[..chunk.len()]);
        a = hmac::sign(&key, a.as_ref());
    }
}

/// Fills `out` with the key block's first bytes:
/// PRF(master_secret, "key expansion", server_random ‖ client_random) (RFC 5246 §6.3).
pub fn key_block(
    hash: PrfHash,
    master_secret: &[u8; MASTER_SECRET_LEN],
    client_random: &[u8; RANDOM_LEN],
    server_random: &[u8; RANDOM_LEN],
    out: &mut [u8],
) {
    prf(hash, master_secret, b"key expansion", &[server_random, client_random], out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_hex::hex;

    /// The vectors for SHA-256 and SHA-384 that the IETF TLS list published
    /// (<https://www.ietf.org/mail-archive/web/tls/current/msg03416.html>).
    const PUBLISHED: [(PrfHash, &str, &str, &str); 2] = [
        (
            PrfHash::Sha256,
            "9bbe436ba940f017b17652849a71db35",
            "a0ba9f936cda311827a6f796ffd5198c",
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9\
             c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789ba\
             a48082d122ee42c5a72e5a5110fff70187347b66",
        ),
        (
            PrfHash::Sha384,
            "b80b733d6ceefcdc71566ea48e5567df",
            "cd665cf6a8447dd6ff8b27555edb7465",
            "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe3\
             4f82b1233c9146a0e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3\
             d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236\
             a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f",
        ),
    ];

    #[test]
    fn published_vectors() {
        for (hash, secret, seed, output) in PUBLISHED {
            let expected = hex(output);
            let mut out = vec![0; expected.len()];
            prf(hash, &hex(secret), b"test label", &[&hex(seed)], &mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_shorter_output_is_a_prefix_and_seed_parts_are_one_string() {
        let mut long = [0; 100];
        prf(PrfHash::Sha384, b"secret", b"label", &[b"seed"], &mut long);
        for len in 0..long.len() {
            let mut short = vec![0; len];
            prf(PrfHash::Sha384, b"secret", b"label", &[b"se", b"", b"ed"], &mut short);
            assert_eq!(short, long[..len]);
        }
    }
}
