//! Overload: new handshakes give way before established traffic suffers.
//!
//! Two signs: how long the first waiting ClientHello has waited, which says that this thread has
//! more to do than it can, and how long a worker takes to acknowledge keys, which is how late its
//! loop is with everything else too. The mode begins with a strong sign and ends when there has been
//! none, not even a weak one, for [`CALM`]; while workers are late nothing new begins at all.

use std::time::{Duration, Instant};

/// A hello that has waited so long begins the mode.
const HELLO_AGE_STRONG: Duration = Duration::from_millis(300);

/// A hello that has waited so long keeps it up.
const HELLO_AGE_WEAK: Duration = Duration::from_millis(100);

/// A worker so late begins the mode, and lets nothing new begin for [`HOLD`].
const WORKER_LAG_STRONG: Duration = Duration::from_millis(250);

/// A worker so late keeps it up.
const WORKER_LAG_WEAK: Duration = Duration::from_millis(100);

/// How long nothing new begins after a worker was found late. What is under way goes on and shows
/// whether it still is.
const HOLD: Duration = Duration::from_millis(500);

/// How long there is no sign of overload before the mode ends.
const CALM: Duration = Duration::from_secs(2);

/// The mode has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverloadChange {
    /// From now on new handshakes give way.
    Began {
        /// How long the first of the waiting ClientHellos has waited.
        hello_age: Duration,
        /// How late a worker was.
        worker_lag: Duration,
        /// How many ClientHellos wait.
        waiting: usize,
    },
    /// All is well again.
    Ended {
        /// How long it was not.
        lasted: Duration,
        /// ClientHellos that were shed meanwhile.
        shed: u64,
    },
}

struct Active {
    since: Instant,
    last_sign: Instant,
    shed: u64,
}

/// The mode of one handshake thread.
#[derive(Default)]
pub(super) struct Overload {
    active: Option<Active>,
    hold_until: Option<Instant>,
}

impl Overload {
    /// The first of `waiting` hellos has waited for `age`.
    pub(super) fn hello_waits(
        &mut self,
        now: Instant,
        age: Duration,
        waiting: usize,
    ) -> Option<OverloadChange> {
        let began = OverloadChange::Began { hello_age: age, worker_lag: Duration::ZERO, waiting };
        self.sign(now, age >= HELLO_AGE_WEAK, age >= HELLO_AGE_STRONG).then_some(began)
    }

    /// A worker took `lag` to acknowledge keys, while hellos waited as said.
    pub(super) fn worker_answers(
        &mut self,
        now: Instant,
        lag: Duration,
        hello_age: Duration,
        waiting: usize,
    ) -> Option<OverloadChange> {
        let strong = lag >= WORKER_LAG_STRONG;
        if strong {
            self.hold_until = Some(now + HOLD);
        }
        let began = OverloadChange::Began { hello_age, worker_lag: lag, waiting };
        self.sign(now, lag >= WORKER_LAG_WEAK, strong).then_some(began)
    }

    /// Whether the mode begins with this sign.
    fn sign(&mut self, now: Instant, weak: bool, strong: bool) -> bool {
        match &mut self.active {
            Some(active) if weak => active.last_sign = now,
            None if strong => {
                self.active = Some(Active { since: now, last_sign: now, shed: 0 });
                return true;
            }
            _ => {}
        }
        false
    }

    /// A hello was shed.
    pub(super) fn shed(&mut self) {
        if let Some(active) = &mut self.active {
            active.shed += 1;
        }
    }

    /// Until when nothing new may begin.
    pub(super) fn hold_until(&self, now: Instant) -> Option<Instant> {
        self.hold_until.filter(|until| now < *until)
    }

    /// When [`Overload::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.active.as_ref().map(|active| active.last_sign + CALM)
    }

    /// Ends the mode when its time has come.
    pub(super) fn expire(&mut self, now: Instant) -> Option<OverloadChange> {
        self.deadline().filter(|deadline| *deadline <= now)?;
        let Active { since, shed, .. } = self.active.take()?;
        Some(OverloadChange::Ended { lasted: now.saturating_duration_since(since), shed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_begins_with_a_strong_sign_and_ends_after_calm() {
        let (mut overload, start) = (Overload::default(), Instant::now());
        assert_eq!(overload.hello_waits(start, ms(299), 7), None);
        let began = OverloadChange::Began { hello_age: ms(300), worker_lag: ms(0), waiting: 7 };
        assert_eq!(overload.hello_waits(start, ms(300), 7), Some(began));
        assert_eq!(overload.hello_waits(start, ms(900), 9), None, "it says so once");
        overload.shed();
        // Weak signs keep it up, and less than that does not.
        for second in 1..=5 {
            let now = start + ms(1000 * second);
            assert_eq!(overload.expire(now), None);
            overload.hello_waits(now, ms(100), 1);
        }
        let now = start + ms(6999);
        assert_eq!(overload.hello_waits(now, ms(99), 1), None);
        assert_eq!(overload.expire(now), None);
        assert_eq!(overload.deadline(), Some(start + ms(7000)));
        let ended = OverloadChange::Ended { lasted: ms(7000), shed: 1 };
        assert_eq!(overload.expire(start + ms(7000)), Some(ended));
        assert_eq!(overload.expire(start + ms(9000)), None);
        assert_eq!(overload.deadline(), None);
    }

    #[test]
    fn late_workers_let_nothing_begin_for_a_while() {
        let (mut overload, start) = (Overload::default(), Instant::now());
        assert_eq!(overload.worker_answers(start, ms(249), ms(0), 0), None);
        assert_eq!(overload.hold_until(start), None);
        let began = OverloadChange::Began { hello_age: ms(3), worker_lag: ms(250), waiting: 4 };
        assert_eq!(overload.worker_answers(start, ms(250), ms(3), 4), Some(began));
        assert_eq!(overload.hold_until(start + ms(499)), Some(start + ms(500)));
        assert_eq!(overload.hold_until(start + ms(500)), None);
        overload.worker_answers(start + ms(400), ms(2000), ms(3), 4);
        assert_eq!(overload.hold_until(start + ms(500)), Some(start + ms(900)));
    }
}
