//! `xdtls-instructions WORK COUNT`: does a piece of work so many times, for valgrind to look on.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use xdtls_bench_instructions::work::perform;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let work = arguments.next().context("usage: xdtls-instructions WORK COUNT")?;
    let count = arguments.next().context("usage: xdtls-instructions WORK COUNT")?;
    perform(&work, count.parse()?)
}
