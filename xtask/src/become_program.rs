//! Programs of the workspace that xtask builds and then becomes.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{bpf, cmd, setup};

/// Sets up, builds these packages and runs a program of theirs in our place, so that signals reach
/// it and nothing else. What building prints goes to standard error.
pub(crate) fn become_program(name: &str, packages: &[&str], args: Vec<String>) -> Result<()> {
    let stdout = cmd::divert_stdout()?;
    setup::run()?;
    bpf::build()?;
    let mut build = cmd::cargo();
    build.args(["build", "--quiet", "--release", "--bins"]);
    cmd::run(build.args(packages.iter().flat_map(|package| ["--package", package])))?;
    let mut program = Command::new(cmd::target_dir().join("release").join(name));
    let error = program.args(args).stdout(stdout).exec();
    bail!("{}: {error}", cmd::cannot_start(&program))
}
