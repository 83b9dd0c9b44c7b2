//! `xdtls-bench bound`: an XDP program that does nothing but one action, to measure against.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use aya::EbpfLoader;
use aya::programs::xdp::XdpMode;
use clap::{Args, ValueEnum};

use crate::generator::{interface_index, object, program};
use crate::interrupt::Interrupt;

/// How often a signal is looked for.
const TICK: Duration = Duration::from_millis(20);

/// What is done with every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Send it back, unchanged but for the MAC addresses
    Reflect,
    /// Drop it
    Discard,
    /// Leave it to the kernel
    Pass,
}

/// Attaches a program that does one thing with every frame, until SIGINT or SIGTERM.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Interface
    #[arg(long, value_name = "IF")]
    interface: String,
    /// What to do
    #[arg(long, value_enum)]
    action: Action,
}

/// Attaches, says `ready`, and waits.
pub fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::register()?;
    let mut ebpf = EbpfLoader::new().map_max_entries("COOKIES", 1).load_file(object()?)?;
    let name = match options.action {
        Action::Reflect => "reflect",
        Action::Discard => "discard",
        Action::Pass => "pass",
    };
    program(&mut ebpf, name)?
        .attach_to_if_index(interface_index(&options.interface)?, XdpMode::Driver)
        .with_context(|| format!("cannot attach to {}", options.interface))?;
    println!("ready");
    while !interrupt.has_come() {
        thread::sleep(TICK);
    }
    Ok(())
}
