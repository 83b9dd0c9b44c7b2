//! The program `xdtls-bench`; `cargo xtask flood` and `cargo xtask bench` start it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use xdtls_bench::{bound, flood, measure};

/// A packet generator and measurements of xdtls.
#[derive(Parser)]
#[command(name = "xdtls-bench", max_term_width = 100)]
enum Bench {
    Flood(flood::Options),
    Measure(measure::Options),
    #[command(hide = true)]
    Bound(bound::Options),
}

fn main() -> ExitCode {
    match run(Bench::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Bench) -> Result<()> {
    match command {
        Bench::Flood(options) => flood::run(&options),
        Bench::Measure(options) => measure::run(&options),
        Bench::Bound(options) => bound::run(&options),
    }
}
