//! What a gateway or client says of itself: `xdtls status --json`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use xdtls_netlab::{capture, program};

/// Where a machine is slow, handshakes repeat flights that have arrived; those are dropped for one of
/// these reasons, which says nothing about what a test is after.
const OF_REPEATS: [&str; 6] =
    ["handshake_replayed", "rate_limited", "replayed", "stale_handshake", "too_old", "wrong_epoch"];

/// One answer of an admin socket.
#[derive(Clone, Debug)]
pub struct Status(Value);

impl Status {
    /// Asks the node behind an admin socket.
    pub fn ask(socket: &Path) -> Result<Self> {
        let mut command = Command::new(program("xdtls")?);
        command.args(["status", "--json", "--socket"]).arg(socket);
        let line = capture(&mut command)?;
        Ok(Self(serde_json::from_str(&line).with_context(|| line.clone())?))
    }

    /// One of its totals: `associations`, `handshakes_ok` and so on. An unknown name is an error.
    pub fn count(&self, name: &str) -> Result<u64> {
        self.0[name].as_u64().with_context(|| format!("no count {name:?} in {self}"))
    }

    /// Whether it says this word under this name.
    pub fn says(&self, name: &str, word: &str) -> bool {
        self.text(name) == word
    }

    /// How many associations are established now.
    pub fn associations(&self) -> u64 {
        self.0["associations"].as_u64().unwrap_or(u64::MAX)
    }

    /// How many of a total were of one kind: `handshake_failures`, `associations_ended`.
    pub fn of_kind(&self, total: &str, kind: &str) -> u64 {
        self.0[total][kind].as_u64().unwrap_or(0)
    }

    /// How many are in a handshake now.
    pub fn half_open(&self) -> u64 {
        self.0["half_open"].as_u64().unwrap_or(u64::MAX)
    }

    /// What it says under this name, in words; nothing where there are none.
    pub fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    /// How often something was dropped for this reason.
    pub fn dropped(&self, reason: &str) -> u64 {
        self.0["drops"][reason].as_u64().unwrap_or(0)
    }

    /// How many packets the XDP program has let go that way.
    pub fn xdp(&self, outcome: &str) -> Result<u64> {
        self.0["xdp"][outcome].as_u64().with_context(|| format!("no {outcome}: {self}"))
    }

    /// All drops by reason, but for repeated handshake flights.
    pub fn drops(&self) -> BTreeMap<String, u64> {
        let drops = self.0["drops"].as_object().into_iter().flatten();
        let drops = drops.filter(|(reason, _)| !OF_REPEATS.contains(&reason.as_str()));
        drops.map(|(reason, count)| (reason.clone(), count.as_u64().unwrap_or(u64::MAX))).collect()
    }

    /// How many frames of its AF_XDP sockets are nowhere; `None` without such sockets.
    pub fn frames_missing(&self) -> Option<i64> {
        self.0["af_xdp"]["missing"].as_i64()
    }

    /// Where the node listens.
    pub fn address(&self) -> Result<SocketAddr> {
        let address = self.0["address"].as_str().with_context(|| format!("no address: {self}"))?;
        Ok(address.parse()?)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
