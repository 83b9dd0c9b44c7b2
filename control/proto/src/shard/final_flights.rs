//! Final flights, kept outside the associations' records.
//!
//! Whoever sent a handshake's last flight cannot know that it arrived. Its datagrams are sent again,
//! byte for byte, when the peer shows by an authentic handshake record that it still waits.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use xdtls_common::DropReason;
use xdtls_common::id::LocalId;

/// How long a flight is kept.
const LIFE: Duration = Duration::from_secs(240);

/// The least time between two repetitions.
const REPEAT_EVERY: Duration = Duration::from_millis(200);

struct FinalFlight {
    datagrams: Vec<Vec<u8>>,
    sent_at: Instant,
}

/// The kept flights of one shard.
#[derive(Default)]
pub(crate) struct FinalFlights {
    by_id: HashMap<LocalId, FinalFlight>,
    by_age: VecDeque<(Instant, LocalId)>,
}

impl FinalFlights {
    /// Keeps the datagrams of a flight, prefix included, that has just been sent.
    pub(crate) fn keep(&mut self, now: Instant, id: LocalId, datagrams: Vec<Vec<u8>>) {
        self.by_id.insert(id, FinalFlight { datagrams, sent_at: now });
        self.by_age.push_back((now, id));
    }

    /// The datagrams to repeat, `None` if none are kept for this id.
    pub(crate) fn repeat(
        &mut self,
        now: Instant,
        id: LocalId,
    ) -> Option<Result<&[Vec<u8>], DropReason>> {
        let flight = self.by_id.get_mut(&id)?;
        if now.duration_since(flight.sent_at) < REPEAT_EVERY {
            return Some(Err(DropReason::RateLimited));
        }
        flight.sent_at = now;
        Some(Ok(&flight.datagrams))
    }

    /// The flight has arrived, or its association has ended.
    pub(crate) fn forget(&mut self, id: LocalId) {
        if !self.by_id.is_empty() {
            self.by_id.remove(&id);
        }
    }

    /// Forgets what is too old. An id that is in use again cannot be hit: its slot has rested for
    /// half the life of a flight, and its generation is another.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((since, id)) = self.by_age.front()
            && now.duration_since(*since) >= LIFE
        {
            self.by_id.remove(id);
            self.by_age.pop_front();
        }
    }

    /// When [`FinalFlights::expire`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.by_age.front().map(|(since, _)| *since + LIFE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flights_are_repeated_at_a_bounded_rate_until_they_expire() {
        let (now, mut flights) = (Instant::now(), FinalFlights::default());
        let id = LocalId::new(7).unwrap();
        flights.keep(now, id, vec![vec![1, 2]]);
        let later = now + REPEAT_EVERY;
        assert_eq!(flights.repeat(now, id), Some(Err(DropReason::RateLimited)));
        assert_eq!(flights.repeat(later, id), Some(Ok(&[vec![1, 2]][..])));
        assert_eq!(flights.repeat(later, id), Some(Err(DropReason::RateLimited)));
        flights.expire(now + LIFE - Duration::from_millis(1));
        assert!(flights.repeat(now + LIFE, id).is_some());
        flights.expire(now + LIFE);
        assert_eq!(flights.repeat(now + LIFE, id), None);
        assert_eq!(flights.deadline(), None);
    }
}
