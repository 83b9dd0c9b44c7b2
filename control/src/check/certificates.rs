//! Judges the certificates and keys that the gateway shows, each by itself, and dates of all.

use std::path::Path;

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::x509::{X509, X509Ref, X509VerifyResult};

use super::facts::{Facts, IdentityFiles, Secret};
use crate::config::{self, Config};
use crate::finding::Findings;
use crate::handshake::words;

/// Certificates that end sooner than this are worth a warning, in days.
const SOON_DAYS: i32 = 14;

/// Permissions of a secret that go too far: any of the world's, and writing by the group. That the
/// group may read is how a service's own user gets at it.
const TOO_OPEN: u32 = 0o027;

pub(super) fn judge(config: &Config, facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    for (identity, files) in config.identities.iter().zip(&facts.identities) {
        judge_identity(identity, files, facts.now_s, &mut findings);
    }
    findings
}

fn judge_identity(
    identity: &config::Identity,
    files: &IdentityFiles,
    now_s: i64,
    findings: &mut Findings,
) {
    let certificate = match (&files.certificate, &files.key.content) {
        (Ok(certificate), Ok(_)) => certificate,
        (Err(error), _) => {
            return unreadable("identity", &identity.certificate, error, findings);
        }
        (_, Err(error)) => return unreadable("identity", &identity.key, error, findings),
    };
    judge_chain("identity", &identity.certificate, certificate, now_s, findings);
    let chain = X509::stack_from_pem(certificate).unwrap_or_default();
    judge_leaf(&identity.certificate, &chain, findings);
    judge_secret("identity", &identity.key, &files.key, findings);
    if let (Some(path), Some(passphrase)) = (&identity.key_passphrase_file, &files.passphrase) {
        judge_secret("identity", path, passphrase, findings);
        if let Err(error) = &passphrase.content {
            return unreadable("identity", path, error, findings);
        }
    }
    let (name, Some(own)) = (identity.key.display(), files.loaded(identity)) else { return };
    // The gateway's own constructor judges whether key and certificate belong together.
    match own.verify() {
        _ if chain.is_empty() => {}
        Ok(()) => findings.ok("identity", format!("{name} is the certificate's key")),
        Err(error) => findings.problem(
            "identity",
            format!("{name}: {error}"),
            "give the certificate and the key that were made together, and the key's passphrase if \
             it has one",
        ),
    }
}

/// Whether others may read or change a file that only we should.
pub(super) fn judge_secret(subject: &str, path: &Path, secret: &Secret, findings: &mut Findings) {
    if secret.mode & TOO_OPEN != 0 {
        let (name, mode) = (path.display(), secret.mode & 0o777);
        let seen = format!("{name} may be read or changed by others (mode {mode:04o})");
        findings.warning(subject, seen, format!("chmod 600 {name}"));
    }
}

pub(super) fn unreadable(subject: &str, path: &Path, error: &str, findings: &mut Findings) {
    let seen = format!("{} cannot be read: {error}", path.display());
    findings.problem(subject, seen, "correct the path or the file's permissions");
}

/// Judges what a file of certificates holds, and the dates of each.
pub(super) fn judge_chain(
    subject: &str,
    path: &Path,
    pem: &[u8],
    now_s: i64,
    findings: &mut Findings,
) {
    let path = path.display();
    match X509::stack_from_pem(pem) {
        Ok(all) if all.is_empty() => {
            let seen = format!("{path} holds no certificate");
            findings.problem(subject, seen, "give a file of certificates in PEM");
        }
        Ok(all) => {
            for certificate in &all {
                judge_dates(subject, &path.to_string(), certificate, now_s, findings);
            }
        }
        Err(error) => {
            let seen = format!("{path} holds a broken certificate: {error}");
            findings.problem(subject, seen, "give a file of certificates in PEM");
        }
    }
}

fn judge_dates(
    subject: &str,
    path: &str,
    certificate: &X509Ref,
    now_s: i64,
    findings: &mut Findings,
) {
    let name = subject_of(certificate);
    let (from, to) = (certificate.not_before(), certificate.not_after());
    let (Some(until_begin), Some(until_end)) = (days(now_s, from), days(now_s, to)) else {
        let seen = format!("{path}: the dates of {name} cannot be read");
        return findings.problem(subject, seen, "have it issued again");
    };
    if until_begin.is_future() {
        let seen = format!("{path}: {name} is not valid before {from}");
        findings.problem(subject, seen, "set the clock right, or have it issued again");
    } else if !until_end.is_future() {
        let seen = format!("{path}: {name} has expired on {to}");
        findings.problem(subject, seen, "renew it");
    } else if until_end.days < SOON_DAYS {
        let seen = format!("{path}: {name} expires on {to}, in {} days", until_end.days);
        findings.warning(subject, seen, "renew it");
    } else {
        findings.ok(subject, format!("{path}: {name} is valid until {to}"));
    }
}

/// A point in time as seen from now.
struct Distance {
    days: i32,
    seconds: i32,
}

impl Distance {
    fn is_future(&self) -> bool {
        self.days > 0 || self.seconds > 0
    }
}

fn days(now_s: i64, to: &Asn1TimeRef) -> Option<Distance> {
    let now = Asn1Time::from_unix(now_s).ok()?;
    let difference = now.diff(to).ok()?;
    Some(Distance { days: difference.days, seconds: difference.secs })
}

fn judge_leaf(path: &Path, chain: &[X509], findings: &mut Findings) {
    let Some(leaf) = chain.first() else { return };
    let path = path.display();
    if leaf.subject_alt_names().is_none() {
        findings.warning(
            "identity",
            format!("{path}: {} has no subject alternative name", subject_of(leaf)),
            "have it issued with the DNS name that clients expect; many look at nothing else",
        );
    }
    for pair in chain.windows(2) {
        let [certificate, issuer] = pair else { continue };
        if issuer.issued(certificate) != X509VerifyResult::OK {
            let (certificate, issuer) = (subject_of(certificate), subject_of(issuer));
            findings.problem(
                "identity",
                format!("{path}: {issuer} did not issue {certificate}, which stands before it"),
                "put the leaf first, then the certificate of its issuer, and so on",
            );
        }
    }
}

/// `CN=gateway`, or whatever else the subject is made of.
fn subject_of(certificate: &X509Ref) -> String {
    let words = words(certificate.subject_name());
    if words.is_empty() { "a certificate without subject".to_owned() } else { words }
}
