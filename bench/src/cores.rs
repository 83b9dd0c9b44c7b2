//! Which core is whose while a gateway is measured.

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::report::Machine;

/// The CPU of the gateway.
pub(crate) const GATEWAY_CPU: usize = 1;

/// The one of all else.
pub(crate) const CLIENT_CPU: usize = 0;

/// Keeps the thread that calls to one CPU.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).with_context(|| format!("there is no CPU {cpu}"))
}

/// Leaves the gateway's core alone, and clears away the namespaces that an earlier run has left.
///
/// # Errors
///
/// What this machine lacks for namespaces, or for a core of the gateway's own.
pub(crate) fn divide() -> Result<()> {
    if let Some(reason) = xdtls_netlab::missing() {
        bail!("network namespaces cannot be made here: {reason}");
    }
    ensure!(Machine::this().cores >= 2, "the gateway needs a core of its own; there is one here");
    xdtls_netlab::sweep()?;
    pin(CLIENT_CPU)
}
