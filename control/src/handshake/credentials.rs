//! Certificates and keys from plain bytes into OpenSSL contexts.

use std::fs;
use std::path::Path;

use anyhow::Context;
use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey, Private};
use openssl::ssl::SslContextBuilder;
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::{X509, X509Name};
use zeroize::Zeroizing;

use super::context::ContextError;
use super::{ffi, key, peer};

/// A certificate with its key.
pub struct Identity {
    /// The certificate itself, then the intermediates up to, not including, the root. PEM.
    pub certificate_chain_pem: Vec<u8>,
    /// The private key: PEM, or DER in PKCS#8, SEC1 or PKCS#1.
    pub key: Zeroizing<Vec<u8>>,
}

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// Which of them cannot be read, and why.
    pub fn read(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let certificate_chain_pem = read_file(certificate)?;
        Ok(Self { certificate_chain_pem, key: Zeroizing::new(read_file(key)?) })
    }

    /// SHA-256 of the certificate's SubjectPublicKeyInfo.
    ///
    /// # Errors
    ///
    /// When there is no certificate that can be read.
    pub fn key_sha256(&self) -> Result<[u8; 32], ContextError> {
        let (certificate, _) = certificates("certificate chain", &self.certificate_chain_pem)?;
        Ok(peer::identity_of(&certificate)?.spki_sha256)
    }
}

/// Reads a file of certificates or keys.
///
/// # Errors
///
/// That it cannot be read, and why.
pub fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Adds certificate, chain and key, and names the type of the key.
pub(super) fn use_identity(
    context: &mut SslContextBuilder,
    identity: &Identity,
) -> Result<&'static str, ContextError> {
    let (certificate, intermediates) =
        certificates("certificate chain", &identity.certificate_chain_pem)?;
    let key = key::parse(&identity.key)?;
    let key_type = key_type(&key)?;
    if !certificate.public_key()?.public_eq(&key) {
        return Err(ContextError::KeyMismatch);
    }
    context.set_certificate(&certificate)?;
    context.set_private_key(&key)?;
    for intermediate in intermediates {
        ffi::add_chain_certificate(context, &intermediate)?;
    }
    Ok(key_type)
}

fn key_type(key: &PKey<Private>) -> Result<&'static str, ContextError> {
    match key.id() {
        Id::EC => Ok("ECDSA"),
        Id::RSA => Ok("RSA"),
        _ => Err(ContextError::KeyType),
    }
}

/// Reads at least one certificate from `pem`: the first and the others.
fn certificates(what: &'static str, pem: &[u8]) -> Result<(X509, Vec<X509>), ContextError> {
    let all = X509::stack_from_pem(pem);
    let mut all = all.map_err(|error| ContextError::BrokenCertificate(what, error))?.into_iter();
    let first = all.next().ok_or(ContextError::NoCertificate(what))?;
    Ok((first, all.collect()))
}

/// Reads certificates to trust; there is at least one.
pub(super) fn authorities(pem: &[u8]) -> Result<Vec<X509>, ContextError> {
    let (first, mut all) = certificates("CA certificates", pem)?;
    all.push(first);
    Ok(all)
}

/// What verifies against these authorities and no other.
pub(super) fn store(authorities: &[X509]) -> Result<X509Store, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    for authority in authorities {
        store.add_cert(authority.clone())?;
    }
    Ok(store.build())
}

/// What a server tells its clients to choose their certificate by.
pub(super) fn subjects(authorities: &[X509]) -> Result<Stack<X509Name>, ErrorStack> {
    let mut subjects = Stack::new()?;
    for authority in authorities {
        subjects.push(authority.subject_name().to_owned()?)?;
    }
    Ok(subjects)
}
