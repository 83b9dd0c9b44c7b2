//! `xdtls-bench measure`: the whole experiment.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::experiment::Bench;
use crate::experiment::cost::Cost;
use crate::experiment::established::Established;
use crate::experiment::handshakes::UnderFlood;
use crate::interrupt::Interrupt;
use crate::lab::Lab;
use crate::plot;
use crate::report::{Machine, Raw, Report};

/// Floods a gateway in namespaces of its own and measures what becomes of it, and of those who
/// want to talk to it.
///
/// It takes about eight minutes and both of two cores: let nothing else run. Progress goes to
/// standard error, the tables to standard output.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Print one JSON object, with all counts, instead of the tables
    #[arg(long)]
    json: bool,
    /// Rounds of which the medians are taken
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Write the plot of the rates to this file, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Measures everything and reports. Missed aims are no failure: they are figures.
pub fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::register()?;
    if let Some(reason) = xdtls_netlab::missing() {
        anyhow::bail!("network namespaces cannot be made here: {reason}");
    }
    let machine = Machine::this();
    ensure!(machine.cores >= 2, "a flood and a gateway need a core each; there is one here");
    xdtls_netlab::sweep()?;
    let begin = Instant::now();
    let lab = Lab::new()?;
    let raw = measure(&Bench { lab: &lab, interrupt: &interrupt }, options.rounds)?;
    drop(lab);
    let report = Report::of(raw, machine);
    if let Some(path) = &options.plot {
        std::fs::write(path, plot::rates(&report))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.table());
    }
    eprintln!("bench: took {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn measure(bench: &Bench, rounds: u32) -> Result<Raw> {
    let mut raw = Raw::default();
    for round in 1..=rounds {
        bench.step(&format!(
            "round {round} of {rounds}: the gateway's XDP program and its bounds"
        ))?;
        raw.bounds.round(bench)?;
        bench.step(&format!("round {round} of {rounds}: servers on sockets"))?;
        raw.servers.round(bench)?;
    }
    bench.step("what ten million hellos cost")?;
    raw.cost = Cost::measure(bench)?;
    raw.handshakes = UnderFlood::measure(bench)?;
    raw.established = Established::measure(bench)?;
    Ok(raw)
}
