//! Traffic, churn and faults together against a real gateway, in namespaces of its own: see
//! [`xdtls_tests::soak`]. `cargo xtask soak` builds and runs it.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use xdtls_bench::interrupt::Interrupt;
use xdtls_netlab::{missing, sweep};
use xdtls_tests::soak::{Plan, Report, run};
use xdtls_tests::{Family, Lab};

/// From here on a soak is long enough for faults that take a minute, and for ids to rest.
const THOROUGH_FROM_MINUTES: f64 = 3.0;

/// How packets reach the gateway.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Datapath {
    /// Over XDP and AF_XDP
    Xdp,
    /// The same, and AF_XDP transmits, too
    XdpTransmit,
    /// Over UDP sockets
    Socket,
}

impl Datapath {
    fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::XdpTransmit => "xdp-transmit",
            Self::Socket => "socket",
        }
    }
}

/// Lets traffic, churn and faults run together against a gateway, and reports what was wrong.
///
/// Everything happens in network namespaces of its own, which need root. The exit status is 0 only
/// if nothing was wrong. From 3 minutes on, faults come that clients need 30 s to notice, and the
/// end takes two minutes more: so long ids rest.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask soak")]
struct Options {
    /// How long faults come
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = minutes)]
    minutes: f64,
    /// What decides on faults, their times and contents
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How packets reach the gateway
    #[arg(long, value_enum, default_value_t = Datapath::Xdp)]
    datapath: Datapath,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write the report as a page, too
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn minutes(text: &str) -> Result<f64> {
    let minutes: f64 = text.parse()?;
    if !(0.1..=10_000.0).contains(&minutes) {
        bail!("expected 0.1 to 10000 minutes");
    }
    Ok(minutes)
}

fn main() -> ExitCode {
    let options = Options::parse();
    match soak(&options).and_then(|report| show(&options, &report)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xdtls-soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn soak(options: &Options) -> Result<Report> {
    if let Some(reason) = missing() {
        bail!("no soak can run here: {reason}");
    }
    sweep()?;
    let interrupt = Interrupt::register()?;
    let plan = Plan {
        duration: Duration::from_secs_f64(60.0 * options.minutes),
        seed: options.seed,
        thorough: options.minutes >= THOROUGH_FROM_MINUTES,
    };
    let lab = Lab::new(Family::V4, options.datapath.name())?;
    let outcome = run(&lab, &plan, &|| interrupt.has_come(), &mut |line: &str| eprintln!("{line}"));
    if outcome.as_ref().map_or(true, |report| !report.ok) {
        eprintln!("{}", lab.log());
    }
    let report = outcome?;
    lab.remove()?;
    Ok(report)
}

/// Prints the report and says whether all is well.
fn show(options: &Options, report: &Report) -> Result<bool> {
    if options.json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        print!("{report}");
    }
    if let Some(file) = &options.report {
        let (minutes, seed, datapath) = (options.minutes, options.seed, options.datapath.name());
        let command =
            format!("cargo xtask soak --minutes {minutes} --seed {seed} --datapath {datapath}");
        std::fs::write(file, report.to_markdown(&command))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(report.ok)
}
