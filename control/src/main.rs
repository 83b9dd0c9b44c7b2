//! The program `xdtls`: reads the command line and hands over to the library.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::runtime::Runtime;
use xdtls::access::ListName;
use xdtls::admin::commands;
use xdtls::cli::{Access, Cli, Command};
use xdtls::config::Config;
use xdtls::{connect, dev_certs, gateway};

fn main() -> ExitCode {
    let arguments = Cli::parse();
    tracing_subscriber::fmt()
        .with_max_level(arguments.log)
        .with_writer(std::io::stderr)
        // Colours are for terminals; in a log file they are noise.
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
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
        Command::Gateway(arguments) => {
            let mut config = Config::load(&arguments.config)?;
            config.gateway.datapath = arguments.datapath.over(config.gateway.datapath);
            runtime.block_on(gateway::run(config))
        }
        Command::Connect(arguments) => runtime.block_on(connect::run(arguments)),
        Command::DevCerts(options) => {
            let written = dev_certs::write(&options)?;
            print!("{}", dev_certs::summary(&options, &written));
            Ok(())
        }
        Command::Allow(arguments) => change_access(&runtime, ListName::Allow, &arguments),
        Command::Deny(arguments) => change_access(&runtime, ListName::Deny, &arguments),
        Command::Status(arguments) => {
            let status = commands::status(&arguments.socket, arguments.json);
            print!("{}", runtime.block_on(status)?);
            Ok(())
        }
    }
}

fn change_access(runtime: &Runtime, list: ListName, arguments: &Access) -> Result<()> {
    let printed = commands::access(&arguments.socket, list, arguments.action.into());
    print!("{}", runtime.block_on(printed)?);
    Ok(())
}
