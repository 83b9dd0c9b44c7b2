//! `xdtls-nic lab`: an emulated machine with two network cards, in which the gateway is tried with
//! the drivers of real ones.
//!
//! QEMU translates (no KVM is needed), so that rates measure the emulator. What the lab shows is
//! what works, and that nothing is lost without being named.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use xdtls_bench::interrupt::Interrupt;

mod console;
pub mod driver;
mod machine;
pub mod report;
mod wire;

use console::Ended;
use driver::Driver;
use machine::Parts;
use report::{DriverReport, Report};
use wire::Wire;

use crate::load::beside_build;

/// Boots a Debian kernel with two network cards under QEMU and tries xdtls on them.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Which cards to emulate
    #[arg(long, value_enum, default_value = "all")]
    pub driver: Which,
    /// Print one JSON object as the only line of standard output
    #[arg(long)]
    pub json: bool,
    /// Where `cargo xtask lab` has put kernel and QEMU [default: lab in the target folder]
    #[arg(long, value_name = "DIR")]
    pub parts: Option<PathBuf>,
    /// Seconds after which a machine is switched off
    #[arg(long, value_name = "SECS", default_value_t = 600)]
    pub timeout: u64,
    /// Run this shell command in the guest instead of the trials, to look around
    #[arg(long, value_name = "COMMAND", conflicts_with = "json")]
    pub command: Option<String>,
}

/// Which cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// virtio-net
    Virtio,
    /// Intel 82576
    Igb,
    /// Each in a machine of its own
    All,
}

impl Which {
    fn drivers(self) -> &'static [Driver] {
        match self {
            Self::Virtio => &[Driver::Virtio],
            Self::Igb => &[Driver::Igb],
            Self::All => &Driver::ALL,
        }
    }
}

/// Lines of the guest kernel's log that are shown when its machine has failed.
const LOG_LINES: usize = 20;

/// Tries every card and reports; a failure if anything was not as it should be.
pub fn run(options: &Options) -> Result<ExitCode> {
    ensure!(rustix::process::geteuid().is_root(), NEEDS_ROOT);
    let interrupt = Interrupt::register()?;
    let folder = options.parts.clone().map_or_else(|| beside_build("lab"), Ok)?;
    let parts = Parts::find(&folder)?;
    for name in xdtls_netlab::sweep().unwrap_or_default() {
        eprintln!("removed {name}, left by a dead run");
    }
    let (mut drivers, mut failures) = (BTreeMap::new(), BTreeMap::new());
    for driver in options.driver.drivers() {
        match run_machine(options, &parts, *driver, &interrupt) {
            Ok(Some(report)) => drop(drivers.insert(*driver, report)),
            Ok(None) => {}
            Err(error) => drop(failures.insert(*driver, format!("{error:#}"))),
        }
        interrupt.check()?;
    }
    let report = Report::of(drivers, failures);
    for (driver, failure) in &report.failures {
        eprintln!("[{driver}] {failure}");
    }
    if options.command.is_some() {
        return Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const NEEDS_ROOT: &str = "the lab makes taps in a network namespace, which needs root. Run it so:\n    \
                          sudo env \"PATH=$PATH\" \"HOME=$HOME\" cargo xtask lab";

/// Runs one machine to its end; no report if it was to run a command of the user's.
fn run_machine(
    options: &Options,
    parts: &Parts,
    driver: Driver,
    interrupt: &Interrupt,
) -> Result<Option<DriverReport>> {
    let wire = Wire::lay(driver.tap_queues())?;
    let scratch = tempfile::Builder::new().prefix("xdtls-lab-").tempdir()?;
    let own = std::env::current_exe()?;
    let trials = || format!("exec '{}' guest --driver {driver}", own.display());
    let script = options.command.clone().unwrap_or_else(trials);
    let archive = parts.archive(scratch.path(), &script)?;
    let log = scratch.path().join("kernel.log");
    let qemu = parts.boot(|program| wire.command(program), driver, &archive, &log)?;
    let begin = Instant::now();
    let show = |line: &str| {
        eprintln!("[{driver} {:5.1} s] {line}", begin.elapsed().as_secs_f64());
    };
    show("starting the machine");
    let patience = Duration::from_secs(options.timeout);
    let ended = console::attend(qemu, patience, interrupt, || wire.counters(), show);
    let ended =
        ended.with_context(|| format!("the guest's kernel said at last:\n{}", end_of(&log)))?;
    show("the machine has ended");
    match (options.command.is_some(), ended) {
        (false, Ended { report: Some(report), .. }) => {
            serde_json::from_str(&report).map(Some).context("the guest's report is malformed")
        }
        (true, Ended { status: Some(0), .. }) => Ok(None),
        (_, Ended { status, .. }) => {
            let status = status.map_or("no status".to_owned(), |status| status.to_string());
            Err(anyhow::anyhow!("the guest's program has ended with {status}"))
        }
    }
}

fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

fn print(report: &Report) {
    for (driver, found) in &report.drivers {
        println!("{driver}, Linux {}", found.kernel);
        for trial in &found.trials {
            println!(
                "  {} {}: {}",
                if trial.ok { "ok    " } else { "FAILED" },
                trial.name,
                trial.seen
            );
        }
        for notice in &found.kernel_notices {
            println!("  notice {notice}");
        }
    }
    println!(
        "{}",
        if report.ok { "everything was as it should be" } else { "NOT as it should be" }
    );
}
