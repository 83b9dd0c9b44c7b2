//! `cargo xtask load`, `unload`, `pktgen` and `lab`: builds `xdtls-nic` and becomes it.

use anyhow::Result;

use crate::become_program::become_program;
use crate::lab_parts;

/// What is built for it: it starts programs of all of these.
const PACKAGES: [&str; 4] = ["xdtls", "xdtls-bench", "xdtls-netlab", "xdtls-nic"];

/// Runs `xdtls-nic load`, `unload` or `pktgen` with these arguments.
pub(crate) fn run(subcommand: &str, args: &[String]) -> Result<()> {
    become_program("xdtls-nic", &PACKAGES, [&[subcommand.to_owned()], args].concat())
}

/// Fetches what the emulated machine is made of, and runs `xdtls-nic lab`.
pub(crate) fn lab(args: &[String]) -> Result<()> {
    let wants_help = args.iter().any(|arg| arg == "--help" || arg == "-h");
    if !wants_help {
        lab_parts::ensure()?;
    }
    run("lab", args)
}
