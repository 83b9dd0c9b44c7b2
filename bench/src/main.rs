//! The program `xdtls-bench`; `cargo xtask flood` and `cargo xtask bench` start it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use xdtls_bench::{
    associations, bound, flood, forward, handshakes, measure, outcome, record, scale, steer,
};

/// A packet generator and measurements of xdtls.
#[derive(Parser)]
#[command(name = "xdtls-bench", max_term_width = 100)]
enum Bench {
    Flood(flood::Options),
    Measure(measure::Options),
    /// Traffic through a gateway, beside other tunnels
    Forward(outcome::Options),
    /// What very many associations cost
    Associations(outcome::Options),
    #[command(hide = true)]
    Population(associations::PopulationOptions),
    /// What sealing and opening a record costs, beside ring alone and OpenSSL
    Record(outcome::Options),
    /// Handshakes with a gateway, beside OpenSSL in memory, and what traffic notices of them
    Handshakes(outcome::Options),
    /// Throughput as workers and associations grow
    Scale(outcome::Options),
    /// What the XDP program costs a packet, beside programs that do less
    Steer(outcome::Options),
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
        Bench::Handshakes(options) => handshakes::run(&options),
        Bench::Measure(options) => measure::run(&options),
        Bench::Associations(options) => associations::run(&options),
        Bench::Forward(options) => forward::run(&options),
        Bench::Population(options) => associations::run_population(&options),
        Bench::Record(options) => record::run(&options),
        Bench::Scale(options) => scale::run(&options),
        Bench::Steer(options) => steer::run(&options),
        Bench::Bound(options) => bound::run(&options),
    }
}
