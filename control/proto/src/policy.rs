//! Who is admitted, and which backend a verified identity leads to.
//!
//! [`Admission::judge`] is asked at the end of every handshake, full or resumed, before the
//! association becomes active, and again of every live association when the rules or the lists of
//! revoked certificates have changed.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::engine::{CertificateId, PeerIdentity};
use crate::failure::{Failure, FailureClass};
use crate::name_pattern::NamePattern;

/// A text, or with a `*` at its end all texts that begin like it. Case matters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TextPattern(String);

impl TextPattern {
    /// Whether a text matches.
    pub fn matches(&self, text: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => text.starts_with(beginning),
            None => text == self.0,
        }
    }
}

impl FromStr for TextPattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.find('*') {
            _ if text.is_empty() => Err("it is empty"),
            Some(at) if at + 1 < text.len() => Err("`*` may only stand at the end"),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerPattern {
    /// A DNS name of the certificate, or its common name where it has no DNS name.
    Name(NamePattern),
    /// A URI of the certificate, such as a SPIFFE id.
    Uri(TextPattern),
    /// An email address of the certificate; ASCII case does not matter.
    Email(String),
    /// An IP address of the certificate.
    Address(IpAddr),
    /// SHA-256 of the SubjectPublicKeyInfo of the certificate.
    Key([u8; 32]),
    /// SHA-256 of the SubjectPublicKeyInfo of an authority in the certificate's chain.
    Authority([u8; 32]),
    /// The identity of a pre-shared key.
    Psk(TextPattern),
}

impl PeerPattern {
    /// Whether a rule with this pattern is for this peer.
    pub fn matches(&self, identity: &PeerIdentity) -> bool {
        if let Some(psk) = &identity.psk {
            return matches!(self, Self::Psk(pattern) if pattern.matches(psk));
        }
        match self {
            Self::Name(pattern) => identity.names.iter().any(|name| pattern.matches(name)),
            Self::Uri(pattern) => identity.uris.iter().any(|uri| pattern.matches(uri)),
            Self::Email(email) => identity.emails.iter().any(|it| it.eq_ignore_ascii_case(email)),
            Self::Address(address) => identity.addresses.contains(address),
            Self::Key(hash) => identity.spki_sha256 == *hash,
            Self::Authority(hash) => identity.authorities.contains(hash),
            Self::Psk(_) => false,
        }
    }
}

/// One rule: peers that match go to a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whom it is for.
    pub peer: PeerPattern,
    /// The backend's place in the configuration.
    pub backend: u16,
}

/// Who is at the other end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPeer {
    /// The name in its certificate; ASCII case does not matter.
    pub certificate_name: String,
    /// SHA-256 of its SubjectPublicKeyInfo, where only one key will do.
    pub key_sha256: Option<[u8; 32]>,
}

impl LinkPeer {
    fn has_name_of(&self, identity: &PeerIdentity) -> bool {
        identity.names.iter().any(|name| name.eq_ignore_ascii_case(&self.certificate_name))
    }
}

/// The links to other nodes. Whoever has the name of one's peer leads there or nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// SHA-256 of the SubjectPublicKeyInfo that this node shows on links.
    pub own_key: [u8; 32],
    /// Where the first link leads; the others follow.
    pub first_route: u16,
    /// Who is at their other ends.
    pub peers: Vec<LinkPeer>,
}

impl Links {
    fn route(&self, identity: &PeerIdentity) -> Option<Result<u16, Refusal>> {
        let link = self.peers.iter().position(|peer| peer.has_name_of(identity))?;
        if identity.spki_sha256 == self.own_key {
            return Some(Err(Refusal::OurOwn));
        }
        let is_peer = self.peers[link].key_sha256.is_none_or(|key| key == identity.spki_sha256);
        Some(is_peer.then_some(self.first_route + link as u16).ok_or(Refusal::NoRule))
    }
}

/// Rules in order, and what becomes of identities that none matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The first that matches decides.
    pub rules: Vec<Rule>,
    /// For identities that no rule matches; `None` refuses them.
    pub default_backend: Option<u16>,
}

impl Policy {
    /// The backend of an identity, or `None` if it is not admitted.
    pub fn route(&self, identity: &PeerIdentity) -> Option<u16> {
        let rule = self.rules.iter().find(|rule| rule.peer.matches(identity));
        rule.map(|rule| rule.backend).or(self.default_backend)
    }
}

/// What one authority has revoked (RFC 5280 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationList {
    /// When the authority issues the next list, in seconds since 1970; this one is not believed any
    /// more from then on.
    pub next_update_s: i64,
    /// Serial numbers of revoked certificates, big-endian.
    pub serials: HashSet<Vec<u8>>,
}

/// The newest list of each authority, by SHA-256 of the authority's name in DER.
pub type RevocationLists = HashMap<[u8; 32], RevocationList>;

/// Why somebody is not admitted who has proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A certificate of the chain has been revoked.
    Revoked,
    /// Whether a certificate of the chain has been revoked cannot be known.
    RevocationUnknown,
    /// A certificate of the chain has expired.
    Expired,
    /// The pre-shared key has been taken away or replaced.
    PskGone,
    /// No rule is for this peer.
    NoRule,
    /// It wants to replace an association that is another peer's.
    ReplacesAnother,
    /// It is this node itself, or has a copy of its key.
    OurOwn,
}

impl Refusal {
    /// The refusal in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "its certificate has been revoked",
            Self::RevocationUnknown => "there is no current CRL that its certificate is judged by",
            Self::Expired => "its certificate has expired",
            Self::PskGone => "its pre-shared key is not valid any more",
            Self::NoRule => "no rule admits it",
            Self::OurOwn => "it shows our own key: this address leads back to this node",
            Self::ReplacesAnother => "it is not whose association was to be replaced",
        }
    }

    /// The refusal of this peer as the end of a handshake.
    pub fn of(self, identity: &PeerIdentity) -> Failure {
        match self {
            Self::NoRule => FailureClass::Policy.because(format!("no rule admits {identity}")),
            Self::OurOwn => FailureClass::Policy.because(self.as_str()),
            _ => FailureClass::Authentication.because(format!("{identity}: {}", self.as_str())),
        }
    }
}

/// All that decides whether a verified identity is admitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Where those lead who are admitted.
    pub policy: Policy,
    /// What authorities have revoked; `None` asks none of them.
    pub revocations: Option<RevocationLists>,
    /// The pre-shared keys that there are, by identity.
    pub psk_identities: HashSet<String>,
    /// The links to peers, which come before the rules.
    pub links: Links,
}

impl Admission {
    /// The backend of an identity, or why it is not admitted at `now_s`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// Why it is not admitted. What cannot be known is refused.
    pub fn judge(&self, now_s: i64, identity: &PeerIdentity) -> Result<u16, Refusal> {
        match &identity.psk {
            Some(psk) if !self.psk_identities.contains(psk) => return Err(Refusal::PskGone),
            Some(_) => {}
            None if identity.expires_s.is_some_and(|end| end <= now_s) => {
                return Err(Refusal::Expired);
            }
            None => self.ask_lists(now_s, &identity.chain)?,
        }
        let to_link = self.links.route(identity);
        to_link.unwrap_or_else(|| self.policy.route(identity).ok_or(Refusal::NoRule))
    }

    fn ask_lists(&self, now_s: i64, chain: &[CertificateId]) -> Result<(), Refusal> {
        let Some(lists) = &self.revocations else { return Ok(()) };
        if chain.is_empty() {
            return Err(Refusal::RevocationUnknown);
        }
        let list_of = |certificate: &CertificateId| lists.get(&certificate.issuer_sha256);
        // Even a list of yesterday knows what was revoked the day before.
        let revoked =
            |it: &CertificateId| list_of(it).is_some_and(|list| list.serials.contains(&it.serial));
        let is_current = |list: &RevocationList| now_s < list.next_update_s;
        if chain.iter().any(revoked) {
            return Err(Refusal::Revoked);
        }
        if !chain.iter().all(|it| list_of(it).is_some_and(is_current)) {
            return Err(Refusal::RevocationUnknown);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn named(names: &[&str]) -> PeerIdentity {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        PeerIdentity { names, ..PeerIdentity::default() }
    }

    fn certificate(serial: u8) -> CertificateId {
        CertificateId { issuer_sha256: [7; 32], serial: vec![serial] }
    }

    #[test]
    fn the_first_matching_rule_decides() {
        let rule =
            |name: &str, backend| Rule { peer: PeerPattern::Name(name.parse().unwrap()), backend };
        let rules = vec![rule("a.example", 1), rule("*.example", 2), rule("a.example", 3)];
        let policy = Policy { rules, default_backend: None };
        assert_eq!(policy.route(&named(&["A.Example"])), Some(1));
        assert_eq!(policy.route(&named(&["other", "b.example"])), Some(2));
        for unknown in [&["x.b.example"][..], &[".example"], &["example"], &[]] {
            assert_eq!(policy.route(&named(unknown)), None, "{unknown:?}");
        }
        let open = Policy { default_backend: Some(9), ..policy };
        assert_eq!(open.route(&named(&[])), Some(9));
    }

    #[test]
    fn each_pattern_looks_at_its_own_part_of_an_identity() {
        let identity = PeerIdentity {
            names: vec!["a.example".into()],
            uris: vec!["spiffe://example/sensors/7".into()],
            emails: vec!["Ann@example.org".into()],
            addresses: vec![[192, 0, 2, 7].into()],
            spki_sha256: [1; 32],
            authorities: vec![[2; 32], [3; 32]],
            ..PeerIdentity::default()
        };
        let text = |text: &str| text.parse::<TextPattern>().unwrap();
        let matching = [
            PeerPattern::Name("*.example".parse().unwrap()),
            PeerPattern::Uri(text("spiffe://example/sensors/*")),
            PeerPattern::Email("ann@example.org".into()),
            PeerPattern::Address([192, 0, 2, 7].into()),
            PeerPattern::Key([1; 32]),
            PeerPattern::Authority([3; 32]),
        ];
        let others = [
            PeerPattern::Name("spiffe://example/sensors/7".parse().unwrap()),
            PeerPattern::Uri(text("a.example")),
            PeerPattern::Uri(text("spiffe://example/sensors")),
            PeerPattern::Email("bob@example.org".into()),
            PeerPattern::Address([192, 0, 2, 8].into()),
            PeerPattern::Key([2; 32]),
            PeerPattern::Authority([1; 32]),
            PeerPattern::Psk(text("*")),
        ];
        let psk = PeerIdentity { psk: Some("a.example".into()), ..PeerIdentity::default() };
        for pattern in &matching {
            assert!(pattern.matches(&identity), "{pattern:?}");
            assert!(!pattern.matches(&psk), "{pattern:?}");
        }
        for pattern in &others {
            assert!(!pattern.matches(&identity), "{pattern:?}");
        }
        assert!(PeerPattern::Psk(text("a.*")).matches(&psk));
        assert!(!PeerPattern::Key([0; 32]).matches(&psk), "there is no key to look at");
    }

    #[test]
    fn text_patterns_have_their_star_at_the_end() {
        assert!("*".parse::<TextPattern>().unwrap().matches("anything"));
        assert!("".parse::<TextPattern>().is_err());
        assert!("a*b".parse::<TextPattern>().is_err());
        assert!("a**".parse::<TextPattern>().is_err());
    }

    #[test]
    fn what_is_revoked_expired_or_unknown_is_refused() {
        let list = RevocationList { next_update_s: NOW + 1, serials: [vec![9]].into() };
        let admission = |revocations| Admission {
            policy: Policy { rules: Vec::new(), default_backend: Some(4) },
            revocations,
            psk_identities: ["known".to_owned()].into(),
            links: Links::default(),
        };
        let lists = admission(Some([([7; 32], list)].into()));
        let of = |chain: &[CertificateId]| PeerIdentity {
            chain: chain.to_vec(),
            expires_s: Some(NOW + 5),
            ..PeerIdentity::default()
        };
        let good = of(&[certificate(1), certificate(2)]);
        assert_eq!(lists.judge(NOW, &good), Ok(4));
        let revoked = of(&[certificate(1), certificate(9)]);
        assert_eq!(lists.judge(NOW, &revoked), Err(Refusal::Revoked));
        assert_eq!(lists.judge(NOW + 1, &revoked), Err(Refusal::Revoked), "by an old list too");
        assert_eq!(lists.judge(NOW + 1, &good), Err(Refusal::RevocationUnknown));
        let elsewhere = CertificateId { issuer_sha256: [8; 32], serial: vec![1] };
        let unknown = of(&[certificate(1), elsewhere]);
        assert_eq!(lists.judge(NOW, &unknown), Err(Refusal::RevocationUnknown));
        assert_eq!(lists.judge(NOW, &of(&[])), Err(Refusal::RevocationUnknown));
        assert_eq!(admission(None).judge(NOW, &unknown), Ok(4));
        assert_eq!(admission(None).judge(NOW + 5, &good), Err(Refusal::Expired));
        let psk = |name: &str| PeerIdentity { psk: Some(name.into()), ..PeerIdentity::default() };
        assert_eq!(lists.judge(NOW, &psk("known")), Ok(4));
        assert_eq!(lists.judge(NOW, &psk("gone")), Err(Refusal::PskGone));
    }
}
