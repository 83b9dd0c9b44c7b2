//! The network between nodes: datagrams take time, get lost, doubled, and overtake each other, as a
//! seed decides or as a test wants it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use xdtls_common::prefix::PREFIX_LEN;
use xdtls_common::record::content_type::APPLICATION_DATA;

use super::rng::Rng;

#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// What happens to every datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) loss_per_mille: u64,
    pub(crate) duplicates_per_mille: u64,
    /// Datagrams in which a few bits change.
    pub(crate) altered_per_mille: u64,
    /// Datagrams that lose their end.
    pub(crate) cut_per_mille: u64,
    /// Datagrams that come seconds later than the others.
    pub(crate) late_per_mille: u64,
    pub(crate) delay: Duration,
    /// Up to this much more delay, so that datagrams overtake each other.
    pub(crate) jitter: Duration,
    /// The longest UDP payload that passes, in bytes.
    pub(crate) longest: usize,
}

impl Link {
    /// A link that only takes its time.
    pub(crate) const CLEAN: Self = Self {
        loss_per_mille: 0,
        duplicates_per_mille: 0,
        altered_per_mille: 0,
        cut_per_mille: 0,
        late_per_mille: 0,
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
        longest: 1472,
    };
}

/// How late a late datagram is at most.
const LATE: Duration = Duration::from_secs(3);

/// What happens to one datagram, where a test says it of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrive,
    /// It is overtaken by what is sent in the next two round trips or so.
    Late,
    Lost,
    /// It comes in time and once more, late.
    Twice,
}

impl Fate {
    pub(crate) const ALL: [Self; 4] = [Self::Arrive, Self::Late, Self::Lost, Self::Twice];
}

/// How much longer a datagram takes that is [`Fate::Late`].
const FATED_DELAY: Duration = Duration::from_millis(35);

/// What a test wants to be lost.
pub(crate) type Loser = Box<dyn FnMut(&Packet) -> bool>;

pub(crate) struct Network {
    pub(crate) link: Link,
    /// Addresses that nothing reaches and nothing comes from.
    pub(crate) cut_off: BTreeSet<SocketAddr>,
    pub(crate) lose: Option<Loser>,
    /// Whether the link loses no data.
    pub(crate) spares_data: bool,
    /// What happens to the next datagrams without data, in order; the link decides on all others.
    pub(crate) fates: VecDeque<Fate>,
    /// Every datagram that was sent, lost or not.
    pub(crate) sent: Vec<(Instant, Packet)>,
    rng: Rng,
    in_flight: BTreeMap<(Instant, usize), Packet>,
    serial: usize,
}

impl Network {
    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            link: Link::CLEAN,
            cut_off: BTreeSet::new(),
            lose: None,
            spares_data: false,
            fates: VecDeque::new(),
            sent: Vec::new(),
            rng,
            in_flight: BTreeMap::new(),
            serial: 0,
        }
    }

    pub(crate) fn send(&mut self, now: Instant, packet: Packet) {
        self.sent.push((now, packet.clone()));
        let is_data = packet.bytes.get(PREFIX_LEN) == Some(&APPLICATION_DATA);
        let wanted = self.lose.as_mut().is_some_and(|lose| lose(&packet));
        let unreachable = [packet.from, packet.to].iter().any(|end| self.cut_off.contains(end));
        let too_long = packet.bytes.len() > self.link.longest;
        let spared = self.spares_data && is_data;
        let lost = !spared && self.rng.per_mille(self.link.loss_per_mille);
        if wanted || unreachable || too_long || lost {
            return;
        }
        if !is_data && let Some(fate) = self.fates.pop_front() {
            let delays = match fate {
                Fate::Arrive => &[Duration::ZERO][..],
                Fate::Late => &[FATED_DELAY],
                Fate::Lost => &[],
                Fate::Twice => &[Duration::ZERO, FATED_DELAY],
            };
            for delay in delays {
                self.deliver(now + self.link.delay + *delay, packet.clone());
            }
            return;
        }
        let copies = 1 + u8::from(self.rng.per_mille(self.link.duplicates_per_mille));
        for _ in 0..copies {
            let mut delay = self.link.delay + self.up_to(self.link.jitter);
            if self.rng.per_mille(self.link.late_per_mille) {
                delay += self.up_to(LATE);
            }
            let bytes = self.worn(&packet.bytes);
            self.deliver(now + delay, Packet { bytes, ..packet });
        }
    }

    fn deliver(&mut self, at: Instant, packet: Packet) {
        self.serial += 1;
        self.in_flight.insert((at, self.serial), packet);
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.rng.below(most.as_micros() as u64 + 1))
    }

    /// A datagram as it arrives.
    fn worn(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        if self.rng.per_mille(self.link.altered_per_mille) {
            for _ in 0..=self.rng.below(3) {
                let at = self.rng.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << self.rng.below(8);
            }
        }
        if self.rng.per_mille(self.link.cut_per_mille) {
            bytes.truncate(self.rng.below(bytes.len() as u64) as usize);
        }
        bytes
    }

    pub(crate) fn take(&mut self, now: Instant) -> Option<Packet> {
        self.next().filter(|time| *time <= now)?;
        self.in_flight.pop_first().map(|(_, packet)| packet)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.in_flight.first_key_value().map(|((time, _), _)| *time)
    }

    /// A datagram that is on its way to `to`.
    pub(crate) fn in_flight_to(&self, to: SocketAddr) -> Option<&Packet> {
        self.in_flight.values().find(|packet| packet.to == to)
    }
}
