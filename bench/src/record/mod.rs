//! `xdtls-bench record`: what sealing and opening a record costs, beside ring alone, OpenSSL's
//! records and OpenSSL's ciphers.
//!
//! All contenders take turns within one loop, a batch each, so that whatever slows the machine
//! slows all of them. The figure of a round is the median of its batches; ratios are taken round by
//! round.

mod contenders;
mod openssl;
mod report;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use xdtls_proto::suite::CipherSuite;

use crate::interrupt::Interrupt;
use crate::numbers::median;
use crate::outcome::{self, Options};
use contenders::{Plane, RingAlone, Shards};
use openssl::{Evp, Ssl};

/// Records of one batch, each in a buffer of its own.
const BATCH: usize = 64;

/// Batches of each contender in one round.
const BATCHES: usize = 500;
const BATCHES_QUICK: usize = 20;

/// Lengths of plaintext in bytes.
const SIZES: [usize; 5] = [64, 256, 512, 1024, 1400];

/// One suite for each AEAD.
const SUITES: [CipherSuite; 3] = [
    CipherSuite::EcdheEcdsaAes128Gcm,
    CipherSuite::EcdheEcdsaAes256Gcm,
    CipherSuite::EcdheEcdsaChaCha20Poly1305,
];

/// Seals a batch of records of one length and opens what it has sealed.
trait Contender {
    /// Seals [`BATCH`] plaintexts; returns how long that took.
    fn seal(&mut self) -> Result<Duration>;

    /// Opens the records of the last batch; returns how long that took.
    fn open(&mut self) -> Result<Duration>;
}

/// The contenders, in the order of the tables.
const CONTENDERS: [&str; 5] = ["ring", "plane", "shard", "evp", "ssl"];

/// Nanoseconds a record of one contender, round by round.
#[derive(Debug, Default, Serialize)]
pub struct Costs {
    /// To seal.
    pub seal: Vec<f64>,
    /// To open.
    pub open: Vec<f64>,
}

/// One suite at one length.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// The AEAD.
    pub aead: String,
    /// Length of the plaintext in bytes.
    pub size: usize,
    /// ring alone: nonces and additional data are ready, and nothing else is done.
    pub ring: Costs,
    /// Our record plane: counters, header and nonce written; parsed, window checked, opened,
    /// window committed.
    pub plane: Costs,
    /// A whole shard: from plaintext to a datagram with its prefix, copied and sealed; from a
    /// datagram to plaintext, looked up, opened and counted.
    pub shard: Costs,
    /// OpenSSL's cipher alone, its key expanded once.
    pub evp: Costs,
    /// `SSL_write` and `SSL_read` over memory.
    pub ssl: Costs,
}

impl Cell {
    fn costs(&self) -> [&Costs; 5] {
        [&self.ring, &self.plane, &self.shard, &self.evp, &self.ssl]
    }

    fn costs_mut(&mut self) -> [&mut Costs; 5] {
        [&mut self.ring, &mut self.plane, &mut self.shard, &mut self.evp, &mut self.ssl]
    }
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Records {
    cells: Vec<Cell>,
}

/// Measures and reports.
pub fn run(options: &Options) -> Result<()> {
    let (begin, interrupt) = (Instant::now(), Interrupt::register()?);
    let mut cells = Vec::new();
    for suite in SUITES {
        for size in SIZES {
            cells.push(Cell::empty(suite, size));
        }
    }
    let batches = if options.quick { BATCHES_QUICK } else { BATCHES };
    for round in 1..=options.rounds() {
        eprintln!("bench: round {round} of {}", options.rounds());
        let pairs = SUITES.iter().flat_map(|suite| SIZES.map(|size| (*suite, size)));
        for ((suite, size), cell) in pairs.zip(&mut cells) {
            interrupt.check()?;
            cell.round(suite, size, batches)?;
        }
    }
    outcome::present(options, begin, &Records { cells })
}

impl Cell {
    fn empty(suite: CipherSuite, size: usize) -> Self {
        let costs = Costs::default;
        let aead = format!("{:?}", suite.aead());
        Self {
            aead,
            size,
            ring: costs(),
            plane: costs(),
            shard: costs(),
            evp: costs(),
            ssl: costs(),
        }
    }

    fn round(&mut self, suite: CipherSuite, size: usize, batches: usize) -> Result<()> {
        let shards = Shards::new(suite, size).context("no room for one association")?;
        let mut contenders: [Box<dyn Contender>; CONTENDERS.len()] = [
            Box::new(RingAlone::new(suite, size)?),
            Box::new(Plane::new(suite, size)),
            Box::new(shards),
            Box::new(Evp::new(suite, size)?),
            Box::new(Ssl::new(suite, size)?),
        ];
        let mut times = [const { (Vec::new(), Vec::new()) }; CONTENDERS.len()];
        for _ in 0..batches {
            for (contender, (seal, open)) in contenders.iter_mut().zip(&mut times) {
                seal.push(contender.seal()?.as_nanos() as f64 / BATCH as f64);
                open.push(contender.open()?.as_nanos() as f64 / BATCH as f64);
            }
        }
        for (costs, (seal, open)) in self.costs_mut().into_iter().zip(times) {
            costs.seal.push(median(seal));
            costs.open.push(median(open));
        }
        Ok(())
    }
}
