//! The program `xdtls`: reads the command line and hands over to the library.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use xdtls::access::ListName;
use xdtls::admin::commands;
use xdtls::cli::{Cli, Command, LogFormat};
use xdtls::exit::Exit;
use xdtls::finding::{Findings, Severity};
use xdtls::{check, connect, dev_certs, doctor, gateway};

fn main() -> ExitCode {
    let arguments = Cli::parse();
    let log = tracing_subscriber::fmt()
        .with_max_level(arguments.log)
        .with_writer(std::io::stderr)
        // A disk that is full costs lines of the log. Complaining of it to the same disk would panic.
        .log_internal_errors(false)
        .with_target(false);
    match arguments.log_format {
        // Colours are for terminals; in a log file they are noise.
        LogFormat::Human => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).init(),
    }
    match run(arguments.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            // Where even this cannot be written, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "xdtls: {error:#}");
            Exit::of(&error).into()
        }
    }
}

fn run(command: Command) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    match command {
        Command::Gateway(arguments) => runtime.block_on(gateway::run(arguments))?,
        Command::Peer(arguments) => runtime.block_on(gateway::run_peer(arguments))?,
        Command::Connect(arguments) => runtime.block_on(connect::run(*arguments))?,
        Command::DevCerts(options) => {
            let written = dev_certs::write(&options)?;
            print!("{}", dev_certs::summary(&options, &written));
        }
        Command::Allow(arguments) => {
            print!("{}", runtime.block_on(commands::access(ListName::Allow, &arguments))?);
        }
        Command::Deny(arguments) => {
            print!("{}", runtime.block_on(commands::access(ListName::Deny, &arguments))?);
        }
        Command::Status(arguments) => {
            print!("{}", runtime.block_on(commands::status(&arguments))?);
        }
        Command::Associations(arguments) => {
            print!("{}", runtime.block_on(commands::associations(&arguments))?);
        }
        Command::Drops(arguments) => {
            print!("{}", runtime.block_on(commands::drops(&arguments))?);
        }
        Command::Trace(arguments) => runtime.block_on(commands::trace(&arguments))?,
        Command::Reload(arguments) => {
            print!("{}", runtime.block_on(commands::reload(&arguments))?);
        }
        Command::Check(arguments) => {
            return Ok(show(&runtime.block_on(check::run(&arguments.config)), arguments.json));
        }
        Command::Doctor(arguments) => {
            return Ok(show(&runtime.block_on(doctor::run(&arguments.interface)), arguments.json));
        }
    }
    Ok(Exit::Success)
}

/// Prints findings; one problem is enough for an exit code of its own.
fn show(findings: &Findings, json: bool) -> Exit {
    if json {
        println!("{:#}", findings.to_json());
    } else {
        print!("{findings}");
    }
    if findings.count(Severity::Problem) > 0 { Exit::Problem } else { Exit::Success }
}
