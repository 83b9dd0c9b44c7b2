//! `cargo xtask bench`: measurements.

use anyhow::Result;
use clap::Subcommand;

use crate::flood::become_bench;

/// What can be measured; each has a `--help` of its own.
#[derive(Subcommand)]
#[command(disable_help_flag = true)]
pub(crate) enum Bench {
    /// A gateway under floods
    Flood(Arguments),
    /// What sealing and opening a record costs, beside ring alone and OpenSSL
    Record(Arguments),
    /// What the XDP program costs a packet, beside programs that do less
    Steer(Arguments),
    /// Handshakes with a gateway, beside OpenSSL in memory, and what traffic notices of them
    Handshakes(Arguments),
    /// Traffic through a gateway, beside other tunnels
    Forward(Arguments),
    /// Throughput as workers and associations grow
    Scale(Arguments),
    /// What very many associations cost
    Associations(Arguments),
}

/// Arguments of a measurement.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// What the measurement is told
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Builds and measures.
pub(crate) fn run(what: &Bench) -> Result<()> {
    let (subcommand, Arguments { args }) = match what {
        // The generator alone has the name already.
        Bench::Flood(arguments) => ("measure", arguments),
        Bench::Record(arguments) => ("record", arguments),
        Bench::Steer(arguments) => ("steer", arguments),
        Bench::Handshakes(arguments) => ("handshakes", arguments),
        Bench::Scale(arguments) => ("scale", arguments),
        Bench::Forward(arguments) => ("forward", arguments),
        Bench::Associations(arguments) => ("associations", arguments),
    };
    become_bench(subcommand, args)
}
