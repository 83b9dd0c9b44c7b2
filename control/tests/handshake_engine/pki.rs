//! Certificates made on the spot.

use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, CrlNumber, ExtendedKeyUsage, SubjectAlternativeName,
};
use openssl::x509::{
    X509, X509Builder, X509Crl, X509CrlBuilder, X509NameBuilder, X509RevokedBuilder,
};
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

    pub(crate) fn certificate(&self) -> &X509 {
        &self.certificate
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

    /// A list of revoked certificates, which is good from `days[0]` to `days[1]`, counted from now.
    pub(crate) fn crl(&self, revoked: &[&Leaf], days: [i64; 2]) -> X509Crl {
        const DAY_S: i64 = 24 * 3600;
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        let [from, to] = days.map(|day| Asn1Time::from_unix(now_s + day * DAY_S).unwrap());
        let mut crl = X509CrlBuilder::new().unwrap();
        crl.set_issuer_name(self.certificate.subject_name()).unwrap();
        crl.set_last_update(&from).unwrap();
        crl.set_next_update(&to).unwrap();
        let somebody = BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap();
        let serials = revoked.iter().map(|leaf| leaf.certificate.serial_number());
        for serial in serials.chain([&*somebody]) {
            let mut entry = X509RevokedBuilder::new().unwrap();
            entry.set_serial_number(serial).unwrap();
            entry.set_revocation_date(&from).unwrap();
            crl.add_revoked(entry.build()).unwrap();
        }
        let any = X509::builder().unwrap();
        let issuer = any.x509v3_context(Some(&self.certificate), None);
        let identifier = AuthorityKeyIdentifier::new().issuer(true).build(&issuer).unwrap();
        crl.append_extension(identifier).unwrap();
        let number = CrlNumber::new(BigNum::from_u32(1).unwrap()).unwrap();
        crl.append_extension(number.build().unwrap()).unwrap();
        crl.sign(&self.key, MessageDigest::sha256()).unwrap();
        crl.build().unwrap()
    }

    /// Issues a certificate whose common name is `names[0]`; the others become alternative names of
    /// the kind that they look like.
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
            match name {
                name if name.parse::<std::net::IpAddr>().is_ok() => alternatives.ip(name),
                name if name.contains("://") => alternatives.uri(name),
                name if name.contains('@') => alternatives.email(name),
                name => alternatives.dns(name),
            };
        }
        if names.len() > 1 {
            let issuer = builder.x509v3_context(Some(&self.certificate), None);
            let alternatives = alternatives.build(&issuer).unwrap();
            builder.append_extension(alternatives).unwrap();
        }
        Leaf { certificate: self.sign(builder), key }
    }

    /// The authority's own certificate, to be revoked.
    pub(crate) fn as_leaf(&self) -> Leaf {
        Leaf { certificate: self.certificate.clone(), key: self.key.clone() }
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
