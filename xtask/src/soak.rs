//! `cargo xtask soak`: builds all that a soak needs and becomes it.

use anyhow::Result;

use crate::become_program::become_program;

/// Sets up and builds, then runs `xdtls-soak` with these arguments.
pub(crate) fn run(args: &[String]) -> Result<()> {
    become_program("xdtls-soak", &["xdtls", "xdtls-netlab", "xdtls-tests"], args.to_vec())
}
