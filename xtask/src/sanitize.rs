//! `cargo xtask sanitize`: runs the tests of what is unsafe in userspace (AF_XDP rings, calls into
//! OpenSSL) with AddressSanitizer and its search for leaks.
//!
//! OpenSSL itself is the system's and not instrumented, but its heap is the sanitizer's: what we touch of
//! its objects after their end, and what of them nobody frees, is found. Instrumenting needs an
//! unstable flag, which `RUSTC_BOOTSTRAP` lends to the pinned toolchain.

use anyhow::{Context, Result};

use crate::cmd;

/// Packages and tests, and what of them is left out: the accounts of what malloc has given out, which
/// here is not the C library's.
const RUNS: [(&[&str], &[&str]); 3] = [
    (&["--package", "xdtls", "--lib"], &[]),
    (&["--package", "xdtls", "--test", "handshake_engine"], &["--skip", "accounting"]),
    (&["--package", "xdtls-tests", "--test", "af_xdp"], &[]),
];

/// Builds all of them anew, beside what is there, and runs them; fails at the first finding.
pub(crate) fn run() -> Result<()> {
    let host = host()?;
    for (tests, arguments) in RUNS {
        let mut command = cmd::cargo();
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
        // It would outrank RUSTFLAGS.
        command.env_remove("CARGO_ENCODED_RUSTFLAGS");
        // Enough for names and lines in a report.
        command.env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
        // A target of its own keeps the flags from build scripts and macros.
        command.args(["test", "--target", &host, "--target-dir"]);
        command.arg(cmd::target_dir().join("sanitize")).args(tests).arg("--").args(arguments);
        cmd::run(&mut command)?;
    }
    Ok(())
}

/// What this machine is to the compiler.
fn host() -> Result<String> {
    let version = cmd::output(cmd::command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}
