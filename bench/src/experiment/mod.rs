//! The experiment: what a flood costs the gateway, those that it is compared with, and those who
//! want to talk to it meanwhile.

use std::fs;

use anyhow::{Context, Result};
use xdtls_netlab::Process;

use crate::interrupt::Interrupt;
use crate::lab::{Lab, PATIENCE};

pub mod bounds;
pub mod cost;
pub mod established;
pub mod handshakes;
pub mod servers;

/// As many slots as ids can name.
pub const SLOTS: u32 = 1 << 20;

/// A flood that goes on until it is stopped.
const ENDLESS: u64 = u64::MAX;

/// What all parts of the experiment need.
pub struct Bench<'a> {
    /// The stage.
    pub lab: &'a Lab,
    /// Looked at between any two steps.
    pub interrupt: &'a Interrupt,
}

impl Bench<'_> {
    /// Says on standard error what comes next, unless a signal has come.
    pub fn step(&self, what: &str) -> Result<()> {
        self.interrupt.check()?;
        eprintln!("bench: {what}");
        Ok(())
    }

    /// Begins a flood of hellos that goes on until its process is ended.
    fn background_flood(&self) -> Result<Process> {
        self.lab.begin_flood("hello", ENDLESS, &[])
    }
}

/// Ends a process of the lab; that it dies of the signal is as good as anything.
fn end(process: Process) -> Result<()> {
    process.terminate(PATIENCE)?;
    Ok(())
}

/// Makes the kernel measure how long BPF programs run, for as long as this lives.
struct RunTimes {
    before: String,
}

/// Where it is set, for the whole machine.
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl RunTimes {
    fn measure() -> Result<Self> {
        let before = fs::read_to_string(STATISTICS).context("no statistics of BPF programs")?;
        fs::write(STATISTICS, "1")?;
        Ok(Self { before })
    }
}

impl Drop for RunTimes {
    fn drop(&mut self) {
        if let Err(error) = fs::write(STATISTICS, &self.before) {
            eprintln!("bench: {STATISTICS} is left at 1: {error}");
        }
    }
}
