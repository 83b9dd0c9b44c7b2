//! See [`xdtls_netlab::probe`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use xdtls_netlab::probe::{Options, run};

fn main() -> anyhow::Result<ExitCode> {
    let clean = run(&Options::parse())?;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
