//! How an interface is set up, as far as attaching XDP may change it.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xdtls_netlab::capture;

/// The settings of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Settings {
    /// Whether it has a carrier; resetting a card takes that away for seconds.
    pub carrier: bool,
    /// Its offloads that can be changed, by ethtool's names.
    pub offloads: BTreeMap<String, bool>,
}

impl Settings {
    /// As they are now.
    pub(super) fn of(interface: &str) -> Result<Self> {
        let listed = capture(Command::new("ethtool").args(["-k", interface]))
            .context("ethtool does not tell the offloads")?;
        Ok(Self { carrier: has_carrier(interface)?, offloads: offloads(&listed) })
    }

    /// Offloads that are not as they were `before`, with their value then.
    pub(super) fn changed<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (&'a str, bool)> {
        let differs = |(name, on): &(&String, &bool)| self.offloads.get(*name) != Some(*on);
        before.offloads.iter().filter(differs).map(|(name, on)| (name.as_str(), *on))
    }
}

/// Lines such as `rx-checksumming: on`; what is `[fixed]` or only `[requested …]` is left out.
fn offloads(listed: &str) -> BTreeMap<String, bool> {
    let offload = |line: &str| {
        let (name, state) = line.trim().split_once(": ")?;
        let on = match state {
            "on" => true,
            "off" => false,
            _ => return None,
        };
        Some((name.to_owned(), on))
    };
    listed.lines().filter_map(offload).collect()
}

/// Sets one offload.
pub(super) fn set_offload(interface: &str, name: &str, on: bool) -> Result<()> {
    let state = if on { "on" } else { "off" };
    capture(Command::new("ethtool").args(["-K", interface, name, state])).map(drop)
}

/// What `ip` says of an interface.
fn link(interface: &str) -> Result<Value> {
    let listed = capture(Command::new("ip").args(["-json", "link", "show", "dev", interface]))?;
    let mut links: Vec<Value> = serde_json::from_str(&listed)?;
    links.pop().with_context(|| format!("there is no interface {interface} here"))
}

/// Whether it has a carrier.
pub(crate) fn has_carrier(interface: &str) -> Result<bool> {
    let link = link(interface)?;
    let flags = link["flags"].as_array().context("`ip` shows no flags")?;
    Ok(flags.iter().any(|flag| flag == "LOWER_UP"))
}

/// The id of the XDP program that is attached to it, if one is.
pub(super) fn xdp_program(interface: &str) -> Result<Option<u64>> {
    Ok(link(interface)?["xdp"]["prog"]["id"].as_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offloads_that_can_be_changed_are_compared() {
        let before = offloads(
            "Features for eth0:\nrx-checksumming: on\ntx-checksumming: off\n\
             \ttx-checksum-ipv4: off [fixed]\nrx-gro-hw: on\nlarge-receive-offload: off\n",
        );
        assert_eq!(before.len(), 4);
        let before = Settings { carrier: true, offloads: before };
        let mut after = before.clone();
        assert_eq!(after.changed(&before).count(), 0);
        after.offloads.insert("rx-gro-hw".to_owned(), false);
        assert_eq!(after.changed(&before).collect::<Vec<_>>(), [("rx-gro-hw", true)]);
    }
}
