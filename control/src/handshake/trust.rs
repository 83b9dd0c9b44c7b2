//! Whom we believe: certificates of authorities, and their lists of revoked certificates
//! (RFC 5280 §5).

use std::collections::HashMap;

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Crl, X509CrlRef, X509Name, X509NameRef};
use ring::digest::{SHA256, digest};
use thiserror::Error;
use xdtls_proto::policy::{RevocationList, RevocationLists};

use super::context::ContextError;
use super::{credentials, ffi};

/// Why a list of revoked certificates cannot be used.
#[derive(Debug, Error)]
pub enum CrlError {
    /// Neither PEM nor DER.
    #[error("it holds no CRL in PEM or DER: {0}")]
    Unreadable(ErrorStack),
    /// It does not say until when it may be believed.
    #[error("the CRL of {0} has no date of the next update")]
    NoNextUpdate(String),
    /// There should be a newer one by now.
    #[error("the CRL of {0} has expired on {1}: fetch the current one")]
    Expired(String, String),
    /// It was signed by somebody else of that name, or changed.
    #[error("the CRL of {0} was not signed by the CA of that name")]
    Signature(String),
}

/// Authorities to believe, and what they have revoked.
pub struct Trust {
    authorities: Vec<X509>,
    crls: Vec<X509Crl>,
}

impl Trust {
    /// Certificates to trust, in PEM; at least one.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn new(authorities_pem: &[u8]) -> Result<Self, ContextError> {
        let (first, mut authorities) =
            credentials::certificates("CA certificates", authorities_pem)?;
        authorities.insert(0, first);
        Ok(Self { authorities, crls: Vec::new() })
    }

    /// Adds what a file of revoked certificates holds, PEM or DER, seen at `now_s`, in seconds since
    /// 1970. From the first on, every certificate of a chain has to be in good standing by a current
    /// list of its issuer.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub fn add_crls(&mut self, file: &[u8], now_s: i64) -> Result<(), CrlError> {
        let crls = parse_crls(file)?;
        crls.iter().try_for_each(|crl| self.judge(crl, now_s))?;
        self.crls.extend(crls);
        Ok(())
    }

    fn judge(&self, crl: &X509CrlRef, now_s: i64) -> Result<(), CrlError> {
        let issuer = || words(crl.issuer_name());
        let next = crl.next_update().ok_or_else(|| CrlError::NoNextUpdate(issuer()))?;
        if unix_s(next).is_none_or(|next_s| next_s <= now_s) {
            return Err(CrlError::Expired(issuer(), next.to_string()));
        }
        // That of an intermediate authority, which only clients send, is verified in the handshake.
        let mut of_that_name = self.authorities.iter().filter(|it| issued(it, crl)).peekable();
        let verifies = |it: &X509| it.public_key().and_then(|key| crl.verify(&key));
        if of_that_name.peek().is_some() && !of_that_name.any(|it| verifies(it).unwrap_or(false)) {
            return Err(CrlError::Signature(issuer()));
        }
        Ok(())
    }

    /// What verifies against these authorities and no other, and asks the lists if there are any.
    pub(super) fn store(&self) -> Result<X509Store, ErrorStack> {
        let mut store = X509StoreBuilder::new()?;
        for authority in &self.authorities {
            store.add_cert(authority.clone())?;
        }
        for crl in &self.crls {
            ffi::add_crl(&mut store, crl)?;
        }
        if !self.crls.is_empty() {
            store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
        }
        Ok(store.build())
    }

    /// What a server tells its clients to choose their certificate by.
    pub(super) fn subjects(&self) -> Result<Stack<X509Name>, ErrorStack> {
        let mut subjects = Stack::new()?;
        for authority in &self.authorities {
            subjects.push(authority.subject_name().to_owned()?)?;
        }
        Ok(subjects)
    }

    /// The lists, for those whose handshake is over. `None` without any.
    ///
    /// # Errors
    ///
    /// If memory runs out.
    pub fn revocation_lists(&self) -> Result<Option<RevocationLists>, ErrorStack> {
        let mut newest: HashMap<[u8; 32], &X509CrlRef> = HashMap::new();
        for crl in &self.crls {
            let known = newest.entry(name_sha256(crl.issuer_name())?).or_insert(crl);
            if known.last_update() < crl.last_update() {
                *known = crl;
            }
        }
        let list = |(issuer, crl): (_, &X509CrlRef)| Ok((issuer, list_of(crl)?));
        let lists = newest.into_iter().map(list).collect::<Result<_, ErrorStack>>()?;
        Ok((!self.crls.is_empty()).then_some(lists))
    }

    /// Authorities for which there is no list though there are some: nobody whom they vouch for can
    /// be admitted.
    #[must_use]
    pub fn without_list(&self) -> Vec<String> {
        let lacks = |authority: &&X509| !self.crls.iter().any(|crl| issued(authority, crl));
        let lacking = self.authorities.iter().filter(lacks);
        let names = lacking.map(|authority| words(authority.subject_name()));
        if self.crls.is_empty() { Vec::new() } else { names.collect() }
    }

    /// The lists: whose each is, and how many seconds after `now_s` it expires.
    #[must_use]
    pub fn seconds_left(&self, now_s: i64) -> Vec<(String, i64)> {
        let left = |crl: &X509Crl| {
            let end_s = crl.next_update().and_then(unix_s)?;
            Some((words(crl.issuer_name()), end_s - now_s))
        };
        self.crls.iter().filter_map(left).collect()
    }
}

/// SHA-256 of the SubjectPublicKeyInfo of each certificate in `pem`.
///
/// # Errors
///
/// What is wrong with them.
pub fn authority_keys(pem: &[u8]) -> Result<Vec<[u8; 32]>, ContextError> {
    let trust = Trust::new(pem)?;
    let keys = trust.authorities.iter().map(spki_sha256).collect::<Result<_, _>>()?;
    Ok(keys)
}

/// OpenSSL 3.0 looks its implementation up by name each time.
fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo.
pub(super) fn spki_sha256(certificate: &X509) -> Result<[u8; 32], ErrorStack> {
    Ok(sha256(&ffi::public_key_info(certificate)?))
}

/// SHA-256 of a name in DER.
pub(super) fn name_sha256(name: &X509NameRef) -> Result<[u8; 32], ErrorStack> {
    Ok(sha256(&name.to_der()?))
}

/// Seconds since 1970.
pub(super) fn unix_s(time: &Asn1TimeRef) -> Option<i64> {
    let since = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    Some(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

fn issued(authority: &X509, crl: &X509CrlRef) -> bool {
    let (subject, issuer) = (authority.subject_name(), crl.issuer_name());
    subject.try_cmp(issuer).is_ok_and(std::cmp::Ordering::is_eq)
}

fn list_of(crl: &X509CrlRef) -> Result<RevocationList, ErrorStack> {
    let revoked = crl.get_revoked().into_iter().flatten();
    let serials = revoked.map(|entry| Ok(entry.serial_number().to_bn()?.to_vec()));
    Ok(RevocationList {
        next_update_s: crl.next_update().and_then(unix_s).unwrap_or(0),
        serials: serials.collect::<Result<_, ErrorStack>>()?,
    })
}

/// Reads one list in DER, or any number in PEM but none.
fn parse_crls(file: &[u8]) -> Result<Vec<X509Crl>, CrlError> {
    const BEGIN: &str = "-----BEGIN X509 CRL-----";
    let text = String::from_utf8_lossy(file);
    if !text.contains(BEGIN) {
        return Ok(vec![X509Crl::from_der(file).map_err(CrlError::Unreadable)?]);
    }
    let blocks = text.split(BEGIN).skip(1).map(|rest| format!("{BEGIN}{rest}"));
    let read = |block: String| X509Crl::from_pem(block.as_bytes()).map_err(CrlError::Unreadable);
    blocks.map(read).collect()
}

/// A name as people write it: `CN=authority, O=example`.
pub(crate) fn words(name: &X509NameRef) -> String {
    let parts = name.entries().map(|entry| {
        let key = entry.object().nid().short_name().unwrap_or("?").to_owned();
        let value = entry.data().to_string().map_or_else(|_| "?".to_owned(), |it| it.to_string());
        format!("{key}={value}")
    });
    parts.collect::<Vec<_>>().join(", ")
}
