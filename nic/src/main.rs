//! The program `xdtls-nic`; `cargo xtask load`, `unload`, `pktgen` and `lab` start it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use xdtls_nic::{guest, lab, load, pktgen};

/// xdtls on network cards.
#[derive(Parser)]
#[command(name = "xdtls-nic", max_term_width = 100)]
enum Nic {
    Load(load::Load),
    Unload(load::Unload),
    Pktgen(pktgen::Options),
    Lab(lab::Options),
    #[command(hide = true)]
    Guest(guest::Options),
}

fn main() -> ExitCode {
    match run(Nic::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Nic) -> Result<ExitCode> {
    match command {
        Nic::Load(options) => load::load(&options).map(|()| ExitCode::SUCCESS),
        Nic::Unload(options) => load::unload(&options).map(|()| ExitCode::SUCCESS),
        Nic::Pktgen(options) => pktgen::run(&options),
        Nic::Lab(options) => lab::run(&options),
        Nic::Guest(options) => guest::run(&options).map(|()| ExitCode::SUCCESS),
    }
}
