//! `xdtls-bench bound`: one action on every frame and nothing else, to measure against.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use aya::EbpfLoader;
use aya::programs::xdp::XdpMode;
use clap::{Args, ValueEnum};

use crate::echo::Echo;
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
    /// Hand UDP to AF_XDP sockets, and send it back through them
    Echo,
}

impl Action {
    /// The XDP program that does it.
    const fn program(self) -> &'static str {
        match self {
            Self::Reflect => "reflect",
            Self::Discard => "discard",
            Self::Pass => "pass",
            Self::Echo => "to_sockets",
        }
    }
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
    let index = interface_index(&options.interface)?;
    let echo = match options.action {
        Action::Echo => Some(Echo::open(&options.interface, index, &mut ebpf)?),
        _ => None,
    };
    program(&mut ebpf, options.action.program())?
        .attach_to_if_index(index, XdpMode::Driver)
        .with_context(|| format!("cannot attach to {}", options.interface))?;
    println!("ready");
    if let Some(echo) = echo {
        return echo.run(&interrupt);
    }
    while !interrupt.has_come() {
        thread::sleep(TICK);
    }
    Ok(())
}
