//! OpenSSL: its ciphers alone, and its records.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use openssl::cipher::{Cipher, CipherRef};
use openssl::cipher_ctx::CipherCtx;
use xdtls_common::record::HEADER_LEN;
use xdtls_proto::keys::Role;
use xdtls_proto::suite::{Aead, CipherSuite, TAG_LEN};

use super::{BATCH, Contender};
use crate::openssl_pair::{Credentials, Pair};
use xdtls_bench_instructions::shards::keys_of;

/// Length of a nonce in bytes.
const NONCE_LEN: usize = 12;

/// The cipher alone, in place.
pub(super) struct Evp {
    sealer: CipherCtx,
    opener: CipherCtx,
    buffers: Vec<Vec<u8>>,
    tags: [[u8; TAG_LEN]; BATCH],
}

impl Evp {
    pub(super) fn new(suite: CipherSuite, size: usize) -> Result<Self> {
        let cipher: &CipherRef = match suite.aead() {
            Aead::Aes128Gcm => Cipher::aes_128_gcm(),
            Aead::Aes256Gcm => Cipher::aes_256_gcm(),
            Aead::ChaCha20Poly1305 => Cipher::chacha20_poly1305(),
        };
        let keys = keys_of(1, suite, Role::Client).0;
        let (mut sealer, mut opener) = (CipherCtx::new()?, CipherCtx::new()?);
        sealer.encrypt_init(Some(cipher), Some(keys.key()), Some(&[0; NONCE_LEN]))?;
        opener.decrypt_init(Some(cipher), Some(keys.key()), Some(&[0; NONCE_LEN]))?;
        let (buffers, tags) = (vec![vec![0x42; size]; BATCH], [[0; TAG_LEN]; BATCH]);
        Ok(Self { sealer, opener, buffers, tags })
    }
}

impl Contender for Evp {
    fn seal(&mut self) -> Result<Duration> {
        let begin = Instant::now();
        for (index, (buffer, tag)) in self.buffers.iter_mut().zip(&mut self.tags).enumerate() {
            let length = buffer.len();
            self.sealer.encrypt_init(None, None, Some(&[index as u8; NONCE_LEN]))?;
            self.sealer.cipher_update(&[index as u8; HEADER_LEN], None)?;
            self.sealer.cipher_update_inplace(buffer, length)?;
            self.sealer.cipher_final(&mut [])?;
            self.sealer.tag(tag)?;
        }
        Ok(begin.elapsed())
    }

    fn open(&mut self) -> Result<Duration> {
        let begin = Instant::now();
        for (index, (buffer, tag)) in self.buffers.iter_mut().zip(&self.tags).enumerate() {
            let length = buffer.len();
            self.opener.decrypt_init(None, None, Some(&[index as u8; NONCE_LEN]))?;
            self.opener.set_tag(tag)?;
            self.opener.cipher_update(&[index as u8; HEADER_LEN], None)?;
            self.opener.cipher_update_inplace(buffer, length)?;
            // Fails if the tag is not right.
            self.opener.cipher_final(&mut [])?;
        }
        Ok(begin.elapsed())
    }
}

/// `SSL_write` and `SSL_read`.
pub(super) struct Ssl {
    pair: Pair,
    plaintext: Vec<u8>,
    received: Vec<u8>,
}

impl Ssl {
    pub(super) fn new(suite: CipherSuite, size: usize) -> Result<Self> {
        let cipher = match suite.aead() {
            Aead::Aes128Gcm => "ECDHE-ECDSA-AES128-GCM-SHA256",
            Aead::Aes256Gcm => "ECDHE-ECDSA-AES256-GCM-SHA384",
            Aead::ChaCha20Poly1305 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        };
        let mut pair = Pair::new(&Credentials::new()?.contexts(cipher)?)?;
        pair.handshake()?;
        Ok(Self { pair, plaintext: vec![0x42; size], received: vec![0; size + 1] })
    }
}

impl Contender for Ssl {
    fn seal(&mut self) -> Result<Duration> {
        let begin = Instant::now();
        for _ in 0..BATCH {
            self.pair.client.ssl_write(&self.plaintext)?;
        }
        Ok(begin.elapsed())
    }

    fn open(&mut self) -> Result<Duration> {
        ensure!(self.pair.deliver() == BATCH, "a datagram is missing");
        let begin = Instant::now();
        for _ in 0..BATCH {
            let length = self.pair.server.ssl_read(&mut self.received)?;
            ensure!(length == self.plaintext.len(), "SSL_read has opened {length} bytes");
        }
        Ok(begin.elapsed())
    }
}
