//! What one source may use up: handshakes begun, and slots that failed ones leave resting.
//!
//! A source has returned a cookie, so that its address is its own and exact state is fair. Two
//! buckets are kept for each: one bounds how fast handshakes begin, the other how many slots
//! handshakes that failed can take out of service. Memory is bounded by two generations of entries:
//! what was not touched during a whole generation has full buckets again, which is what an unknown
//! source has, so that forgetting it changes nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::ids::QUARANTINE;

/// Sources of one generation. Where more come, the older generation is forgotten early: whoever can
/// bring that about has as many addresses.
const GENERATION: usize = 1 << 15;

/// One in so many slots may rest because of one source's failed handshakes.
const FAILURES_SHARE: u32 = 128;

/// But for so many there is always room: networks lose datagrams.
const FAILURES_MIN: u32 = 16;

/// What counts as one source: an IPv4 address, or the /64 that one IPv6 host is given.
pub fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_s: f32,
    burst: f32,
}

impl Bucket {
    fn filled(self, level: f32, elapsed: Duration) -> f32 {
        (level + self.per_s * elapsed.as_secs_f32()).min(self.burst)
    }

    fn fills_in(self) -> Duration {
        Duration::from_secs_f32(self.burst / self.per_s)
    }
}

#[derive(Clone, Copy)]
struct Source {
    /// When the levels were as they stand here.
    at: Instant,
    begun: f32,
    failures: f32,
}

/// The sources of one handshake thread.
pub(crate) struct Sources {
    begun: Bucket,
    failures: Bucket,
    young: HashMap<IpAddr, Source>,
    old: HashMap<IpAddr, Source>,
    /// When the young generation becomes the old one.
    turn_at: Option<Instant>,
}

impl Sources {
    /// Each source may begin `burst` handshakes at once and `per_s` a second from then on, both at
    /// least 1; failed ones may take its share of `slots` out of service.
    pub(crate) fn new(per_s: u32, burst: u32, slots: u32) -> Self {
        let failures = (slots / FAILURES_SHARE).max(FAILURES_MIN) as f32;
        Self {
            begun: Bucket { per_s: per_s as f32, burst: burst as f32 },
            failures: Bucket { per_s: failures / QUARANTINE.as_secs_f32(), burst: failures },
            young: HashMap::new(),
            old: HashMap::new(),
            turn_at: None,
        }
    }

    /// Gives all sources other buckets of handshakes begun, no fuller than before.
    pub(crate) fn reconfigure(&mut self, per_s: u32, burst: u32) {
        self.begun = Bucket { per_s: per_s as f32, burst: burst as f32 };
    }

    /// Takes what a handshake costs; `false` if the source has used its share up.
    pub(crate) fn take(&mut self, now: Instant, source: IpAddr) -> bool {
        self.turn(now);
        let full = Source { at: now, begun: self.begun.burst, failures: self.failures.burst };
        let known = self.young.get(&source).or_else(|| self.old.get(&source));
        let known = *known.unwrap_or(&full);
        let elapsed = now.duration_since(known.at);
        let begun = self.begun.filled(known.begun, elapsed);
        let failures = self.failures.filled(known.failures, elapsed);
        let enough = begun >= 1.0 && failures >= 1.0;
        let cost = if enough { 1.0 } else { 0.0 };
        let entry = Source { at: now, begun: begun - cost, failures: failures - cost };
        self.young.insert(source, entry);
        enough
    }

    /// A handshake has not failed, or has used no slot up: gives back what a failure costs.
    pub(crate) fn give_back(&mut self, source: IpAddr) {
        let known = self.young.get_mut(&source).or_else(|| self.old.get_mut(&source));
        if let Some(known) = known {
            known.failures = (known.failures + 1.0).min(self.failures.burst);
        }
    }

    fn turn(&mut self, now: Instant) {
        let life = self.begun.fills_in().max(self.failures.fills_in());
        let turn_at = *self.turn_at.get_or_insert(now + life);
        if turn_at <= now || self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.turn_at = Some(now + life);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: u32 = 65_536;

    fn source(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(number).into()
    }

    /// How many handshakes a source can begin that asks `asks` times at one moment.
    fn begun(sources: &mut Sources, now: Instant, asks: u32, ok: bool) -> u32 {
        let mut begun = 0;
        for _ in 0..asks {
            if sources.take(now, source(1)) {
                begun += 1;
                if ok {
                    sources.give_back(source(1));
                }
            }
        }
        begun
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (mut sources, start) = (Sources::new(10, 50, SLOTS), Instant::now());
        assert_eq!(begun(&mut sources, start, 1000, true), 50);
        for second in 1..=500 {
            let now = start + Duration::from_secs(second);
            assert_eq!(begun(&mut sources, now, 1000, true), 10, "second {second}");
        }
        let later = start + Duration::from_secs(600);
        assert_eq!(begun(&mut sources, later, 1000, true), 50, "the bucket holds no more");
        assert!(sources.take(later, source(2)), "another source has its own");
    }

    /// The arithmetic of ADR 0022: what rests and what is half-open at one time.
    #[test]
    fn sixteen_sources_that_only_fail_leave_most_slots_to_others() {
        let (mut sources, start) = (Sources::new(25, 200, SLOTS), Instant::now());
        let taken: Vec<_> = (0..600)
            .map(|s| begun(&mut sources, start + Duration::from_secs(s), 1000, false))
            .collect();
        let in_use = |until: usize| taken[until.saturating_sub(135)..until].iter().sum::<u32>();
        let worst = (1..=600).map(in_use).max().unwrap();
        assert!((512..=1100).contains(&worst), "{worst}");
        assert!(16 * worst < SLOTS / 3);
    }

    #[test]
    fn sixteen_sources_whose_handshakes_all_succeed_leave_slots_to_others() {
        let (mut sources, start) = (Sources::new(25, 200, SLOTS), Instant::now());
        let taken = (0..135).map(|s| begun(&mut sources, start + Duration::from_secs(s), 99, true));
        assert!(16 * taken.sum::<u32>() < SLOTS);
    }

    #[test]
    fn memory_is_bounded_and_forgets_no_one_who_has_just_been_there() {
        let (mut sources, now) = (Sources::new(1, 1, SLOTS), Instant::now());
        for number in 0..5 * GENERATION as u32 {
            sources.take(now, source(number));
        }
        assert!(sources.young.len() + sources.old.len() <= 2 * GENERATION);
        assert!(!sources.take(now, source(5 * GENERATION as u32 - 1)));
        let later = now + Duration::from_secs(500);
        sources.take(later, source(1));
        sources.take(later + Duration::from_secs(500), source(1));
        assert_eq!(sources.young.len() + sources.old.len(), 2, "the rest is forgotten in time");
    }

    #[test]
    fn an_ipv6_host_is_its_64() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(source_of(address("2001:db8:1:2:3:4:5:6")), address("2001:db8:1:2::"));
        assert_eq!(source_of(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }
}
