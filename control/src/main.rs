//! The program `xdtls`: reads the command line and hands over to the library.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use xdtls::admin::commands;
use xdtls::cli::{Cli, Command, LogFormat};
use xdtls::{connect, dev_certs, gateway};

fn main() -> ExitCode {
    let arguments = Cli::parse();
    let log = tracing_subscriber::fmt()
        .with_max_level(arguments.log)
        .with_writer(std::io::stderr)
        .with_target(false);
    match arguments.log_format {
        // Colours are for terminals; in a log file they are noise.
        LogFormat::Human => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).init(),
    }
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xdtls: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    match command {
        Command::Gateway(arguments) => runtime.block_on(gateway::run(arguments)),
        Command::Connect(arguments) => runtime.block_on(connect::run(arguments)),
        Command::DevCerts(options) => {
            let written = dev_certs::write(&options)?;
            print!("{}", dev_certs::summary(&options, &written));
            Ok(())
        }
        Command::Status(arguments) => {
            print!("{}", runtime.block_on(commands::status(&arguments))?);
            Ok(())
        }
        Command::Associations(arguments) => {
            print!("{}", runtime.block_on(commands::associations(&arguments))?);
            Ok(())
        }
        Command::Drops(arguments) => {
            print!("{}", runtime.block_on(commands::drops(&arguments))?);
            Ok(())
        }
        Command::Trace(arguments) => runtime.block_on(commands::trace(&arguments)),
        Command::Reload(arguments) => {
            print!("{}", runtime.block_on(commands::reload(&arguments))?);
            Ok(())
        }
    }
}
