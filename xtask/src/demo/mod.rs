//! `cargo xtask demo`: a client, a gateway and a backend in three network namespaces, ordinary UDP
//! traffic through and back, bad packets among it, and a check of every byte.
//!
//! [`play`] does it, [`stage`] and [`lab`] are where, [`report`] judges, [`render`] tells people.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::{build, cmd, setup};
use interrupt::Interrupt;
use report::Report;

mod interrupt;
mod lab;
mod play;
mod program;
mod render;
mod report;
mod stage;

/// The exit code where the demo cannot be played on this machine as it is.
const CANNOT: u8 = 2;

/// How many local programs send, as far as there are packets.
const PROGRAMS: u64 = 8;

/// What the demo is to do.
#[derive(Args)]
pub(crate) struct Options {
    /// Print one JSON object as the only line of standard output; the rest goes to standard error
    #[arg(long)]
    json: bool,
    /// How packets travel: xdp, socket, or auto, which is xdp where it can be had
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    datapath: Datapath,
    /// How many datagrams the local programs send, at most 200000
    #[arg(long, value_name = "N", default_value_t = 2_000,
          value_parser = clap::value_parser!(u64).range(1..=200_000))]
    packets: u64,
}

/// How packets travel between the network and the gateway.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Datapath {
    #[default]
    Auto,
    Xdp,
    Socket,
}

impl fmt::Display for Datapath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Xdp => "xdp",
            Self::Socket => "socket",
        })
    }
}

/// Sets up, builds, plays and reports.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let json = options.json.then(cmd::divert_stdout).transpose()?;
    let mut report = Report {
        packets: options.packets,
        programs: options.packets.min(PROGRAMS),
        asked: options.datapath.to_string(),
        ..Report::default()
    };
    let interrupt = Interrupt::register()?;
    let mut code = demonstrate(options, &interrupt, &mut report).unwrap_or_else(|error| {
        report.faults.push(format!("{error:#}"));
        ExitCode::FAILURE
    });
    // A signal that has come too late to hinder anything does not count.
    if !report.is_ok() {
        code = interrupt.exit_code().unwrap_or(code);
    }
    print!("{}", render::outcome(&report));
    if let Some(mut stdout) = json {
        writeln!(stdout, "{}", report.json()).context("cannot print the JSON line")?;
    }
    Ok(code)
}

fn demonstrate(options: &Options, interrupt: &Interrupt, report: &mut Report) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        report.faults.push(NEEDS_ROOT.to_owned());
        return Ok(ExitCode::from(CANNOT));
    }
    setup::run()?;
    // The check makes namespaces of its own, so it may no more be left where it is than the play.
    interrupt.end_at_once(false);
    let missing = xdtls_netlab::missing();
    interrupt.check()?;
    interrupt.end_at_once(true);
    if let Some(reason) = missing {
        report.faults.push(format!("network namespaces cannot be made here: {reason}"));
        return Ok(ExitCode::from(CANNOT));
    }
    build::run()?;
    interrupt.end_at_once(false);
    sweep();
    print!("{}", render::introduction(report.programs, report.packets));
    play::play(interrupt, options.datapath, report);
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const NEEDS_ROOT: &str = "the demo makes network namespaces, which needs root. Run it so:\n    \
                          sudo env \"PATH=$PATH\" \"HOME=$HOME\" cargo xtask demo";

/// Removes what runs of the demo have left that were killed.
fn sweep() {
    match xdtls_netlab::sweep() {
        Ok(names) => names.iter().for_each(|name| println!("removed {name}, left by a dead run")),
        // Ours have other names, so it is no hindrance.
        Err(error) => eprintln!("a dead run has left something behind: {error:#}"),
    }
}
