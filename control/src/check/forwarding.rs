//! Judges the inside: rules, backends, and whether there can be as many flows as are allowed.

use xdtls_common::DropReason;
use xdtls_proto::policy::PeerPattern;

use super::facts::{Facts, Reach};
use crate::config::{Backend, Config, RulePeer};
use crate::finding::Findings;

/// Descriptors that a gateway needs for other things than flows: sockets, rings, maps, logs.
const OTHER_FILES: u64 = 1_024;

pub(super) fn judge(config: &Config, facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    judge_rules(config, &mut findings);
    for (index, (backend, reach)) in config.backends.iter().zip(&facts.backends).enumerate() {
        judge_backend(backend, reach, &mut findings);
        if !is_used(config, index) {
            findings.warning(
                subject(backend),
                "no rule leads there, and it is not the default",
                "add a [[rule]], name it in [forward] default_backend, or remove it",
            );
        }
    }
    judge_flows(config, facts, &mut findings);
    findings
}

fn subject(backend: &Backend) -> String {
    format!("backend {}", backend.name)
}

fn is_used(config: &Config, backend: usize) -> bool {
    config.forward.default_backend == Some(backend)
        || config.rules.iter().any(|rule| rule.backend == backend)
}

/// The first match decides, so that a name below a wildcard that stands earlier never gets a turn.
/// (The same pattern twice is an error of the configuration.)
fn judge_rules(config: &Config, findings: &mut Findings) {
    for (index, rule) in config.rules.iter().enumerate() {
        let mut earlier = config.rules[..index].iter();
        if let Some(first) = earlier.find(|earlier| takes_all_of(&earlier.peer, &rule.peer)) {
            findings.warning(
                format!("rule {}", rule.peer),
                format!("never matches: `{}` stands before it", first.peer),
                "move it up, or remove it",
            );
        }
        let is_psk = matches!(&rule.peer, RulePeer::Pattern(PeerPattern::Psk(_)));
        let (has, lacking) = match is_psk {
            true => (config.clients.psk_file.is_some(), "psk_file"),
            false => (config.clients.ca.is_some(), "ca"),
        };
        if !has {
            findings.warning(
                format!("rule {}", rule.peer),
                format!("never matches: [clients] has no {lacking}"),
                format!("add {lacking}, or remove the rule"),
            );
        }
    }
    match (config.rules.len(), config.forward.default_backend) {
        (0, None) if config.backends.is_empty() => {
            findings.ok("forward", "no clients are let in, only peers");
        }
        (0, None) => findings.problem(
            "forward",
            "every client will be refused: there is neither a rule nor a default backend",
            "set [forward] default_backend, or add a [[rule]]",
        ),
        (count, None) => {
            let seen = format!("clients that none of {count} rules matches are refused");
            findings.ok("forward", seen);
        }
        (_, Some(backend)) => {
            let name = &config.backends[backend].name;
            findings.ok("forward", format!("clients that no rule matches go to {name}"));
        }
    }
}

/// Whether a rule leaves nothing to one that stands behind it.
fn takes_all_of(first: &RulePeer, second: &RulePeer) -> bool {
    let (RulePeer::Pattern(first), RulePeer::Pattern(second)) = (first, second) else {
        return false;
    };
    match (first, second) {
        (PeerPattern::Name(first), PeerPattern::Name(second)) => first.matches(&second.to_string()),
        (PeerPattern::Uri(first), PeerPattern::Uri(second))
        | (PeerPattern::Psk(first), PeerPattern::Psk(second)) => first.matches(&second.to_string()),
        _ => false,
    }
}

fn judge_backend(backend: &Backend, reach: &Reach, findings: &mut Findings) {
    let address = backend.address;
    match &reach.route {
        Ok(()) => findings.ok(subject(backend), format!("there is a route to {address}")),
        Err(error) => findings.warning(
            subject(backend),
            format!("there is no way to {address} now: {error}"),
            format!("`ip route get {}` shows why; correct the route or the address", address.ip()),
        ),
    }
    for (source, error) in &reach.foreign_sources {
        findings.problem(
            subject(backend),
            format!("flows cannot come from {source}: {error}"),
            "give source_addresses that `ip address` shows",
        );
    }
}

/// A flow takes a port of a source address, and a descriptor.
fn judge_flows(config: &Config, facts: &Facts, findings: &mut Findings) {
    const SUBJECT: &str = "limits.backend_flows";
    let flows = u64::from(config.limits.backend_flows);
    let mut enough = true;
    for backend in &config.backends {
        let sources = backend.source_addresses.len().max(1) as u64;
        let room = sources * facts.ephemeral_ports;
        if flows > room {
            enough = false;
            let ports = facts.ephemeral_ports;
            findings.warning(
                SUBJECT,
                format!(
                    "{flows} flows to {} have only {room} ports ({sources} source address{} of \
                     {ports}); what is more is dropped as {}",
                    backend.name,
                    if sources == 1 { "" } else { "es" },
                    DropReason::FlowLimit.as_str(),
                ),
                format!(
                    "lower it to {room}, add source_addresses, or widen the sysctl \
                     net.ipv4.ip_local_port_range"
                ),
            );
        }
    }
    if let Some(files) = facts.files_max.filter(|files| *files < flows + OTHER_FILES) {
        enough = false;
        let room = files.saturating_sub(OTHER_FILES);
        findings.warning(
            SUBJECT,
            format!("{flows} flows need as many open files, and this process may have {files}"),
            format!("raise the limit (LimitNOFILE=, ulimit -n), or lower it to {room}"),
        );
    }
    if enough {
        findings.ok(SUBJECT, format!("there is room for {flows} flows to each backend"));
    }
}
