//! What a record costs when the next one is for any of the associations, and when all are for one.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use xdtls_common::id::LocalId;
use xdtls_proto::keys::Role;
use xdtls_proto::record_plane::ExpandedKey;

use super::population::{Peer, Population, SUITE};
use crate::numbers::{median, ratio};
use xdtls_bench_instructions::shards::{ENDPOINT, keys_of};

/// Records of one batch: as many as a worker takes from its ring at once.
const BATCH: usize = 64;

/// Batches of each kind.
const BATCHES: usize = 1_000;

/// Lengths of plaintext.
const SIZES: [usize; 2] = [64, 1400];

/// Nanoseconds a record.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Cost {
    /// All records are of one association.
    pub hot: f64,
    /// Each is of an association drawn at random.
    pub random: f64,
}

impl Cost {
    /// How many times as much the random ones cost.
    pub fn random_vs_hot(self) -> f64 {
        ratio(self.random, self.hot)
    }
}

/// What opening and sealing cost, by length of the plaintext.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct RecordCosts {
    /// 64 bytes, opened.
    pub open_64: Cost,
    /// 64 bytes, sealed.
    pub seal_64: Cost,
    /// 1400 bytes, opened.
    pub open_1400: Cost,
    /// 1400 bytes, sealed.
    pub seal_1400: Cost,
    /// To expand one key, which every record at random needs.
    pub expand_ns: f64,
}

/// Which association comes next: a generator of the kind of Weyl's, which is plenty here.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        ((self.0 >> 33) % bound as u64) as usize
    }
}

/// A batch's times, hot and at random.
type Times = [Vec<f64>; 2];

impl RecordCosts {
    pub(super) fn measure(all: &mut Population, now: Instant) -> Result<Self> {
        // Each peer has sealed one record, numbered 1, to show that its keys are there.
        let mut sequences = vec![1_u32; all.ids.len()];
        let mut draw = Draw(all.ids.len() as u64);
        let mut costs = Vec::new();
        for size in SIZES {
            let (mut opened, mut sealed): (Times, Times) = Default::default();
            for _ in 0..BATCHES {
                for (kind, one) in [true, false].into_iter().enumerate() {
                    let mut numbers = || -> Vec<usize> {
                        let count = if one { 1 } else { all.ids.len() };
                        (0..BATCH).map(|_| draw.below(count)).collect()
                    };
                    let (to_open, to_seal) = (numbers(), numbers());
                    let took = open(all, now, &to_open, size, &mut sequences)?;
                    opened[kind].push(took.as_nanos() as f64 / BATCH as f64);
                    let took = seal(all, now, &to_seal, size)?;
                    sealed[kind].push(took.as_nanos() as f64 / BATCH as f64);
                }
            }
            costs.extend(
                [opened, sealed]
                    .map(|[hot, random]| Cost { hot: median(hot), random: median(random) }),
            );
        }
        let [open_64, seal_64, open_1400, seal_1400] =
            costs.try_into().ok().context("two lengths were measured")?;
        Ok(Self { open_64, seal_64, open_1400, seal_1400, expand_ns: expansion() })
    }
}

/// What expanding a key costs, with everything at hand.
fn expansion() -> f64 {
    let (keys, _) = keys_of(1, SUITE, Role::Server);
    median((0..BATCHES).map(|_| {
        let begin = Instant::now();
        for _ in 0..BATCH {
            black_box(ExpandedKey::new(black_box(&keys)));
        }
        begin.elapsed().as_nanos() as f64 / BATCH as f64
    }))
}

fn open(
    all: &mut Population,
    now: Instant,
    numbers: &[usize],
    size: usize,
    sequences: &mut [u32],
) -> Result<Duration> {
    let plaintext = vec![0x42; size];
    let mut datagrams = Vec::with_capacity(BATCH);
    for &number in numbers {
        let sequence = &mut sequences[number];
        let mut peer = Peer::after(number as u64, all.ids[number], u64::from(*sequence));
        *sequence += 1;
        datagrams.push(peer.seal(&plaintext)?);
    }
    let before = all.wire.plaintexts;
    let begin = Instant::now();
    let mut ahead = all.shard.look_ahead();
    datagrams.iter().for_each(|datagram| ahead.to_open(datagram));
    ahead.read();
    for datagram in &mut datagrams {
        all.shard.receive(now, None, ENDPOINT, datagram, &mut all.wire);
    }
    let took = begin.elapsed();
    let opened = all.wire.plaintexts - before;
    ensure!(opened == BATCH as u64, "only {opened} were opened: {:?}", all.wire.dropped);
    Ok(took)
}

fn seal(all: &mut Population, now: Instant, numbers: &[usize], size: usize) -> Result<Duration> {
    let plaintext = vec![0x42; size];
    let ids: Vec<LocalId> = numbers.iter().map(|number| all.ids[*number]).collect();
    all.wire.clear();
    let begin = Instant::now();
    let mut ahead = all.shard.look_ahead();
    ids.iter().for_each(|id| ahead.to_seal(*id));
    ahead.read();
    for id in &ids {
        all.shard.send(now, *id, &plaintext, &mut all.wire);
    }
    let took = begin.elapsed();
    let sealed = all.wire.datagrams().len();
    ensure!(sealed == BATCH, "only {sealed} were sealed: {:?}", all.wire.dropped);
    Ok(took)
}
