//! `cargo xtask soak`: builds all that a soak needs and becomes it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{bpf, cmd, setup};

/// Sets up and builds, then runs `xdtls-soak` with these arguments in our place, so that signals
/// reach it. What building prints goes to standard error.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let stdout = cmd::divert_stdout()?;
    setup::run()?;
    bpf::build()?;
    let mut build = cmd::cargo();
    build.args(["build", "--quiet", "--release", "--bins"]);
    for package in ["xdtls", "xdtls-netlab", "xdtls-tests"] {
        build.args(["--package", package]);
    }
    cmd::run(&mut build)?;
    let mut soak = Command::new(cmd::target_dir().join("release/xdtls-soak"));
    let error = soak.args(args).stdout(stdout).exec();
    bail!("{}: {error}", cmd::cannot_start(&soak))
}
