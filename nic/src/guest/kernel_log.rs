//! What the guest's kernel has warned of.

use std::process::Command;

use anyhow::Result;
use xdtls_netlab::capture;

/// Warnings of drivers that say how they work, not that something is wrong: docs/nic.md explains
/// each.
const KNOWN: [&str; 1] = ["XDP_TX and XDP_REDIRECT will operate in a slower locked tx mode"];

/// All warnings and errors so far.
pub(super) fn warnings() -> Result<Vec<String>> {
    let levels = "--level=emerg,alert,crit,err,warn";
    let listed = capture(Command::new("dmesg").args(["--notime", levels]))?;
    Ok(listed.lines().map(str::to_owned).collect())
}

/// Those that are new, and apart from them the known ones.
pub(super) fn since(before: &[String]) -> Result<(Vec<String>, Vec<String>)> {
    let now = warnings()?;
    let new = now.get(before.len()..).unwrap_or_default().iter().cloned();
    Ok(new.partition(|line| !KNOWN.iter().any(|known| line.contains(known))))
}
