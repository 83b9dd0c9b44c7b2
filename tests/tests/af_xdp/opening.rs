//! Sets that cannot be opened.

use anyhow::{Context, Result, ensure};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use xdtls::xsk::{XskError, XskOptions, XskSet, ZeroCopy};

use crate::lab::{Lab, OPTIONS, inside, nic};

/// What cannot be had is refused with the gate that is closed.
pub(crate) fn errors_are_clear() -> Result<()> {
    let lab = Lab::new(1)?;
    let refusal = |queues, options: &XskOptions| -> Result<String> {
        let error = lab.open(queues, 1, options).err().context("it could be opened")?;
        let gate = error.downcast_ref().and_then(XskError::gate).context("no gate is named")?;
        ensure!(error.to_string().contains(gate), "{error:#}");
        Ok(error.to_string())
    };
    let require = XskOptions { zero_copy: ZeroCopy::Require, ..OPTIONS };
    let error = refusal(1, &require)?;
    ensure!(error.contains("queue 0") && error.contains("no zero-copy"), "{error}");
    let error = refusal(2, &OPTIONS)?;
    ensure!(error.contains("queue 1") && error.contains("no such queue"), "{error}");

    let error = inside(&lab.far, || {
        let mut rights = capabilities(None)?;
        rights.effective.remove(CapabilitySet::NET_RAW);
        set_capabilities(None, rights)?;
        XskSet::open(&[nic(1)?], 1, &OPTIONS).err().context("it could be opened")
    })?;
    ensure!(error.to_string().contains("CAP_NET_RAW"), "{error}");

    let first = lab.open(1, 2, &OPTIONS)?;
    let error = refusal(1, &OPTIONS)?;
    ensure!(error.contains("already on this queue"), "{error}");
    // The kernel frees the queue in the background; that is waited for.
    drop(first);
    for _ in 0..5 {
        lab.open(1, 2, &OPTIONS)?;
    }
    Ok(())
}
