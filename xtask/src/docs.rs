//! `cargo xtask docs`: writes the pages that are made from code.
//!
//! The tests that compare those pages also write them; they know best what belongs there.

use anyhow::Result;

use crate::cmd;

/// Writes every page anew.
pub(crate) fn run() -> Result<()> {
    let packages = ["--package", "xdtls-common", "--package", "xdtls"];
    let mut tests = cmd::cargo();
    cmd::run(tests.arg("test").args(packages).arg("pages").env("XDTLS_WRITE_PAGES", "1"))
}
