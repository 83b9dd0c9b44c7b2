//! `cargo xtask build`: the eBPF objects and the release binaries.

use anyhow::Result;

use crate::{bpf, cmd};

/// Builds everything that runs outside tests and says where it lies.
pub(crate) fn run() -> Result<()> {
    let objects = bpf::build()?;
    let packages = ["--package", "xdtls", "--package", "xdtls-netlab"];
    cmd::run(cmd::cargo().args(["build", "--release", "--bins"]).args(packages))?;
    for object in objects {
        println!("eBPF object: {}", object.display());
    }
    println!("programs:    {}", cmd::target_dir().join("release").display());
    Ok(())
}
