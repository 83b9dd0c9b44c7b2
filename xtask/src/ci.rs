//! `cargo xtask ci`: every check of the repository, in order, up to the first that fails.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{bpf, cmd, setup, test, tidy};

/// Pinned: a new version may know new rules, and the check is to be the same everywhere.
const CARGO_DENY: &str = "0.20.2";

type Step = (&'static str, fn() -> Result<()>);

/// What precedes the tests; quick checks come first.
const STEPS: [Step; 7] = [
    ("setup", setup::run),
    ("tidy", tidy::run),
    ("rustfmt", || cmd::run(cmd::cargo().args(["fmt", "--all", "--check"]))),
    ("clippy", || cmd::run(cmd::cargo().args(["clippy", "--all-targets", "--", "-D", "warnings"]))),
    ("clippy of the eBPF program", || {
        cmd::run(bpf::cargo("clippy").args(["--", "-D", "warnings"]))
    }),
    ("documentation", || {
        cmd::run(cmd::cargo().env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--no-deps"]))
    }),
    ("dependencies", dependencies),
];

/// Runs all steps; the sum of the tests is the last line.
pub(crate) fn run() -> Result<ExitCode> {
    let begin = Instant::now();
    for (name, step) in STEPS {
        timed(name, step)?;
    }
    let summary = timed("test", || test::measure(&[]))?;
    println!("== ci took {:.1} s", begin.elapsed().as_secs_f64());
    summary.print();
    Ok(summary.code())
}

/// Runs one step between a heading and a line that says how long it took.
fn timed<T>(name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("\n== {name}");
    let begin = Instant::now();
    let value = step().with_context(|| format!("ci stopped at the step `{name}`"))?;
    println!("== {name}: {:.1} s", begin.elapsed().as_secs_f64());
    Ok(value)
}

fn dependencies() -> Result<()> {
    setup::cargo_tool("cargo-deny", CARGO_DENY)?;
    println!("advisories are not checked here: `cargo deny check advisories` needs their database");
    cmd::run(cmd::cargo().args(["deny", "check", "bans", "licenses", "sources"]))
}
