//! The network between nodes: datagrams take time, get lost, doubled, and overtake each other, as a
//! seed decides or as a test wants it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

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
    pub(crate) delay: Duration,
    /// Up to this much more delay, so that datagrams overtake each other.
    pub(crate) jitter: Duration,
}

impl Default for Link {
    fn default() -> Self {
        let (delay, jitter) = (Duration::from_millis(10), Duration::ZERO);
        Self { loss_per_mille: 0, duplicates_per_mille: 0, delay, jitter }
    }
}

/// What a test wants to be lost.
pub(crate) type Loser = Box<dyn FnMut(&Packet) -> bool>;

pub(crate) struct Network {
    pub(crate) link: Link,
    pub(crate) lose: Option<Loser>,
    /// Every datagram that was sent, lost or not.
    pub(crate) sent: Vec<(Instant, Packet)>,
    rng: Rng,
    in_flight: BTreeMap<(Instant, usize), Packet>,
    serial: usize,
}

impl Network {
    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            link: Link::default(),
            lose: None,
            sent: Vec::new(),
            rng,
            in_flight: BTreeMap::new(),
            serial: 0,
        }
    }

    pub(crate) fn send(&mut self, now: Instant, packet: Packet) {
        self.sent.push((now, packet.clone()));
        let wanted = self.lose.as_mut().is_some_and(|lose| lose(&packet));
        if wanted || self.rng.per_mille(self.link.loss_per_mille) {
            return;
        }
        let copies = 1 + u8::from(self.rng.per_mille(self.link.duplicates_per_mille));
        for _ in 0..copies {
            let jitter = self.rng.below(self.link.jitter.as_micros() as u64 + 1);
            let arrival = now + self.link.delay + Duration::from_micros(jitter);
            self.serial += 1;
            self.in_flight.insert((arrival, self.serial), packet.clone());
        }
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
