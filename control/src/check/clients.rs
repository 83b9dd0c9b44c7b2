//! Judges by what clients are told from others: authorities, lists of revoked certificates,
//! pre-shared keys.

use std::path::Path;

use super::certificates::{judge_chain, judge_secret, unreadable};
use super::facts::{Facts, Secret};
use crate::config::{Config, RulePeer};
use crate::finding::{Findings, Severity};
use crate::handshake::{PskTable, Trust};

/// Lists that end sooner than this are worth a warning, in hours.
const SOON_HOURS: i64 = 48;

pub(super) fn judge(config: &Config, facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    let clients = &config.clients;
    match (&clients.ca, &facts.ca) {
        (Some(path), Some(Ok(pem))) => {
            judge_chain("clients.ca", path, pem, facts.now_s, &mut findings);
            judge_crls(config, facts, pem, &mut findings);
        }
        (Some(path), Some(Err(error))) => unreadable("clients.ca", path, error, &mut findings),
        _ => {}
    }
    if let (Some(path), Some(psk)) = (&clients.psk_file, &facts.psk) {
        judge_psk(path, psk, &mut findings);
    }
    if clients.allow_no_forward_secrecy {
        let subject = "clients.allow_no_forward_secrecy";
        if clients.psk_file.is_some() {
            findings.warning(
                subject,
                "whoever learns a pre-shared key can read what was said with it before",
                "remove it unless there are clients without ECDHE",
            );
        } else {
            findings.warning(
                subject,
                "it is about pre-shared keys, and there are none",
                "remove it",
            );
        }
    }
    let authorities = config.rules.iter().filter_map(|rule| match &rule.peer {
        RulePeer::Authority(path) => Some(path),
        RulePeer::Pattern(_) => None,
    });
    for (path, file) in authorities.zip(&facts.rule_authorities) {
        match file {
            Ok(pem) => judge_chain("rule.ca", path, pem, facts.now_s, &mut findings),
            Err(error) => unreadable("rule.ca", path, error, &mut findings),
        }
    }
    findings
}

fn judge_crls(config: &Config, facts: &Facts, ca_pem: &[u8], findings: &mut Findings) {
    const SUBJECT: &str = "clients.crl";
    let Ok(mut trust) = Trust::new(ca_pem) else { return };
    let before = findings.list().len();
    for (path, file) in config.clients.crl.iter().zip(&facts.crls) {
        match file {
            Err(error) => unreadable(SUBJECT, path, error, findings),
            Ok(bytes) => {
                if let Err(error) = trust.add_crls(bytes, facts.now_s) {
                    let seen = format!("{}: {error}", path.display());
                    findings.problem(SUBJECT, seen, "fetch the CA's current CRL, in PEM or DER");
                }
            }
        }
    }
    for (issuer, seconds) in trust.seconds_left(facts.now_s) {
        let hours = seconds / 3600;
        if hours < SOON_HOURS {
            findings.warning(
                SUBJECT,
                format!("the CRL of {issuer} expires in {hours} hours; then nobody of it comes in"),
                "fetch the next one and `xdtls reload`, again and again before each one expires",
            );
        } else {
            let days = hours / 24;
            findings.ok(SUBJECT, format!("the CRL of {issuer} is good for {days} days"));
        }
    }
    // A list that could not be used is not missing, too.
    let all_used =
        findings.list()[before..].iter().all(|finding| finding.severity != Severity::Problem);
    for authority in trust.without_list().iter().filter(|_| all_used) {
        findings.problem(
            SUBJECT,
            format!("there is no CRL of {authority}: every client of it will be refused"),
            "add its CRL, or remove the CA or the other CRLs",
        );
    }
}

fn judge_psk(path: &Path, psk: &Secret, findings: &mut Findings) {
    const SUBJECT: &str = "clients.psk_file";
    let name = path.display();
    let text = match &psk.content {
        Ok(bytes) => String::from_utf8_lossy(bytes),
        Err(error) => return unreadable(SUBJECT, path, error, findings),
    };
    if psk.mode & 0o007 == 0 {
        judge_secret(SUBJECT, path, psk, findings);
    } else {
        let seen = format!("everybody may read or change {name} (mode {:04o})", psk.mode & 0o777);
        findings.problem(SUBJECT, seen, format!("chmod 600 {name}"));
    }
    match PskTable::parse(&text) {
        Ok(table) if table.identities().next().is_none() => {
            findings.warning(SUBJECT, format!("{name} has no key"), "add lines IDENTITY:KEY");
        }
        Ok(table) => {
            findings.ok(SUBJECT, format!("{name} has {} keys", table.identities().count()));
        }
        Err(error) => {
            findings.problem(SUBJECT, format!("{name}: {error}"), "correct this line");
        }
    }
}
