//! Project commands: `cargo xtask <command>`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

mod apt;
mod become_program;
mod bench;
mod bpf;
mod bpf_budget;
mod bpf_size;
mod build;
mod ci;
mod cmd;
mod demo;
mod docs;
mod flood;
mod fuzz;
mod lab_parts;
mod nic;
mod rust_src;
mod sanitize;
mod setup;
mod soak;
mod summary;
mod test;
mod tidy;

/// Set-up, build and checks of xdtls.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Xtask {
    /// Install what the build and the tests need and this machine lacks
    Setup,
    /// Build the eBPF object and the release binaries
    Build,
    /// Show a client, a gateway and a backend at work in network namespaces, and check every byte
    Demo(demo::Options),
    /// Run all tests; what follows `--` goes to `cargo test`
    Test {
        /// Arguments of `cargo test`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Write the pages that are made from code: manual, completions, drops, metrics
    Docs,
    /// Measure xdtls beside what it is compared with; docs/benchmarks.md has what came out
    Bench {
        /// What to measure
        #[command(subcommand)]
        what: bench::Bench,
    },
    /// Send a flood through an interface of yours; `--help` tells all about it
    #[command(disable_help_flag = true)]
    Flood {
        /// Arguments of the generator
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Start a gateway on an interface, in the background; `--help` tells all about it
    #[command(disable_help_flag = true)]
    Load {
        /// Arguments of `load`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// End the gateway that `load` has started; the interface is as it was
    #[command(disable_help_flag = true)]
    Unload {
        /// Arguments of `unload`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Send packets at a gateway and account for each of them; `--help` tells all about it
    #[command(disable_help_flag = true)]
    Pktgen {
        /// Arguments of the generators
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Try everything on emulated network cards with their real drivers, under QEMU
    #[command(disable_help_flag = true)]
    Lab {
        /// Arguments of the lab
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Let libFuzzer look for inputs that break a promise
    Fuzz(fuzz::Options),
    /// Run the tests of what is unsafe with AddressSanitizer, which builds everything anew
    Sanitize,
    /// Let traffic, churn and faults run together for minutes; `--help` tells all about it
    #[command(disable_help_flag = true)]
    Soak {
        /// Arguments of the soak
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run every check: tidiness, format, lints, documentation, dependencies, tests
    Ci,
}

fn main() -> ExitCode {
    match run(Xtask::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Xtask) -> Result<ExitCode> {
    match command {
        Xtask::Setup => setup::run()?,
        Xtask::Build => build::run()?,
        Xtask::Demo(options) => return demo::run(&options),
        Xtask::Fuzz(options) => fuzz::run(&options)?,
        Xtask::Sanitize => sanitize::run()?,
        Xtask::Test { args } => return test::run(&args),
        Xtask::Docs => docs::run()?,
        Xtask::Bench { what } => bench::run(&what)?,
        Xtask::Flood { args } => flood::run(&args)?,
        Xtask::Soak { args } => soak::run(&args)?,
        Xtask::Load { args } => nic::run("load", &args)?,
        Xtask::Unload { args } => nic::run("unload", &args)?,
        Xtask::Pktgen { args } => nic::run("pktgen", &args)?,
        Xtask::Lab { args } => nic::lab(&args)?,
        Xtask::Ci => return ci::run(),
    }
    Ok(ExitCode::SUCCESS)
}
