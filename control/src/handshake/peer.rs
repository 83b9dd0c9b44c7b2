//! Who the peer has proved to be, once its handshake is complete.

use std::net::IpAddr;

use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::ssl::SslRef;
use openssl::stack::Stack;
use openssl::x509::{GeneralNameRef, X509, X509Ref, X509StoreContext};
use xdtls_proto::engine::{CertificateId, PeerIdentity};
use xdtls_proto::failure::Failure;
use xdtls_proto::failure::FailureClass::Authentication;

use super::engine::words;
use super::trust::{name_sha256, spki_sha256, unix_s};

/// The holder of a pre-shared key.
pub(super) fn holder_of_psk(ssl: &SslRef) -> Result<PeerIdentity, Failure> {
    let identity = ssl.psk_identity().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let identity = identity.ok_or_else(|| Authentication.because("there is no PSK identity"))?;
    Ok(PeerIdentity { psk: Some(identity.to_owned()), ..PeerIdentity::default() })
}

/// The holder of a certificate, which has been verified.
pub(super) fn holder_of_certificate(ssl: &SslRef) -> Result<PeerIdentity, Failure> {
    let leaf = ssl
        .peer_certificate()
        .ok_or_else(|| Authentication.because("the peer has shown no certificate"))?;
    let chain = match ssl.verified_chain() {
        Some(chain) => chain.iter().map(X509Ref::to_owned).collect(),
        None => verified_again(ssl, &leaf)?,
    };
    identity_of(&leaf, &chain).map_err(|errors| Authentication.because(words(&errors)))
}

/// The chain of a resumed session, which remembers certificates and not what they led to.
fn verified_again(ssl: &SslRef, leaf: &X509) -> Result<Vec<X509>, Failure> {
    let verify = || -> Result<_, ErrorStack> {
        let none = Stack::new()?;
        let untrusted = ssl.peer_cert_chain().unwrap_or(&none);
        let store = ssl.ssl_context().cert_store();
        X509StoreContext::new()?.init(store, leaf, untrusted, |context| {
            let good = context.verify_cert()?;
            let chain = context.chain().into_iter().flatten().map(X509Ref::to_owned).collect();
            Ok(if good { Ok(chain) } else { Err(context.error()) })
        })
    };
    let verified = verify().map_err(|errors| Authentication.because(words(&errors)))?;
    verified.map_err(|why| {
        let reason = format!("the session's certificate does not verify any more ({why})");
        Authentication.because(reason)
    })
}

fn identity_of(leaf: &X509, chain: &[X509]) -> Result<PeerIdentity, ErrorStack> {
    let alternatives = leaf.subject_alt_names();
    let all = |text: fn(&GeneralNameRef) -> Option<&str>| {
        let names = alternatives.iter().flatten().filter_map(text).map(str::to_owned);
        names.filter(|name| is_printable(name)).collect::<Vec<_>>()
    };
    Ok(PeerIdentity {
        names: names_of(leaf),
        uris: all(GeneralNameRef::uri),
        emails: all(GeneralNameRef::email),
        addresses: alternatives.iter().flatten().filter_map(address).collect(),
        spki_sha256: spki_sha256(leaf)?,
        chain: chain.iter().map(|it| id_of(it)).collect::<Result<_, _>>()?,
        authorities: chain.iter().skip(1).map(spki_sha256).collect::<Result<_, _>>()?,
        expires_s: chain.iter().filter_map(|it| unix_s(it.not_after())).min(),
        psk: None,
    })
}

fn id_of(certificate: &X509Ref) -> Result<CertificateId, ErrorStack> {
    let issuer_sha256 = name_sha256(certificate.issuer_name())?;
    Ok(CertificateId { issuer_sha256, serial: certificate.serial_number().to_bn()?.to_vec() })
}

fn address(name: &GeneralNameRef) -> Option<IpAddr> {
    let bytes = name.ipaddress()?;
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Names go into logs and status lines, so none with control characters counts.
fn is_printable(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(char::is_control)
}

/// DNS names, or the common name where there are none.
pub(crate) fn names_of(certificate: &X509Ref) -> Vec<String> {
    let alternatives = certificate.subject_alt_names();
    let dns = alternatives.iter().flatten().filter_map(|name| name.dnsname().map(str::to_owned));
    let names: Vec<_> = dns.filter(|name| is_printable(name)).collect();
    if !names.is_empty() {
        return names;
    }
    let common_names = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let text = common_names.filter_map(|entry| entry.data().to_string().ok());
    text.filter(|name| is_printable(name)).collect()
}
