//! Certificates and keys, from plain bytes into OpenSSL's forms.

use std::fs;
use std::path::Path;

use anyhow::Context;
use openssl::pkey::{Id, PKey, Private};
use openssl::ssl::SslContextBuilder;
use openssl::stack::Stack;
use openssl::x509::X509;
use xdtls_proto::name_pattern::NamePattern;
use zeroize::Zeroizing;

use super::context::ContextError;
use super::trust::spki_sha256;
use super::{ffi, key, peer};

/// A certificate with its key.
#[derive(Default)]
pub struct Identity {
    /// The certificate itself, then the intermediates up to, not including, the root. PEM.
    pub certificate_chain_pem: Vec<u8>,
    /// The private key: PEM or DER, in PKCS#8, SEC1 or PKCS#1, perhaps encrypted.
    pub key: Zeroizing<Vec<u8>>,
    /// What the key is encrypted with.
    pub passphrase: Option<Zeroizing<Vec<u8>>>,
    /// The names under which a server shows it; those of the certificate where there are none.
    pub server_names: Vec<NamePattern>,
}

impl Identity {
    /// Reads the files: certificate, key and, if the key is encrypted, its passphrase.
    ///
    /// # Errors
    ///
    /// Which of them cannot be read or used, and why.
    pub fn read(certificate: &Path, key: &Path, passphrase: Option<&Path>) -> anyhow::Result<Self> {
        let identity = Self {
            certificate_chain_pem: read_file(certificate)?,
            key: Zeroizing::new(read_file(key)?),
            passphrase: passphrase.map(read_passphrase).transpose()?,
            server_names: Vec::new(),
        };
        identity.verify().with_context(|| certificate.display().to_string())?;
        Ok(identity)
    }

    /// Whether it can be used by itself.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn verify(&self) -> Result<(), ContextError> {
        Loaded::new(self).map(drop)
    }

    /// SHA-256 of the certificate's SubjectPublicKeyInfo.
    ///
    /// # Errors
    ///
    /// When there is no certificate that can be read.
    pub fn key_sha256(&self) -> Result<[u8; 32], ContextError> {
        let (certificate, _) = certificates("certificate chain", &self.certificate_chain_pem)?;
        Ok(spki_sha256(&certificate)?)
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

/// Reads a passphrase: the first line of its file.
fn read_passphrase(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let text = Zeroizing::new(read_file(path)?);
    Ok(first_line(&text))
}

/// A file's first line, without its end.
pub(crate) fn first_line(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Zeroizing::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

/// What a key signs with. A TLS object has room for one certificate of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// ECDSA.
    Ecdsa,
    /// RSA.
    Rsa,
}

impl KeyType {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ecdsa, Self::Rsa];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ecdsa => "ECDSA",
            Self::Rsa => "RSA",
        }
    }

    fn of(key: &PKey<Private>) -> Result<Self, ContextError> {
        match key.id() {
            Id::EC => Ok(Self::Ecdsa),
            Id::RSA => Ok(Self::Rsa),
            _ => Err(ContextError::KeyType),
        }
    }
}

/// An identity that OpenSSL can use.
pub(crate) struct Loaded {
    pub(super) certificate: X509,
    pub(super) intermediates: Stack<X509>,
    pub(super) key: PKey<Private>,
    pub(crate) key_type: KeyType,
    /// The names under which a server shows it.
    pub(crate) server_names: Vec<NamePattern>,
}

impl Loaded {
    /// Reads certificate and key, which have to belong together.
    pub(crate) fn new(identity: &Identity) -> Result<Self, ContextError> {
        let (certificate, others) =
            certificates("certificate chain", &identity.certificate_chain_pem)?;
        let passphrase = identity.passphrase.as_ref().map(|it| it.as_slice());
        let key = key::parse(&identity.key, passphrase)?;
        let key_type = KeyType::of(&key)?;
        if !certificate.public_key()?.public_eq(&key) {
            return Err(ContextError::KeyMismatch);
        }
        let mut intermediates = Stack::new()?;
        for other in others {
            intermediates.push(other)?;
        }
        let server_names = match identity.server_names.as_slice() {
            [] => own_names(&certificate),
            names => names.to_vec(),
        };
        Ok(Self { certificate, intermediates, key, key_type, server_names })
    }

    /// Shows it in all handshakes of a context.
    pub(super) fn install(&self, context: &mut SslContextBuilder) -> Result<(), ContextError> {
        context.set_certificate(&self.certificate)?;
        context.set_private_key(&self.key)?;
        for intermediate in &self.intermediates {
            ffi::add_chain_certificate(context, intermediate)?;
        }
        Ok(())
    }
}

/// The names of a certificate. Wildcards are whole labels (RFC 6125 §6.4.3); others are not used.
fn own_names(certificate: &X509) -> Vec<NamePattern> {
    peer::names_of(certificate).iter().filter_map(|name| name.parse().ok()).collect()
}

/// Reads at least one certificate from `pem`: the first and the others.
pub(super) fn certificates(
    what: &'static str,
    pem: &[u8],
) -> Result<(X509, Vec<X509>), ContextError> {
    let all = X509::stack_from_pem(pem);
    let mut all = all.map_err(|error| ContextError::BrokenCertificate(what, error))?.into_iter();
    let first = all.next().ok_or(ContextError::NoCertificate(what))?;
    Ok((first, all.collect()))
}
