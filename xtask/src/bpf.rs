//! The eBPF object: how cargo is called for it, and where the result lies.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{bpf_budget, bpf_size, cmd};

const TARGET: &str = "bpfel-unknown-none";
const PROFILE: &str = "bpf";
const PACKAGE: &str = "xdtls-datapath-ebpf";
const BINARY: &str = "xdtls-datapath";

/// Misaligned access turns loads that would go byte by byte into single ones.
const RUSTFLAGS: &str = "-C target-cpu=v3 -C target-feature=+allows-misaligned-mem-access";

/// `cargo <subcommand>` for the eBPF crate on its target.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut command = cmd::cargo();
    // The pinned stable compiler does everything; only `-Z build-std` needs the bootstrap switch.
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", RUSTFLAGS);
    // It would outrank RUSTFLAGS.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.args([subcommand, "--profile", PROFILE, "--target", TARGET]);
    command.args(["-Z", "build-std=core", "--package", PACKAGE]);
    command
}

/// Builds the eBPF object, holds it to its budget and returns the path at which tests and the gateway's build find it.
pub(crate) fn build() -> Result<PathBuf> {
    cmd::run(&mut cargo("build"))?;
    let target = cmd::target_dir();
    let built = target.join(TARGET).join(PROFILE).join(BINARY);
    let object = target.join("bpf").join(BINARY).with_extension("o");
    copy_if_changed(&built, &object)
        .with_context(|| format!("cannot copy {} to {}", built.display(), object.display()))?;
    bpf_budget::hold(&bpf_size::measure(&object)?)?;
    Ok(object)
}

/// Leaves a copy that is the same alone: cargo goes by its time, and would build the gateway anew.
fn copy_if_changed(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = fs::read(from)?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(to, bytes)
}
