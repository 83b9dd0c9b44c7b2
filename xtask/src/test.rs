//! `cargo xtask test`: runs every test and sums up what passed, failed and was skipped.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::summary::Summary;
use crate::{bpf, cmd, setup};

/// Sets up, builds what tests start as programs, and tests; `args` go to `cargo test`.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    setup::run()?;
    let summary = measure(args)?;
    summary.print();
    Ok(summary.code())
}

/// Builds and tests, and leaves it to the caller to print the sum.
pub(crate) fn measure(args: &[String]) -> Result<Summary> {
    bpf::build()?;
    // Tests of other packages start these, and cargo builds binaries only for their own package.
    cmd::run(cmd::cargo().args(["build", "--bins"]))?;
    // Instructions are counted of what is optimised as the product is.
    let counted = ["--release", "--package", "xdtls-bench-instructions", "--bins"];
    cmd::run(cmd::cargo().arg("build").args(counted))?;

    let mut command = cmd::cargo();
    // The sum is over all binaries, so one that fails must not hide the rest.
    command.args(["test", "--no-fail-fast"]).args(args).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| cmd::cannot_start(&command))?;
    let output = child.stdout.take().context("the output of cargo test is not piped")?;
    let mut summary = stream(BufReader::new(output))?;
    summary.finish(child.wait()?.success());
    Ok(summary)
}

/// Passes the output on line by line while reading it.
fn stream(mut output: impl BufRead) -> Result<Summary> {
    let mut summary = Summary::default();
    let mut line = Vec::new();
    let mut stdout = io::stdout().lock();
    while output.read_until(b'\n', &mut line)? > 0 {
        stdout.write_all(&line)?;
        stdout.flush()?;
        summary.read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(summary)
}
