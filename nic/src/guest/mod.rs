//! What runs inside the lab's guest: every trial in turn, and a report to the host.

use anyhow::{Context, Result};
use clap::Args;
use xdtls_bench::interrupt::Interrupt;

use crate::lab::driver::Driver;
use crate::lab::report::{DriverReport, Trial};

mod clients;
mod kernel_log;
mod stage;
mod trials;
mod wire;

use stage::Stage;

/// Tries xdtls on this machine's two cards.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The cards that there are
    #[arg(long, value_enum)]
    pub driver: Driver,
}

/// Tries everything and reports on standard output, which the host reads.
pub fn run(options: &Options) -> Result<()> {
    let _interrupt = Interrupt::register()?;
    let warnings_before = kernel_log::warnings()?;
    let mut lab = Lab {
        stage: Stage::new(options.driver).context("the stage cannot be set up")?,
        driver: options.driver,
        warnings_before,
        report: DriverReport::default(),
    };
    lab.report.kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    for (name, trial) in trials::ALL {
        lab.attempt(name, trial);
    }
    println!("@report {}", serde_json::to_string(&lab.report)?);
    Ok(())
}

/// The stage, and what was found on it.
struct Lab {
    stage: Stage,
    driver: Driver,
    warnings_before: Vec<String>,
    report: DriverReport,
}

impl Lab {
    /// Makes one trial. A later one may still tell something when an earlier one has failed.
    fn attempt(&mut self, name: &str, trial: fn(&mut Self) -> Result<String>) {
        let (seen, ok) = match trial(self) {
            Ok(seen) => (seen, true),
            Err(error) => (format!("{error:#}"), false),
        };
        println!("{} {name}: {seen}", if ok { "ok    " } else { "FAILED" });
        self.report.trials.push(Trial { name: name.to_owned(), seen, ok });
    }
}
