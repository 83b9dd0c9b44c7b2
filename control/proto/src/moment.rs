//! Points of time in the eight bytes that one needs: an [`Instant`] takes sixteen, and an association
//! keeps four.

use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::time::{Duration, Instant};

/// Nanoseconds since a [`Clock`]'s base, and one; for 584 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(NonZeroU64);

impl Moment {
    /// The clock's base.
    pub(crate) const BASE: Self = Self(NonZeroU64::MIN);

    /// Nanoseconds since the clock's base.
    pub(crate) const fn nanoseconds(self) -> u64 {
        self.0.get() - 1
    }

    /// Time between an earlier moment and this one; none if that is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    /// The base, if that is later.
    fn sub(self, duration: Duration) -> Self {
        let earlier = self.0.get().saturating_sub(nanoseconds(duration));
        NonZeroU64::new(earlier).map_or(Self::BASE, Self)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Turns instants into moments and back, without a loss.
#[derive(Default)]
pub(crate) struct Clock {
    /// The first instant that there was; none before it is told apart from it.
    base: Option<Instant>,
}

impl Clock {
    pub(crate) fn moment(&mut self, now: Instant) -> Moment {
        let base = *self.base.get_or_insert(now);
        Moment::BASE + now.saturating_duration_since(base)
    }

    /// `None` if there was none yet.
    pub(crate) fn instant(&self, moment: Moment) -> Option<Instant> {
        self.base?.checked_add(Duration::from_nanos(moment.nanoseconds()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_exact_and_as_far_apart_as_their_instants() {
        let (mut clock, base) = (Clock::default(), Instant::now());
        let first = clock.moment(base);
        for nanoseconds in [0, 1, 999_999_999, 100 * 365 * 86_400 * 1_000_000_000] {
            let away = Duration::from_nanos(nanoseconds);
            let moment = clock.moment(base + away);
            assert_eq!((moment, moment.since(first)), (first + away, away));
            assert_eq!(clock.instant(moment), Some(base + away));
            assert_eq!((moment - away, first - away), (first, first));
            assert_eq!(first.since(moment), Duration::ZERO);
        }
    }
}
