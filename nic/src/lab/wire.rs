//! The wire between the guest's two cards: a bridge between two taps, in a namespace of its own.
//!
//! ```text
//!   guest            host, namespace xdtls-wire-…
//!   nic0 ═══ QEMU ═══ near ─┐
//!                           bridge
//!   nic1 ═══ QEMU ═══ far ──┘
//! ```
//!
//! Taps, because they have several queues, and because what they lose they count.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use xdtls_netlab::Netns;

/// The taps, in the order of the guest's cards.
pub(super) const TAPS: [&str; 2] = ["near", "far"];

/// Frames that a tap keeps for a guest that is busy.
const QUEUE_LENGTH: &str = "4000";

/// The wire; it goes away with its owner.
pub(super) struct Wire {
    netns: Netns,
}

impl Wire {
    /// Lays it, with taps of one queue or several.
    pub(super) fn lay(queues: u32) -> Result<Self> {
        let netns = Netns::new("wire")?;
        let off = "net.ipv6.conf.all.disable_ipv6=1";
        netns.run("sysctl", &["-qw", off, "net.ipv6.conf.default.disable_ipv6=1"])?;
        netns
            .ip(&[
                "link",
                "add",
                "bridge",
                "type",
                "bridge",
                "stp_state",
                "0",
                "mcast_snooping",
                "0",
            ])
            .context("the lab needs a kernel with bridges")?;
        netns.ip(&["link", "set", "bridge", "up"])?;
        for tap in TAPS {
            let several: &[&str] = if queues > 1 { &["multi_queue"] } else { &[] };
            netns
                .ip(&[&["tuntap", "add", tap, "mode", "tap"], several].concat())
                .context("the lab needs a kernel with taps (/dev/net/tun)")?;
            netns.ip(&[
                "link",
                "set",
                tap,
                "master",
                "bridge",
                "txqueuelen",
                QUEUE_LENGTH,
                "up",
            ])?;
        }
        Ok(Self { netns })
    }

    /// A command that runs beside the taps.
    pub(super) fn command(&self, program: &PathBuf) -> Command {
        self.netns.command(program)
    }

    /// What the taps have carried and lost so far, by `tap.direction.counter`. What a guest's card
    /// sends, its tap receives.
    pub(super) fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let listed = self.netns.ip(&["-json", "-stats", "link", "show"])?;
        let links: Vec<Value> = serde_json::from_str(&listed)?;
        let mut counters = BTreeMap::new();
        for link in &links {
            let Some(tap) = link["ifname"].as_str().filter(|name| TAPS.contains(name)) else {
                continue;
            };
            for direction in ["rx", "tx"] {
                for counter in ["packets", "errors", "dropped"] {
                    let count = link["stats64"][direction][counter].as_u64();
                    let count = count.with_context(|| format!("{tap} has no {counter}"))?;
                    counters.insert(format!("{tap}.{direction}.{counter}"), count);
                }
            }
        }
        Ok(counters)
    }
}
