//! `cargo xtask flood`: builds the packet generator and becomes it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{bpf, cmd, setup};

/// Sets up and builds, then runs `xdtls-bench flood` with these arguments.
pub(crate) fn run(args: &[String]) -> Result<()> {
    become_bench("flood", args)
}

/// Builds all that the bench needs and runs it in our place, so that signals reach it and nothing
/// else. What building prints goes to standard error.
pub(crate) fn become_bench(subcommand: &str, args: &[String]) -> Result<()> {
    let stdout = cmd::divert_stdout()?;
    setup::run()?;
    bpf::build()?;
    let packages = ["xdtls", "xdtls-bench", "xdtls-netlab"];
    let mut build = cmd::cargo();
    build.args(["build", "--quiet", "--release", "--bins"]);
    cmd::run(build.args(packages.iter().flat_map(|package| ["--package", package])))?;
    let mut bench = Command::new(cmd::target_dir().join("release/xdtls-bench"));
    let error = bench.arg(subcommand).args(args).stdout(stdout).exec();
    bail!("{}: {error}", cmd::cannot_start(&bench))
}
