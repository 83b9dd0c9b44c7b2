//! `cargo xtask flood`: builds the packet generator and becomes it.

use anyhow::Result;

use crate::become_program::become_program;

/// Sets up and builds, then runs `xdtls-bench flood` with these arguments.
pub(crate) fn run(args: &[String]) -> Result<()> {
    become_bench("flood", args)
}

/// Builds all that the bench needs and runs it in our place.
pub(crate) fn become_bench(subcommand: &str, args: &[String]) -> Result<()> {
    let packages = ["xdtls", "xdtls-bench", "xdtls-netlab"];
    become_program("xdtls-bench", &packages, [&[subcommand.to_owned()], args].concat())
}
