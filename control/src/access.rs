//! Who may send to the gateway at all: prefixes that are denied, and prefixes that alone are
//! allowed. Workers ask for what sockets receive, the XDP program for every frame, and both are told
//! of a change at once.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use xdtls_common::access::PREFIXES_MAX;
use xdtls_common::cookie::mapped;

use crate::datapath::access_maps::AccessMaps;
use crate::datapath::xdp_program::XdpError;

/// The lists, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRules {
    /// If not empty, only these may send to us.
    pub allow: Vec<IpNet>,
    /// These may not, even if they are allowed.
    pub deny: Vec<IpNet>,
}

impl AccessRules {
    /// Each prefix once, its host bits zero, in order.
    #[must_use]
    pub fn normalized(self) -> Self {
        let normalize = |mut list: Vec<IpNet>| {
            list.iter_mut().for_each(|prefix| *prefix = prefix.trunc());
            list.sort();
            list.dedup();
            list
        };
        Self { allow: normalize(self.allow), deny: normalize(self.deny) }
    }
}

/// Which of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListName {
    /// Of those that alone may send to us.
    Allow,
    /// Of those that may not.
    Deny,
}

impl AccessRules {
    /// One of the lists.
    pub fn list(&self, name: ListName) -> &[IpNet] {
        match name {
            ListName::Allow => &self.allow,
            ListName::Deny => &self.deny,
        }
    }

    /// One of the lists, to be changed.
    pub fn list_mut(&mut self, name: ListName) -> &mut Vec<IpNet> {
        match name {
            ListName::Allow => &mut self.allow,
            ListName::Deny => &mut self.deny,
        }
    }
}

/// The addresses of a list: first and last of each range, in order, no two of which touch.
#[derive(Debug, Default)]
struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    fn of(list: &[IpNet]) -> Self {
        let bits = |address: IpAddr| u128::from_be_bytes(mapped(address));
        let mut all: Vec<_> =
            list.iter().map(|prefix| (bits(prefix.network()), bits(prefix.broadcast()))).collect();
        all.sort_unstable();
        let mut ranges: Vec<(u128, u128)> = Vec::new();
        for (first, last) in all {
            match ranges.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last)
                }
                _ => ranges.push((first, last)),
            }
        }
        Self(ranges)
    }

    fn contain(&self, source: u128) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= source);
        after.checked_sub(1).is_some_and(|at| source <= self.0[at].1)
    }
}

/// The lists as they are asked for each packet.
#[derive(Debug, Default)]
struct InForce {
    rules: AccessRules,
    allow: Ranges,
    deny: Ranges,
}

impl InForce {
    fn new(rules: AccessRules) -> Self {
        Self { allow: Ranges::of(&rules.allow), deny: Ranges::of(&rules.deny), rules }
    }

    fn admit(&self, source: IpAddr) -> bool {
        let source = u128::from_be_bytes(mapped(source));
        !self.deny.contain(source) && (self.rules.allow.is_empty() || self.allow.contain(source))
    }
}

/// A prefix in words: an address alone is a prefix of one.
pub fn parse_prefix(text: &str) -> Result<IpNet, String> {
    let parsed =
        text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    parsed.ok_or_else(|| {
        format!("`{text}` is no prefix: write 192.0.2.0/24, 2001:db8::/32 or an address")
    })
}

/// The lists in force.
#[derive(Default)]
pub struct AccessList {
    in_force: RwLock<InForce>,
    /// While it is unset, nobody takes the lock for a packet.
    any: AtomicBool,
    program: Mutex<Option<AccessMaps>>,
}

impl AccessList {
    /// Lists that workers ask.
    pub fn new(rules: AccessRules) -> Self {
        let rules = rules.normalized();
        let any = AtomicBool::new(rules != AccessRules::default());
        Self { in_force: RwLock::new(InForce::new(rules)), any, program: Mutex::default() }
    }

    /// Tells the XDP program as well, now and of every change.
    pub fn mirror_to(&self, mut maps: AccessMaps) -> Result<(), XdpError> {
        let mut program = self.program();
        maps.replace(&AccessRules::default(), &self.rules())?;
        *program = Some(maps);
        Ok(())
    }

    /// The lists as they are.
    pub fn rules(&self) -> AccessRules {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).rules.clone()
    }

    /// Whether a source may send to us.
    pub fn admits(&self, source: IpAddr) -> bool {
        !self.any.load(Ordering::Relaxed)
            || self.in_force.read().unwrap_or_else(PoisonError::into_inner).admit(source)
    }

    /// Puts other lists in force. Where that fails, the error says so and workers keep to the old
    /// ones.
    pub fn replace(&self, rules: AccessRules) -> Result<(), XdpError> {
        self.change(|old| *old = rules)
    }

    /// Changes the lists; nobody else does meanwhile.
    pub fn change(&self, change: impl FnOnce(&mut AccessRules)) -> Result<(), XdpError> {
        let mut program = self.program();
        let old = self.rules();
        let mut rules = old.clone();
        change(&mut rules);
        let rules = rules.normalized();
        let longest = rules.allow.len().max(rules.deny.len());
        if longest > PREFIXES_MAX as usize {
            return Err(XdpError::TooManyPrefixes(longest));
        }
        if let Some(maps) = &mut *program {
            maps.replace(&old, &rules)?;
        }
        let any = rules != AccessRules::default();
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = InForce::new(rules);
        self.any.store(any, Ordering::Relaxed);
        Ok(())
    }

    fn program(&self) -> MutexGuard<'_, Option<AccessMaps>> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> AccessRules {
        let list = |texts: &[&str]| texts.iter().map(|text| parse_prefix(text).unwrap()).collect();
        AccessRules { allow: list(allow), deny: list(deny) }
    }

    fn admits(list: &AccessList, source: &str) -> bool {
        list.admits(source.parse().unwrap())
    }

    #[test]
    fn denied_sources_and_those_not_allowed_are_refused() {
        let list = AccessList::new(rules(&["10.0.0.0/8", "fd00::/16"], &["10.1.0.0/16"]));
        for (source, expected) in [
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("10.1.2.3", false),
            ("11.0.0.1", false),
            ("fd00:5::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(admits(&list, source), expected, "{source}");
        }
    }

    #[test]
    fn a_change_is_in_force_at_once() {
        let list = AccessList::default();
        assert!(admits(&list, "192.0.2.1"));
        list.change(|rules| rules.deny.push(parse_prefix("192.0.2.1").unwrap())).unwrap();
        assert!(!admits(&list, "192.0.2.1"));
        assert!(admits(&list, "192.0.2.2"));
        list.replace(AccessRules::default()).unwrap();
        assert!(admits(&list, "192.0.2.1"));
    }

    #[test]
    fn prefixes_stand_once_and_without_host_bits() {
        let written = rules(&["10.9.8.7/8", "10.0.0.0/8"], &["192.0.2.1", "192.0.2.1/32"]);
        assert_eq!(written.normalized(), rules(&["10.0.0.0/8"], &["192.0.2.1/32"]));
        assert!(parse_prefix("10.0.0.0/33").is_err());
        assert!(parse_prefix("localhost").is_err());
    }
}
