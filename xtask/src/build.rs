//! `cargo xtask build`: the eBPF object and the release binaries.

use anyhow::Result;

use crate::{bpf, cmd};

/// Builds everything that runs outside tests and says where it lies.
pub(crate) fn run() -> Result<()> {
    let object = bpf::build()?;
    let packages = ["--package", "xdtls", "--package", "xdtls-netlab"];
    cmd::run(cmd::cargo().args(["build", "--release", "--bins"]).args(packages))?;
    println!("eBPF object: {}", object.display());
    println!("programs:    {}", cmd::target_dir().join("release").display());
    Ok(())
}
