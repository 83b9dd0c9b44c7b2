//! Which backend a verified identity leads to.

use crate::engine::PeerIdentity;
use crate::name_pattern::NamePattern;

/// One rule: identities with a matching name go to a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which names it is for.
    pub certificate_name: NamePattern,
    /// The backend's place in the configuration.
    pub backend: u16,
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
        let rule = self.rules.iter().find(|rule| {
            identity.names.iter().any(|name| rule.certificate_name.matches(name))
        });
        rule.map(|rule| rule.backend).or(self.default_backend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(names: &[&str]) -> PeerIdentity {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        PeerIdentity { names, spki_sha256: [0; 32] }
    }

    #[test]
    fn the_first_matching_rule_decides() {
        let rule =
            |name: &str, backend| Rule { certificate_name: name.parse().unwrap(), backend };
        let rules = vec![rule("a.example", 1), rule("*.example", 2), rule("a.example", 3)];
        let policy = Policy { rules, default_backend: None };
        assert_eq!(policy.route(&identity(&["A.Example"])), Some(1));
        assert_eq!(policy.route(&identity(&["other", "b.example"])), Some(2));
        for unknown in [&["x.b.example"][..], &[".example"], &["example"], &[]] {
            assert_eq!(policy.route(&identity(unknown)), None, "{unknown:?}");
        }
        let open = Policy { default_backend: Some(9), ..policy };
        assert_eq!(open.route(&identity(&[])), Some(9));
    }
}
