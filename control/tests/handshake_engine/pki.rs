//! Certificates made on the spot.

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use xdtls::handshake::Identity;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyType {
    Ecdsa,
    Rsa,
}

impl KeyType {
    pub(crate) fn generate(self) -> PKey<Private> {
        match self {
            Self::Ecdsa => {
                let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
                PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
            }
            Self::Rsa => PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Usage {
    Client,
    Server,
}

/// A certificate with its key, before it becomes an [`Identity`].
pub(crate) struct Leaf {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

impl Leaf {
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            certificate_chain_pem: self.certificate.to_pem().unwrap(),
            key: self.key.private_key_to_pkcs8().unwrap().into(),
            ..Identity::default()
        }
    }
}

/// A certificate authority.
pub(crate) struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyType::Ecdsa.generate();
        let mut builder = builder(name, &key);
        builder.set_issuer_name(&subject(name).build()).unwrap();
        builder.append_extension(authority_constraint()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self { certificate: builder.build(), key }
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    /// Issues an authority below this one.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let key = KeyType::Ecdsa.generate();
        let mut builder = builder(name, &key);
        builder.append_extension(authority_constraint()).unwrap();
        Self { certificate: self.sign(builder), key }
    }

    /// Issues a certificate whose common name is `names[0]`; the others become DNS names, or IP
    /// addresses where they are such.
    pub(crate) fn issue(&self, names: &[&str], key_type: KeyType, usage: Usage) -> Leaf {
        let key = key_type.generate();
        let mut builder = builder(names[0], &key);
        let mut extended_usage = ExtendedKeyUsage::new();
        match usage {
            Usage::Client => extended_usage.client_auth(),
            Usage::Server => extended_usage.server_auth(),
        };
        builder.append_extension(extended_usage.build().unwrap()).unwrap();
        let mut alternatives = SubjectAlternativeName::new();
        for name in &names[1..] {
            match name.parse::<std::net::IpAddr>() {
                Ok(_) => alternatives.ip(name),
                Err(_) => alternatives.dns(name),
            };
        }
        if names.len() > 1 {
            let issuer = builder.x509v3_context(Some(&self.certificate), None);
            let alternatives = alternatives.build(&issuer).unwrap();
            builder.append_extension(alternatives).unwrap();
        }
        Leaf { certificate: self.sign(builder), key }
    }

    fn sign(&self, mut builder: X509Builder) -> X509 {
        builder.set_issuer_name(self.certificate.subject_name()).unwrap();
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        builder.build()
    }
}

fn authority_constraint() -> openssl::x509::X509Extension {
    BasicConstraints::new().critical().ca().build().unwrap()
}

fn subject(name: &str) -> X509NameBuilder {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    subject
}

fn builder(name: &str, key: &PKey<Private>) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    let serial = BigNum::from_slice(&openssl::sha::sha1(name.as_bytes())[..8]).unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject(name).build()).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    builder.set_pubkey(key).unwrap();
    builder
}
