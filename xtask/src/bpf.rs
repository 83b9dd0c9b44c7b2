//! The eBPF objects: how cargo is called for them, and where the results lie.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{bpf_budget, bpf_size, cmd};

const TARGET: &str = "bpfel-unknown-none";
const PROFILE: &str = "bpf";

/// The package of the gateway's objects, and their names: of the outside's program and the inside's.
const DATAPATH: (&str, [&str; 2]) = ("xdtls-datapath-ebpf", ["xdtls-datapath", "xdtls-inside"]);
/// The bench's.
const BENCH: (&str, &str) = ("xdtls-bench-ebpf", "xdtls-bench");

/// Misaligned access turns loads that would go byte by byte into single ones.
const RUSTFLAGS: &str = "-C target-cpu=v3 -C target-feature=+allows-misaligned-mem-access";

/// `cargo <subcommand>` for the eBPF crates on their target.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut command = cmd::cargo();
    // The pinned stable compiler does everything; only `-Z build-std` needs the bootstrap switch.
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", RUSTFLAGS);
    // It would outrank RUSTFLAGS.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.args([subcommand, "--profile", PROFILE, "--target", TARGET]);
    command.args(["-Z", "build-std=core", "--package", DATAPATH.0, "--package", BENCH.0]);
    command
}

/// Builds the eBPF objects, holds the gateway's to their budget and returns the paths at which tests
/// and the gateway's build find them.
pub(crate) fn build() -> Result<Vec<PathBuf>> {
    cmd::run(&mut cargo("build"))?;
    let target = cmd::target_dir();
    let place = |name| -> Result<PathBuf> {
        let built = target.join(TARGET).join(PROFILE).join(name);
        let object = target.join("bpf").join(name).with_extension("o");
        copy_if_changed(&built, &object)
            .with_context(|| format!("cannot copy {} to {}", built.display(), object.display()))?;
        Ok(object)
    };
    place(BENCH.1)?;
    let objects = DATAPATH.1.into_iter().map(place).collect::<Result<Vec<_>>>()?;
    let mut functions = Vec::new();
    for object in &objects {
        functions.append(&mut bpf_size::measure(object)?);
    }
    bpf_budget::hold(&functions)?;
    Ok(objects)
}

/// Leaves a copy that is the same alone: cargo goes by its time, and would build the gateway anew.
fn copy_if_changed(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = fs::read(from)?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(to, bytes)
}
