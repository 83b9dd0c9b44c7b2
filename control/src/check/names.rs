//! Judges together what the gateway shows: which names its identities have, and whether each gets
//! its turn.

use openssl::x509::X509;

use super::facts::Facts;
use crate::config::{Config, NamePattern};
use crate::finding::Findings;
use crate::handshake::{Loaded, chosen_by_default, chosen_for, names_of};

pub(super) fn judge(config: &Config, facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    let files = config.identities.iter().zip(&facts.identities);
    let loaded = files.clone().map(|(identity, files)| Loaded::new(&files.loaded(identity)?).ok());
    // What is wrong with one alone has been said.
    let Some(loaded) = loaded.collect::<Option<Vec<_>>>() else { return findings };
    let path = |at: usize| config.identities[at].certificate.display();
    for (at, (identity, files)) in files.enumerate() {
        let pem = files.certificate.as_deref().unwrap_or_default();
        let own = own_names(pem);
        for name in identity.server_names.iter().filter(|name| !is_covered(name, &own)) {
            findings.warning(
                "identity",
                format!("{} is to be shown for `{name}`, and is not valid for it", path(at)),
                "correct server_names, or have it issued with that name; clients will refuse it",
            );
        }
        if loaded[at].server_names.is_empty() {
            findings.warning(
                "identity",
                format!("{} has no name that a client could ask for", path(at)),
                "have it issued with a DNS name, or give it server_names",
            );
        }
    }
    judge_turns(&loaded, config.gateway.require_server_name, path, &mut findings);
    findings
}

/// Clients who ask for a name get the first identity of each key type that has it.
fn judge_turns<P: std::fmt::Display>(
    identities: &[Loaded],
    name_required: bool,
    path: impl Fn(usize) -> P,
    findings: &mut Findings,
) {
    let by_default = if name_required { Vec::new() } else { chosen_by_default(identities) };
    for (at, identity) in identities.iter().enumerate() {
        let lost = |name: &&NamePattern| !chosen_for(identities, name).contains(&at);
        let names = &identity.server_names;
        let lost: Vec<_> = names.iter().filter(lost).map(|name| format!("`{name}`")).collect();
        let (key_type, names_lost) = (identity.key_type.as_str(), lost.join(", "));
        if lost.len() == names.len() && !by_default.contains(&at) {
            findings.warning(
                "identity",
                format!(
                    "{} is never shown: identities before it have an {key_type} key for {}",
                    path(at),
                    if names_lost.is_empty() { "every name" } else { &names_lost },
                ),
                "remove it, or give it server_names of its own",
            );
        } else if !lost.is_empty() {
            findings.warning(
                "identity",
                format!(
                    "{} is not shown for {names_lost}: an identity before it has an {key_type} key \
                     for that",
                    path(at),
                ),
                "say with server_names which of them is to be shown for it",
            );
        }
    }
}

fn own_names(pem: &[u8]) -> Vec<NamePattern> {
    let chain = X509::stack_from_pem(pem).unwrap_or_default();
    let names = chain.first().map(|leaf| names_of(leaf)).unwrap_or_default();
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

/// Whether a certificate with these names is valid for all that a pattern stands for.
fn is_covered(name: &NamePattern, own: &[NamePattern]) -> bool {
    own.contains(name) || own.iter().any(|pattern| pattern.matches(&name.to_string()))
}
