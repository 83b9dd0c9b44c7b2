//! One worker's associations without a network: each has both its ends here.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xdtls_bench_instructions::shards::{ENDPOINT, Wire, install, installation, shard};
use xdtls_common::id::{IdLayout, LocalId, PeerId};
use xdtls_proto::keys::Role;
use xdtls_proto::shard::Shard;
use xdtls_proto::suite::CipherSuite;

use crate::associations::Draw;

/// What all associations have negotiated.
const SUITE: CipherSuite = CipherSuite::EcdheEcdsaAes128Gcm;

/// Records of one batch: as many as a worker takes from its ring at once.
const BATCH: usize = 64;

/// Batches between two looks at the clock.
const BATCHES: usize = 16;

/// Generations of the ids at either end.
const GENERATIONS: [u32; 2] = [0x11, 0x22];

/// One end of all associations.
struct End {
    shard: Shard,
    ids: Vec<LocalId>,
}

impl End {
    /// The ids of `count` associations, and a shard that knows none of them yet.
    fn new(layout: IdLayout, count: u32, generation: u32) -> Option<Self> {
        let cached_keys = xdtls::node::CACHED_KEYS.min(count as usize);
        let ids = (0..count).map(|slot| layout.id(slot, generation)).collect::<Option<_>>()?;
        Some(Self { shard: shard(count, layout, None, cached_keys), ids })
    }
}

/// A worker: two shards, between which every record goes.
pub(super) struct Worker {
    ends: [End; 2],
    now: Instant,
    draw: Draw,
    drawn: Vec<usize>,
    sealed: Wire,
    opened: Wire,
}

impl Worker {
    /// Makes `count` associations; `index` tells workers' keys apart.
    pub(super) fn new(index: u64, count: u32) -> Result<Self> {
        let layout = IdLayout::for_capacity(count, 1).context("so many ids there are not")?;
        let ends = GENERATIONS.map(|generation| End::new(layout, count, generation));
        let [near, far] = ends.map(|end| end.context("0 is no id"));
        let (mut ends, now) = ([near?, far?], Instant::now());
        let mut out = Wire::default();
        for slot in 0..count as usize {
            let number = index << 32 | slot as u64;
            let ids = [ends[0].ids[slot], ends[1].ids[slot]];
            for (at, role) in [Role::Client, Role::Server].into_iter().enumerate() {
                let peer = PeerId::new(ids[1 - at].value()).context("0 is no id")?;
                let made = installation(number, ids[at], peer, role, SUITE);
                install(&mut ends[at].shard, now, made, &mut out);
            }
        }
        let all = ends.iter().all(|end| end.shard.established() == count as usize);
        ensure!(all, "not all associations were installed");
        let (draw, drawn) = (Draw(index), Vec::with_capacity(BATCH));
        Ok(Self { ends, now, draw, drawn, sealed: Wire::default(), opened: Wire::default() })
    }

    /// Passes records of `size` bytes for so long, each for an association drawn at random, up and
    /// down by turns; how many a second were sealed and opened.
    pub(super) fn run(&mut self, size: usize, time: Duration) -> Result<f64> {
        let plaintext = vec![0x42; size];
        let (begin, mut passed) = (Instant::now(), 0);
        while begin.elapsed() < time {
            for batch in 0..BATCHES {
                self.batch(batch % 2, &plaintext);
            }
            passed += BATCHES * BATCH;
        }
        let seconds = begin.elapsed().as_secs_f64();
        let opened = std::mem::take(&mut self.opened.plaintexts);
        ensure!(opened == passed as u64, "{opened} of {passed} were opened");
        Ok(passed as f64 / seconds)
    }

    /// One batch from one end to the other.
    fn batch(&mut self, from: usize, plaintext: &[u8]) {
        let Self { ends: [near, far], now, draw, drawn, sealed, opened } = self;
        let (from, to) = if from == 0 { (near, far) } else { (far, near) };
        drawn.clear();
        drawn.extend((0..BATCH).map(|_| draw.below(from.ids.len())));
        sealed.clear();
        let mut ahead = from.shard.look_ahead();
        drawn.iter().for_each(|slot| ahead.to_seal(from.ids[*slot]));
        ahead.read();
        for slot in &*drawn {
            from.shard.send(*now, from.ids[*slot], plaintext, sealed);
        }
        let mut ahead = to.shard.look_ahead();
        sealed.datagrams().iter().for_each(|datagram| ahead.to_open(datagram));
        ahead.read();
        for datagram in sealed.datagrams() {
            to.shard.receive(*now, None, ENDPOINT, datagram, opened);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_opened_whichever_association_it_is_for() {
        for count in [1, 3, 200] {
            let mut worker = Worker::new(7, count).unwrap();
            for batch in 0..20 {
                worker.batch(batch % 2, b"some plaintext");
            }
            assert_eq!(worker.opened.plaintexts, 20 * BATCH as u64);
            assert_eq!((worker.sealed.drops, worker.opened.drops), (0, 0));
        }
    }
}
