//! What a probe has sent and what has come back, without sockets and clocks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::content::HEADER_LEN;
use crate::random::Random;

/// How many round-trip times are kept; beyond that each has the same chance to be kept.
const RTT_SAMPLES_MAX: usize = 65_536;

/// Counts of a whole run. Each datagram sent is in the end echoed, altered or lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Datagrams sent.
    pub(crate) sent: u64,
    /// Came back as they were sent.
    pub(crate) echoed: u64,
    /// Did not come back in time.
    pub(crate) lost: u64,
    /// Came back with other content or length.
    pub(crate) altered: u64,
    /// Came in answer to nothing: duplicates, late ones, strangers.
    pub(crate) unexpected: u64,
    /// Payload bytes sent.
    pub(crate) bytes_sent: u64,
    /// Payload bytes that came back as they were sent.
    pub(crate) bytes_echoed: u64,
}

impl Tally {
    /// Whether everything came back once and unaltered.
    pub(crate) fn is_clean(&self) -> bool {
        self.echoed == self.sent && self.unexpected == 0
    }
}

/// Round-trip times: all of a short run, a fair sample of a long one.
#[derive(Debug)]
pub(crate) struct RoundTrips {
    micros: Vec<u64>,
    seen: u64,
    random: Random,
}

impl RoundTrips {
    pub(crate) fn new(seed: u64) -> Self {
        Self { micros: Vec::new(), seen: 0, random: Random::new(seed) }
    }

    fn add(&mut self, time: Duration) {
        self.seen += 1;
        let micros = time.as_micros() as u64;
        if self.micros.len() < RTT_SAMPLES_MAX {
            self.micros.push(micros);
            return;
        }
        let place = (self.random.draw() % self.seen) as usize;
        if let Some(sample) = self.micros.get_mut(place) {
            *sample = micros;
        }
    }

    /// The time in microseconds that so many of a hundred do not exceed; 0 if there is none.
    pub(crate) fn percentile(&self, hundredths: usize) -> u64 {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * hundredths).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }
}

/// The outstanding datagrams of one source port, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    outstanding: VecDeque<Outstanding>,
    settled: bool,
}

#[derive(Debug)]
struct Outstanding {
    content: Vec<u8>,
    sent_at: Instant,
}

impl Lane {
    /// How many datagrams are under way.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether its first datagram's fate is known: the way is made, or not worth waiting for.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Notes a datagram that has been sent.
    pub(crate) fn sent(&mut self, now: Instant, content: Vec<u8>, tally: &mut Tally) {
        tally.sent += 1;
        tally.bytes_sent += content.len() as u64;
        self.outstanding.push_back(Outstanding { content, sent_at: now });
    }

    /// Judges a datagram that has come from the target.
    ///
    /// Equal content counts whatever its size, so that datagrams too short for a header are
    /// compared as a multiset. Otherwise the header says which datagram has been altered, or its
    /// length if there is no header.
    pub(crate) fn received(
        &mut self,
        now: Instant,
        datagram: &[u8],
        tally: &mut Tally,
        round_trips: &mut RoundTrips,
    ) {
        self.settled = true;
        if let Some(sent) = self.remove(|content| content == datagram) {
            tally.echoed += 1;
            tally.bytes_echoed += datagram.len() as u64;
            round_trips.add(now.saturating_duration_since(sent.sent_at));
        } else if self.remove(|content| alike(content, datagram)).is_some() {
            tally.altered += 1;
        } else {
            tally.unexpected += 1;
        }
    }

    /// Gives up what was sent longer than `timeout` ago.
    pub(crate) fn expire(&mut self, now: Instant, timeout: Duration, tally: &mut Tally) {
        while let Some(oldest) = self.outstanding.front()
            && now.saturating_duration_since(oldest.sent_at) >= timeout
        {
            self.outstanding.pop_front();
            self.settled = true;
            tally.lost += 1;
        }
    }

    fn remove(&mut self, mut wanted: impl FnMut(&[u8]) -> bool) -> Option<Outstanding> {
        let place = self.outstanding.iter().position(|sent| wanted(&sent.content))?;
        self.outstanding.remove(place)
    }
}

/// Whether one is the other, damaged on its way.
fn alike(sent: &[u8], received: &[u8]) -> bool {
    let headers = (sent.first_chunk::<HEADER_LEN>(), received.first_chunk::<HEADER_LEN>());
    sent.len() == received.len() || matches!(headers, (Some(s), Some(r)) if s == r)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        lane: Lane,
        tally: Tally,
        round_trips: RoundTrips,
        now: Instant,
    }

    impl Bench {
        fn with_sent(contents: &[&[u8]]) -> Self {
            let (lane, tally) = (Lane::default(), Tally::default());
            let round_trips = RoundTrips::new(1);
            let mut bench = Self { lane, tally, round_trips, now: Instant::now() };
            for content in contents {
                bench.lane.sent(bench.now, content.to_vec(), &mut bench.tally);
            }
            bench
        }

        fn receive(&mut self, datagram: &[u8]) {
            self.lane.received(self.now, datagram, &mut self.tally, &mut self.round_trips);
        }

        /// Echoed, altered, unexpected, lost.
        fn counts(&self) -> [u64; 4] {
            let Tally { echoed, altered, unexpected, lost, .. } = self.tally;
            [echoed, altered, unexpected, lost]
        }
    }

    #[test]
    fn echoes_count_in_any_order_and_once() {
        let mut bench = Bench::with_sent(&[b"", b"a", b"b", b"a", b"0123456789"]);
        for datagram in [b"b".as_slice(), b"0123456789", b"a", b"", b"a"] {
            bench.receive(datagram);
        }
        assert_eq!(bench.counts(), [5, 0, 0, 0]);
        assert!(bench.tally.is_clean());
        bench.receive(b"a");
        assert_eq!(bench.counts(), [5, 0, 1, 0]);
        assert!(!bench.tally.is_clean());
    }

    #[test]
    fn damage_is_laid_to_the_datagram_it_befell() {
        let mut bench = Bench::with_sent(&[b"ab", b"00000001rest", b"00000002rest"]);
        bench.receive(b"ax");
        bench.receive(b"00000002cut");
        bench.receive(b"00000001rest");
        bench.receive(b"stranger");
        assert_eq!(bench.counts(), [1, 2, 1, 0]);
        assert_eq!(bench.lane.outstanding(), 0);
    }

    #[test]
    fn what_does_not_come_in_time_is_lost_and_then_unexpected() {
        let mut bench = Bench::with_sent(&[b"first"]);
        let timeout = Duration::from_secs(1);
        bench.lane.expire(bench.now + timeout / 2, timeout, &mut bench.tally);
        assert_eq!(bench.counts(), [0, 0, 0, 0]);
        bench.lane.expire(bench.now + timeout, timeout, &mut bench.tally);
        bench.receive(b"first");
        assert_eq!(bench.counts(), [0, 0, 1, 1]);
    }

    #[test]
    fn percentiles_are_those_of_the_sample() {
        let mut round_trips = RoundTrips::new(1);
        assert_eq!(round_trips.percentile(50), 0);
        for micros in 1..=200 {
            round_trips.add(Duration::from_micros(micros));
        }
        assert_eq!((round_trips.percentile(50), round_trips.percentile(99)), (100, 198));
        for _ in 0..3 * RTT_SAMPLES_MAX {
            round_trips.add(Duration::from_micros(7));
        }
        assert_eq!((round_trips.percentile(50), round_trips.micros.len()), (7, RTT_SAMPLES_MAX));
    }
}
