//! Counters that one thread writes and others read.

use std::array;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use xdtls_common::{DropReason, Outcome};
use xdtls_proto::association::CloseCause;
use xdtls_proto::failure::FailureClass;
use xdtls_proto::shard::ShardCounters;

use crate::datapath::xdp::XdpCounters;

/// Which kind of thread counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A worker, with its inside.
    Worker,
    /// A thread of handshakes.
    Handshakes,
}

/// What one thread has counted. Only its owner writes, so that plain loads and stores will do.
pub struct Counters {
    place: Place,
    drops: [AtomicU64; DropReason::COUNT],
    shard: [AtomicU64; SHARD],
    fast_path: AtomicU64,
    fast_path_sent: AtomicU64,
    fast_path_inside: AtomicU64,
    fast_path_inside_sent: AtomicU64,
    half_open: AtomicU64,
    sessions: AtomicU64,
    overload: AtomicU64,
    handshakes_ok: AtomicU64,
    handshakes_resumed: AtomicU64,
    handshakes_failed: [AtomicU64; FailureClass::COUNT],
    ended: [AtomicU64; CloseCause::LABELS.len()],
}

/// What a shard publishes: its counters and its associations.
const SHARD: usize = 11;

fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Counters {
    /// Counters of a thread of this kind.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            drops: array::from_fn(|_| AtomicU64::new(0)),
            shard: array::from_fn(|_| AtomicU64::new(0)),
            fast_path: AtomicU64::new(0),
            fast_path_sent: AtomicU64::new(0),
            fast_path_inside: AtomicU64::new(0),
            fast_path_inside_sent: AtomicU64::new(0),
            half_open: AtomicU64::new(0),
            sessions: AtomicU64::new(0),
            overload: AtomicU64::new(0),
            handshakes_ok: AtomicU64::new(0),
            handshakes_resumed: AtomicU64::new(0),
            handshakes_failed: array::from_fn(|_| AtomicU64::new(0)),
            ended: array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Counts `by` drops.
    pub fn dropped_many(&self, reason: DropReason, by: u64) {
        add(&self.drops[reason.as_index()], by);
    }

    /// Counts a drop.
    pub fn dropped(&self, reason: DropReason) {
        self.dropped_many(reason, 1);
    }

    /// Counts a handshake that succeeded.
    pub fn handshake_ok(&self) {
        add(&self.handshakes_ok, 1);
    }

    /// Counts a handshake that has continued an earlier session.
    pub fn handshake_resumed(&self) {
        add(&self.handshakes_resumed, 1);
    }

    /// Counts a handshake that failed.
    pub fn handshake_failed(&self, class: FailureClass) {
        add(&self.handshakes_failed[class.as_index()], 1);
    }

    /// Counts an association that has ended.
    pub fn ended(&self, cause: CloseCause) {
        add(&self.ended[cause.as_index()], 1);
    }

    /// Publishes how many associations are half-open.
    pub fn half_open(&self, count: usize) {
        self.half_open.store(count as u64, Ordering::Relaxed);
    }

    /// Publishes how many sessions can be continued.
    pub fn sessions(&self, count: usize) {
        self.sessions.store(count as u64, Ordering::Relaxed);
    }

    /// Notes whether a handshake thread is overloaded.
    pub fn overload(&self, overloaded: bool) {
        self.overload.store(overloaded.into(), Ordering::Relaxed);
    }

    /// Counts datagrams of the outside that AF_XDP has delivered.
    pub fn fast_path(&self, by: u64) {
        add(&self.fast_path, by);
    }

    /// Counts datagrams that went out through AF_XDP.
    pub fn fast_path_sent(&self, by: u64) {
        add(&self.fast_path_sent, by);
    }

    /// Counts datagrams of backends that AF_XDP has delivered.
    pub fn fast_path_inside(&self, by: u64) {
        add(&self.fast_path_inside, by);
    }

    /// Counts datagrams that went to backends through AF_XDP.
    pub fn fast_path_inside_sent(&self, by: u64) {
        add(&self.fast_path_inside_sent, by);
    }

    /// Publishes what a shard has done so far.
    pub fn publish(&self, shard: ShardCounters, established: usize) {
        let values: [u64; SHARD] = [
            shard.opened,
            shard.opened_bytes,
            shard.sealed,
            shard.sealed_bytes,
            shard.hello_verify_requests,
            shard.final_flights_repeated,
            shard.paths_new,
            shard.paths_validated,
            shard.paths_failed,
            shard.replaced,
            established as u64,
        ];
        for (counter, value) in self.shard.iter().zip(values) {
            counter.store(value, Ordering::Relaxed);
        }
    }
}

/// Drops of one reason, by where they happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropCount {
    /// In the XDP program.
    pub xdp: u64,
    /// In workers and their insides.
    pub workers: u64,
    /// In handshake threads.
    pub handshakes: u64,
}

impl DropCount {
    /// Wherever they happened.
    pub fn sum(&self) -> u64 {
        self.xdp + self.workers + self.handshakes
    }
}

/// The sum over all threads at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Associations established now.
    pub associations: u64,
    /// Associations in a handshake now.
    pub half_open: u64,
    /// Handshakes that succeeded.
    pub handshakes_ok: u64,
    /// Those among them that continued an earlier session.
    pub handshakes_resumed: u64,
    /// Sessions that can be continued now.
    pub sessions: u64,
    /// Associations that others with new keys have replaced.
    pub rekeyed: u64,
    /// Handshakes that failed.
    pub handshakes_failed: u64,
    /// The same by class; classes that did not occur are left out.
    pub handshake_failures: BTreeMap<String, u64>,
    /// Associations that have ended, by cause; causes that did not occur are left out.
    pub associations_ended: BTreeMap<String, u64>,
    /// HelloVerifyRequests sent, by the XDP program and by workers.
    pub hello_verify_requests: u64,
    /// Final flights repeated.
    pub final_flights_repeated: u64,
    /// New addresses of established associations' peers.
    pub paths_new: u64,
    /// Those of them that have shown that the peer receives there.
    pub paths_validated: u64,
    /// Those that were given up.
    pub paths_failed: u64,
    /// Plaintext datagrams opened: outside to inside.
    pub opened: u64,
    /// Their bytes.
    pub opened_bytes: u64,
    /// Plaintext datagrams sealed: inside to outside.
    pub sealed: u64,
    /// Their bytes.
    pub sealed_bytes: u64,
    /// Datagrams of the outside that AF_XDP sockets have delivered.
    pub fast_path: u64,
    /// Datagrams to the outside that were given to AF_XDP sockets.
    pub fast_path_sent: u64,
    /// Datagrams of backends that AF_XDP sockets have delivered.
    pub fast_path_inside: u64,
    /// Datagrams to backends that were given to AF_XDP sockets.
    pub fast_path_inside_sent: u64,
    /// Handshake threads that are overloaded now, so that new handshakes give way.
    pub overload: u64,
    /// What became of packets that the XDP program did not drop.
    pub xdp: BTreeMap<String, u64>,
    /// Drops by reason, wherever they happened; reasons that did not occur are left out.
    pub drops: BTreeMap<String, u64>,
    /// The same by place.
    pub drops_by_place: BTreeMap<String, DropCount>,
}

impl Totals {
    /// Sums up, with what the XDP program has counted if there is one.
    pub fn of<'a>(
        all: impl IntoIterator<Item = &'a Counters>,
        program: Option<&XdpCounters>,
    ) -> Self {
        let mut totals = Self::default();
        let mut drops = [DropCount::default(); DropReason::COUNT];
        let mut failures = [0; FailureClass::COUNT];
        for counters in all {
            totals.add(counters);
            for (label, counter) in CloseCause::LABELS.iter().zip(&counters.ended) {
                if read(counter) > 0 {
                    let sum = totals.associations_ended.entry((*label).to_owned()).or_default();
                    *sum += read(counter);
                }
            }
            for (sum, counter) in failures.iter_mut().zip(&counters.handshakes_failed) {
                *sum += read(counter);
            }
            for (sum, counter) in drops.iter_mut().zip(&counters.drops) {
                match counters.place {
                    Place::Worker => sum.workers += read(counter),
                    Place::Handshakes => sum.handshakes += read(counter),
                }
            }
        }
        for (reason, count) in program.into_iter().flat_map(XdpCounters::drops) {
            drops[reason.as_index()].xdp += count;
        }
        for (reason, count) in DropReason::ALL.iter().zip(drops) {
            if count.sum() > 0 {
                totals.drops.insert(reason.as_str().to_owned(), count.sum());
                totals.drops_by_place.insert(reason.as_str().to_owned(), count);
            }
        }
        let failures = FailureClass::ALL.iter().zip(failures).filter(|(_, count)| *count > 0);
        totals.handshake_failures =
            failures.map(|(class, count)| (class.as_str().to_owned(), count)).collect();
        totals.handshakes_failed = totals.handshake_failures.values().sum();
        let outcomes = program.into_iter().flat_map(XdpCounters::outcomes);
        totals.xdp =
            outcomes.map(|(outcome, count)| (outcome.as_str().to_owned(), count)).collect();
        let answered = totals.xdp.get(Outcome::HelloVerifyRequest.as_str()).copied();
        totals.hello_verify_requests += answered.unwrap_or(0);
        totals
    }

    /// Adds what is a plain sum over the threads.
    fn add(&mut self, counters: &Counters) {
        let [
            opened,
            opened_bytes,
            sealed,
            sealed_bytes,
            verified,
            repeated,
            paths @ ..,
            replaced,
            associations,
        ]: [u64; SHARD] = array::from_fn(|index| read(&counters.shard[index]));
        let [paths_new, paths_validated, paths_failed] = paths;
        self.opened += opened;
        self.opened_bytes += opened_bytes;
        self.sealed += sealed;
        self.sealed_bytes += sealed_bytes;
        self.hello_verify_requests += verified;
        self.final_flights_repeated += repeated;
        self.paths_new += paths_new;
        self.paths_validated += paths_validated;
        self.paths_failed += paths_failed;
        self.rekeyed += replaced;
        self.associations += associations;
        self.fast_path += read(&counters.fast_path);
        self.fast_path_sent += read(&counters.fast_path_sent);
        self.fast_path_inside += read(&counters.fast_path_inside);
        self.fast_path_inside_sent += read(&counters.fast_path_inside_sent);
        self.half_open += read(&counters.half_open);
        // The threads share them.
        self.sessions = self.sessions.max(read(&counters.sessions));
        self.overload += read(&counters.overload);
        self.handshakes_ok += read(&counters.handshakes_ok);
        self.handshakes_resumed += read(&counters.handshakes_resumed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_sums_under_their_names() {
        let (first, second) = (Counters::new(Place::Worker), Counters::new(Place::Handshakes));
        first.dropped(DropReason::TooBig);
        second.dropped_many(DropReason::TooBig, 2);
        second.handshake_ok();
        second.handshake_failed(FailureClass::Policy);
        second.half_open(3);
        first.ended(CloseCause::Idle);
        second.ended(CloseCause::Idle);
        let shard = ShardCounters { opened: 3, sealed_bytes: 9, ..ShardCounters::default() };
        first.publish(shard, 4);
        second.publish(shard, 1);
        let totals = Totals::of([&first, &second], None);
        assert_eq!((totals.opened, totals.sealed_bytes, totals.associations), (6, 18, 5));
        assert_eq!((totals.handshakes_ok, totals.handshakes_failed, totals.half_open), (1, 1, 3));
        assert_eq!(totals.associations_ended, [("idle".to_owned(), 2)].into());
        assert_eq!(totals.handshake_failures, [("policy".to_owned(), 1)].into());
        assert_eq!(totals.drops, [("too_big".to_owned(), 3)].into());
        let by_place = DropCount { xdp: 0, workers: 1, handshakes: 2 };
        assert_eq!(totals.drops_by_place, [("too_big".to_owned(), by_place)].into());
    }
}
