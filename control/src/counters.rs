//! Counters that one thread writes and others read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use xdtls_common::{DropReason, Outcome};
use xdtls_proto::shard::ShardCounters;

use crate::datapath::xdp::XdpCounters;

/// What one thread has counted. Only its owner writes, so that plain loads and stores will do.
pub struct Counters {
    drops: [AtomicU64; DropReason::COUNT],
    traffic: [AtomicU64; TRAFFIC],
}

const TRAFFIC: usize = 11;

impl Default for Counters {
    fn default() -> Self {
        Self {
            drops: std::array::from_fn(|_| AtomicU64::new(0)),
            traffic: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

impl Counters {
    /// Counts `by` drops.
    pub fn dropped_many(&self, reason: DropReason, by: u64) {
        add(&self.drops[reason.as_index()], by);
    }

    /// Counts a drop.
    pub fn dropped(&self, reason: DropReason) {
        self.dropped_many(reason, 1);
    }

    /// Counts a handshake that ended.
    pub fn handshake(&self, succeeded: bool) {
        add(&self.traffic[if succeeded { 7 } else { 8 }], 1);
    }

    /// Notes whether a handshake thread is overloaded.
    pub fn overload(&self, overloaded: bool) {
        self.traffic[10].store(overloaded.into(), Ordering::Relaxed);
    }

    /// Counts datagrams that AF_XDP has delivered.
    pub fn fast_path(&self, by: u64) {
        add(&self.traffic[9], by);
    }

    /// Publishes what a shard has done so far.
    pub fn publish(&self, shard: ShardCounters, established: usize) {
        let values = [
            shard.opened,
            shard.opened_bytes,
            shard.sealed,
            shard.sealed_bytes,
            shard.hello_verify_requests,
            shard.final_flights_repeated,
            established as u64,
        ];
        for (counter, value) in self.traffic.iter().zip(values) {
            counter.store(value, Ordering::Relaxed);
        }
    }
}

/// The sum over all threads at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Plaintext datagrams opened: outside to inside.
    pub opened: u64,
    /// Their bytes.
    pub opened_bytes: u64,
    /// Plaintext datagrams sealed: inside to outside.
    pub sealed: u64,
    /// Their bytes.
    pub sealed_bytes: u64,
    /// HelloVerifyRequests sent, by the XDP program and here.
    pub hello_verify_requests: u64,
    /// Final flights repeated.
    pub final_flights_repeated: u64,
    /// Associations established now.
    pub associations: u64,
    /// Handshakes that succeeded.
    pub handshakes_ok: u64,
    /// Handshakes that failed.
    pub handshakes_failed: u64,
    /// Datagrams of the outside that AF_XDP sockets have delivered.
    pub fast_path: u64,
    /// Handshake threads that are overloaded now, so that new handshakes give way.
    pub overload: u64,
    /// Drops by reason, in the XDP program and here; reasons that did not occur are left out.
    pub drops: BTreeMap<String, u64>,
    /// What became of packets that the XDP program did not drop.
    pub xdp: BTreeMap<String, u64>,
}

impl Totals {
    /// Sums up, with what the XDP program has counted if there is one.
    pub fn of<'a>(
        all: impl IntoIterator<Item = &'a Counters>,
        program: Option<&XdpCounters>,
    ) -> Self {
        let mut traffic = [0; TRAFFIC];
        let mut drops = [0; DropReason::COUNT];
        for counters in all {
            for (sum, counter) in traffic.iter_mut().zip(&counters.traffic) {
                *sum += counter.load(Ordering::Relaxed);
            }
            for (sum, counter) in drops.iter_mut().zip(&counters.drops) {
                *sum += counter.load(Ordering::Relaxed);
            }
        }
        for (reason, count) in program.into_iter().flat_map(XdpCounters::drops) {
            drops[reason.as_index()] += count;
        }
        let outcomes = program.into_iter().flat_map(XdpCounters::outcomes);
        let xdp: BTreeMap<_, _> =
            outcomes.map(|(outcome, count)| (outcome.as_str().to_owned(), count)).collect();
        let answered = xdp.get(Outcome::HelloVerifyRequest.as_str()).copied().unwrap_or(0);
        let [opened, opened_bytes, sealed, sealed_bytes, rest @ ..] = traffic;
        let [hello_verify_requests, final_flights_repeated, associations, rest @ ..] = rest;
        let [ok, failed, fast_path, overload] = rest;
        let named = DropReason::ALL.iter().map(|reason| reason.as_str().to_owned()).zip(drops);
        Self {
            opened,
            opened_bytes,
            sealed,
            sealed_bytes,
            hello_verify_requests: hello_verify_requests + answered,
            final_flights_repeated,
            associations,
            handshakes_ok: ok,
            handshakes_failed: failed,
            fast_path,
            overload,
            drops: named.filter(|(_, count)| *count > 0).collect(),
            xdp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_sums_under_their_names() {
        let (first, second) = (Counters::default(), Counters::default());
        first.dropped(DropReason::TooBig);
        second.dropped_many(DropReason::TooBig, 2);
        second.handshake(true);
        second.handshake(false);
        let shard = ShardCounters { opened: 3, sealed_bytes: 9, ..ShardCounters::default() };
        first.publish(shard, 4);
        second.publish(shard, 1);
        let totals = Totals::of([&first, &second], None);
        assert_eq!((totals.opened, totals.sealed_bytes, totals.associations), (6, 18, 5));
        assert_eq!((totals.handshakes_ok, totals.handshakes_failed), (1, 1));
        assert_eq!(totals.drops, [("too_big".to_owned(), 3)].into());
    }
}
