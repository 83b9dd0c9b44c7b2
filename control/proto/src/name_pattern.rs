//! The certificate names that a rule matches.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A certificate name, or with a leading `*.` all names with exactly one label more.
///
/// Case does not matter, as in DNS. So `*.sensors.example` matches `a.sensors.example` and neither
/// `sensors.example` nor `a.b.sensors.example`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct NamePattern {
    /// Lower case, without the leading `*.`.
    name: String,
    wildcard: bool,
}

/// The text is no usable pattern.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NamePatternError {
    /// There is nothing to match.
    #[error("the name is empty")]
    Empty,
    /// Only the whole first label may be a wildcard.
    #[error("`*` may only stand for the whole first label, as in `*.example`")]
    Wildcard,
}

impl NamePattern {
    /// Whether a DNS name or common name of a certificate matches.
    #[must_use]
    pub fn matches(&self, certificate_name: &str) -> bool {
        let name = if self.wildcard {
            match certificate_name.split_once('.') {
                // A certificate's own wildcard stands for many names: it is no name to match.
                Some((label, rest)) if !label.is_empty() && label != "*" => rest,
                _ => return false,
            }
        } else {
            certificate_name
        };
        name.eq_ignore_ascii_case(&self.name)
    }
}

impl FromStr for NamePattern {
    type Err = NamePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, wildcard) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if text.is_empty() {
            return Err(NamePatternError::Empty);
        }
        if name.is_empty() || name.contains('*') {
            return Err(NamePatternError::Wildcard);
        }
        Ok(Self { name: name.to_ascii_lowercase(), wildcard })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.wildcard { "*." } else { "" }, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<NamePattern>().unwrap().matches(name)
    }

    #[test]
    fn a_plain_name_matches_itself_in_any_case() {
        assert!(matches("Client", "cLIENT"));
        assert!(!matches("client", "client2"));
        assert!(!matches("client", "a.client"));
        assert!(!matches("client", ""));
    }

    #[test]
    fn a_wildcard_matches_exactly_one_label() {
        assert!(matches("*.sensors.example", "a.sensors.example"));
        assert!(matches("*.sensors.example", "A.Sensors.Example"));
        for name in
            ["sensors.example", ".sensors.example", "a.b.sensors.example", "*.sensors.example"]
        {
            assert!(!matches("*.sensors.example", name), "{name}");
        }
    }

    #[test]
    fn other_wildcards_are_refused() {
        assert_eq!("".parse::<NamePattern>(), Err(NamePatternError::Empty));
        for text in ["*", "*.", "a*.example", "a.*.example", "*.*.example"] {
            assert_eq!(text.parse::<NamePattern>(), Err(NamePatternError::Wildcard), "{text}");
        }
    }
}
