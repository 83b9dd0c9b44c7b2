//! Who the peer's certificate says that it is.

use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::sha::sha256;
use openssl::x509::X509Ref;
use xdtls_proto::engine::PeerIdentity;

/// Reads a certificate that has been verified.
pub(super) fn identity_of(certificate: &X509Ref) -> Result<PeerIdentity, ErrorStack> {
    let spki = certificate.public_key()?.public_key_to_der()?;
    Ok(PeerIdentity { names: names_of(certificate), spki_sha256: sha256(&spki) })
}

/// DNS names, or the common name where there are none. Names go into logs and status lines, so
/// none with control characters counts.
fn names_of(certificate: &X509Ref) -> Vec<String> {
    let printable = |name: &String| !name.is_empty() && !name.chars().any(char::is_control);
    let alternatives = certificate.subject_alt_names();
    let dns = alternatives.iter().flatten().filter_map(|name| name.dnsname().map(str::to_owned));
    let names: Vec<_> = dns.filter(printable).collect();
    if !names.is_empty() {
        return names;
    }
    let common_names = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let text = common_names.filter_map(|entry| entry.data().to_string().ok());
    text.filter(printable).collect()
}
