//! `cargo xtask bench`: measurements.

use anyhow::Result;
use clap::Subcommand;

use crate::flood::become_bench;

/// What can be measured.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// A gateway under floods, in namespaces of its own; `--help` tells all about it
    #[command(disable_help_flag = true)]
    Flood {
        /// Arguments of the measurement
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// Builds and measures.
pub(crate) fn run(what: &Bench) -> Result<()> {
    let Bench::Flood { args } = what;
    become_bench("measure", args)
}
