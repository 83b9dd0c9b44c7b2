//! `xdtls-bench associations`: what very many associations cost.
//!
//! No handshakes are made: each association's keys are derived from a master secret of its own, as
//! they are after a handshake, and installed where a gateway has them (shard, registry, routes,
//! maps of the XDP program). That all keys are there and different is shown with each of them: a
//! record sealed by its peer is opened, and one that it seals is opened by its peer.
//!
//! Each number of associations has a process of its own, so that none finds memory that another
//! has left.

mod judging;
mod population;
mod records;
mod report;

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use xdtls_netlab::capture;

use crate::interrupt::Interrupt;
use crate::numbers::median;
use crate::openssl_pair::{Credentials, Pair};
use crate::outcome::{self, Options};
use crate::process_cost::memory;

pub use judging::Judging;
pub use population::Population;
pub(crate) use records::Draw;
pub use records::{Cost, RecordCosts};

/// How many associations are measured.
const COUNTS: [u32; 4] = [1, 1_000, 100_000, 1_000_000];
const COUNTS_QUICK: [u32; 3] = [1, 1_000, 10_000];

/// How often each number of associations is measured: how fast memory is differs from process to
/// process, with the pages that each gets.
const ROUNDS: usize = 3;

/// Pairs of OpenSSL objects.
const PAIRS: usize = 1_000;
const PAIRS_QUICK: usize = 100;

/// One number of associations, in this process.
#[derive(Args, Clone, Debug)]
pub struct PopulationOptions {
    /// How many
    #[arg(long)]
    count: u32,
}

/// OpenSSL's objects at rest.
#[derive(Debug, Default, Serialize)]
pub struct Objects {
    /// Established objects, both ends of each association.
    pub objects: usize,
    /// Resident bytes of one.
    pub bytes_per_object: f64,
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Associations {
    populations: Vec<Rounds>,
    openssl: Objects,
}

/// One number of associations, measured several times.
#[derive(Debug, Serialize)]
pub struct Rounds(Vec<Measured>);

impl Rounds {
    /// The median of what is looked at.
    fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        median(self.0.iter().map(of))
    }
}

/// What one number of associations costs.
#[derive(Debug, Deserialize, Serialize)]
pub struct Measured {
    /// How many there are.
    pub associations: u32,
    /// How many of them have opened a record of their peer and sealed one for it.
    pub verified: u32,
    /// Growth of resident memory and of BPF maps for each, before any traffic.
    pub bytes_fresh: f64,
    /// The same once all have opened and sealed a record and are idle.
    pub bytes_idle: f64,
    /// Of these, in BPF maps.
    pub bytes_of_maps: f64,
    /// Associations with a backend flow.
    pub active: u32,
    /// What a flow adds in the process, and in the kernel's slabs, in bytes.
    pub bytes_of_flow: [f64; 2],
    /// Installed a second, registry, routes and maps included.
    pub opened_per_second: f64,
    /// Closed a second, with close_notify sealed for each.
    pub closed_per_second: f64,
    /// Nanoseconds for one deadline that comes up early and is put back.
    pub timer_ns: f64,
    /// What it takes to judge all of them by other rules.
    pub judging: Judging,
    /// What records cost.
    pub records: RecordCosts,
}

/// Measures and reports.
pub fn run(options: &Options) -> Result<()> {
    let (begin, interrupt) = (Instant::now(), Interrupt::register()?);
    let (counts, rounds) =
        if options.quick { (&COUNTS_QUICK[..], 1) } else { (&COUNTS[..], ROUNDS) };
    let mut populations = Vec::new();
    for count in counts {
        let mut measured = Vec::new();
        for round in 1..=rounds {
            interrupt.check()?;
            eprintln!("bench: {count} associations, round {round} of {rounds}");
            measured.push(in_a_process(*count)?);
        }
        populations.push(Rounds(measured));
    }
    eprintln!("bench: OpenSSL objects");
    let openssl = Objects::measure(if options.quick { PAIRS_QUICK } else { PAIRS })?;
    outcome::present(options, begin, &Associations { populations, openssl })
}

/// Measures one number of associations and prints it.
pub fn run_population(options: &PopulationOptions) -> Result<()> {
    let measured = Population::measure(options.count)?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

fn in_a_process(count: u32) -> Result<Measured> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["population", "--count", &count.to_string()]);
    let printed = capture(&mut command)?;
    let line = printed.lines().last().context("a population has printed nothing")?;
    let measured: Measured = serde_json::from_str(line)?;
    ensure!(measured.verified == count, "only {} of {count} associations work", measured.verified);
    Ok(measured)
}

impl Objects {
    fn measure(pairs: usize) -> Result<Self> {
        let contexts = Credentials::new()?.contexts("ECDHE-ECDSA-AES128-GCM-SHA256")?;
        // What OpenSSL loads at the first handshake is not the object's.
        Pair::new(&contexts)?.handshake()?;
        let (before, mut kept) = (memory(std::process::id())?, Vec::new());
        for _ in 0..pairs {
            let mut pair = Pair::new(&contexts)?;
            pair.handshake()?;
            kept.push(pair);
        }
        let grown = memory(std::process::id())?.resident.saturating_sub(before.resident);
        let objects = 2 * kept.len();
        Ok(Self { objects, bytes_per_object: grown as f64 / objects as f64 })
    }
}
