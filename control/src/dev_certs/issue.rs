//! Keys and X.509 certificates (RFC 5280).

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name, X509NameRef};

use super::KeyType;

/// The CA outlives the certificates of the first run, so that later ones can reuse it.
const AUTHORITY_DAYS_MIN: u32 = 365;
const RSA_BITS: u32 = 2048;
/// Positive, and within the 20 bytes that RFC 5280, section 4.1.2.2 allows.
const SERIAL_BITS: i32 = 159;

/// What a leaf certificate is for.
#[derive(Clone, Copy)]
pub(super) enum Role {
    Gateway,
    Client,
    /// Opens associations and answers them.
    Peer,
}

/// A CA certificate and its key.
pub(super) struct Authority {
    pub(super) certificate: X509,
    pub(super) key: PKey<Private>,
}

impl Authority {
    /// A new CA that signs leaves only.
    pub(super) fn new(leaf_days: u32) -> Result<Self, ErrorStack> {
        let key = generate(KeyType::Ecdsa)?;
        let name = common_name("xdtls development CA")?;
        let mut builder = builder(&name, &name, &key, leaf_days.max(AUTHORITY_DAYS_MIN))?;
        builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
        builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
        let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
        builder.append_extension(identifier)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self { certificate: builder.build(), key })
    }

    pub(super) fn load(certificate: &[u8], key: &[u8]) -> Result<Self, ErrorStack> {
        // With a passphrase at hand, if a wrong one, OpenSSL does not ask the terminal for it.
        let key = PKey::private_key_from_pem_passphrase(key, b"")?;
        Ok(Self { certificate: X509::from_pem(certificate)?, key })
    }

    /// Why this CA could not sign anything useful.
    pub(super) fn fault(&self) -> Result<Option<&'static str>, ErrorStack> {
        if !self.certificate.public_key()?.public_eq(&self.key) {
            return Ok(Some("the certificate does not belong to ca.key"));
        }
        let now = Asn1Time::days_from_now(0)?;
        Ok((self.certificate.not_after() <= now).then_some("the certificate has expired"))
    }

    /// A leaf certificate with a key of its own.
    pub(super) fn issue(
        &self,
        name: &str,
        role: Role,
        key_type: KeyType,
        days: u32,
    ) -> Result<(X509, PKey<Private>), ErrorStack> {
        let key = generate(key_type)?;
        let issuer = self.certificate.subject_name();
        let subject = common_name(name)?;
        let mut builder = builder(&subject, issuer, &key, days)?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        // All suites are ECDHE: even an RSA key only signs.
        builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
        let mut usage = ExtendedKeyUsage::new();
        let mut names = SubjectAlternativeName::new();
        names.dns(name);
        match role {
            Role::Gateway => {
                usage.server_auth();
                names.dns("localhost").ip("127.0.0.1").ip("::1");
            }
            Role::Client => {
                usage.client_auth();
            }
            Role::Peer => {
                usage.server_auth().client_auth();
            }
        }
        builder.append_extension(usage.build()?)?;
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let extensions = [
            names.build(&context)?,
            SubjectKeyIdentifier::new().build(&context)?,
            AuthorityKeyIdentifier::new().keyid(true).build(&context)?,
        ];
        for extension in extensions {
            builder.append_extension(extension)?;
        }
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok((builder.build(), key))
    }
}

fn generate(key_type: KeyType) -> Result<PKey<Private>, ErrorStack> {
    match key_type {
        KeyType::Ecdsa => {
            let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
            PKey::from_ec_key(EcKey::generate(&group)?)
        }
        KeyType::Rsa => PKey::from_rsa(Rsa::generate(RSA_BITS)?),
    }
}

fn common_name(name: &str) -> Result<X509Name, ErrorStack> {
    let mut builder = X509Name::builder()?;
    builder.append_entry_by_nid(Nid::COMMONNAME, name)?;
    Ok(builder.build())
}

/// What all certificates have: version 3, a random serial number, names, key and validity.
fn builder(
    subject: &X509NameRef,
    issuer: &X509NameRef,
    key: &PKey<Private>,
    days: u32,
) -> Result<X509Builder, ErrorStack> {
    const VERSION_3: i32 = 2;
    let mut serial = BigNum::new()?;
    serial.rand(SERIAL_BITS, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509::builder()?;
    builder.set_version(VERSION_3)?;
    let serial = serial.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_pubkey(key)?;
    let (not_before, not_after) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(days)?);
    builder.set_not_before(&not_before)?;
    builder.set_not_after(&not_after)?;
    Ok(builder)
}
