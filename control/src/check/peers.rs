//! Judges the links: whether they lead elsewhere, and whether local programs can use them.

use super::facts::{Facts, LinkFacts};
use crate::config::{Config, Peer};
use crate::finding::Findings;

pub(super) fn judge(config: &Config, facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    for (peer, seen) in config.peers.iter().zip(&facts.peers) {
        judge_peer(peer, seen, facts.own_key, &mut findings);
    }
    findings
}

fn judge_peer(peer: &Peer, seen: &LinkFacts, own_key: Option<[u8; 32]>, findings: &mut Findings) {
    let subject = || format!("peer {}", peer.name);
    let mut good = true;
    let mut problem = |seen: String, remedy: &str| {
        good = false;
        findings.problem(subject(), seen, remedy);
    };
    if seen.leads_back {
        problem("its address is this node itself".to_owned(), "give the peer's address");
    }
    if peer.key_sha256.is_some() && peer.key_sha256 == own_key {
        problem("key_sha256 is this node's own key".to_owned(), "give that of the peer's key");
    }
    if let Err(error) = &seen.listen {
        let seen = format!("{} cannot be listened on: {error}", peer.listen.ip());
        problem(seen, "give an address that `ip address` shows, such as 127.0.0.1");
    }
    if good {
        let opens = match peer.address {
            Some(address) => format!("opens to {address}"),
            None => "waits for the peer to open".to_owned(),
        };
        findings.ok(subject(), format!("{opens}, expects {}", peer.certificate_name));
    }
}
