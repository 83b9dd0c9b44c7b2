//! `xdtls-nic lab`: an emulated machine with two network cards, in which the gateway is tried with
//! the drivers of real ones.
//!
//! QEMU translates (no KVM is needed), so that rates measure the emulator. What the lab shows is
//! what works, and that nothing is lost without being named.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use xdtls_bench::interrupt::Interrupt;

mod console;
pub mod driver;
mod machine;
mod wire;

use driver::Driver;
use machine::Parts;
use wire::Wire;

/// Boots a Debian kernel with two network cards under QEMU and tries xdtls on them.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Which cards to emulate [default: all]
    #[arg(long, value_enum)]
    pub driver: Option<Driver>,
    /// Print one JSON object as the only line of standard output
    #[arg(long)]
    pub json: bool,
    /// Where `cargo xtask lab` has put kernel and QEMU
    #[arg(long, value_name = "DIR")]
    pub parts: PathBuf,
    /// Seconds after which a machine is switched off
    #[arg(long, value_name = "SECS", default_value_t = 600)]
    pub timeout: u64,
    /// Run this command in the guest instead, for looking around
    #[arg(long, value_name = "COMMAND")]
    pub command: Option<String>,
}

/// Tries every card and reports.
pub fn run(options: &Options) -> Result<ExitCode> {
    let interrupt = Interrupt::register()?;
    let parts = Parts::find(&options.parts)?;
    for driver in options.driver.map_or(Driver::ALL.to_vec(), |driver| vec![driver]) {
        run_machine(options, &parts, driver, &interrupt)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_machine(
    options: &Options,
    parts: &Parts,
    driver: Driver,
    interrupt: &Interrupt,
) -> Result<()> {
    let wire = Wire::lay(driver.tap_queues())?;
    let scratch = tempfile::Builder::new().prefix("xdtls-lab-").tempdir()?;
    let own = std::env::current_exe()?;
    let script = options
        .command
        .clone()
        .unwrap_or_else(|| format!("exec '{}' guest --driver {driver}", own.display()));
    let archive = parts.archive(scratch.path(), &script)?;
    let log = scratch.path().join("kernel.log");
    let qemu = parts.boot(|program| wire.command(program), driver, &archive, &log)?;
    let begin = Instant::now();
    let patience = Duration::from_secs(options.timeout);
    let show = |line: &str| {
        eprintln!("[{driver} {:5.1} s] {line}", begin.elapsed().as_secs_f64());
    };
    let ended = console::attend(qemu, patience, interrupt, || wire.counters(), show);
    eprintln!("{ended:?}");
    eprintln!("{}", std::fs::read_to_string(&log).unwrap_or_default());
    Ok(())
}
