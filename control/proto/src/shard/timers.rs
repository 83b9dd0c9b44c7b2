//! Deadlines of established associations.
//!
//! The queue holds at most one live entry for each association. Traffic does not touch it: an entry
//! that comes up early looks at its association and is put back with the deadline as it is by then.
//! Entries that come up within the same [`GRAIN`] stand together, so that one of a million costs
//! neither more time than one of few nor more memory than its id.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use xdtls_common::id::LocalId;

use super::{Output, Shard};
use crate::association::{Association, Due};
use crate::moment::Moment;

/// How much later than its deadline an entry may come up.
const GRAIN: Duration = Duration::from_millis(100);

/// The queue.
#[derive(Default)]
pub(crate) struct Timers {
    /// Times are whole grains away from this one, the first that there was.
    base: Option<Moment>,
    queue: BTreeMap<Moment, Vec<LocalId>>,
}

impl Timers {
    /// Makes sure that an entry comes up when the association's deadline has passed.
    pub(crate) fn schedule(
        &mut self,
        id: LocalId,
        association: &mut Association,
        idle_timeout: Option<Duration>,
    ) {
        let Some(deadline) = association.deadline(idle_timeout) else { return };
        // An entry comes up in time if it does so in the grain of the deadline.
        if association.scheduled.is_none_or(|scheduled| deadline + GRAIN <= scheduled) {
            let time = self.grain_after(deadline);
            association.scheduled = Some(time);
            self.queue.entry(time).or_default().push(id);
        }
    }

    /// The first whole grain that is not before a deadline, which may well be before the base.
    fn grain_after(&mut self, deadline: Moment) -> Moment {
        let base = *self.base.get_or_insert(deadline);
        let grains = |time: u128| GRAIN * u32::try_from(time).unwrap_or(u32::MAX);
        let later = deadline.since(base).as_nanos();
        let earlier = base.since(deadline).as_nanos();
        base + grains(later.div_ceil(GRAIN.as_nanos())) - grains(earlier / GRAIN.as_nanos())
    }

    fn next(&self) -> Option<Moment> {
        self.queue.first_key_value().map(|(time, _)| *time)
    }

    fn pop_expired(&mut self, now: Moment) -> Option<(Moment, LocalId)> {
        let mut first = self.queue.first_entry().filter(|entry| *entry.key() <= now)?;
        let time = *first.key();
        let id = first.get_mut().pop();
        if first.get().is_empty() {
            first.remove();
        }
        id.map(|id| (time, id))
    }
}

impl Shard {
    /// When [`Shard::handle_timeout`] is to be called next.
    pub fn deadline(&self) -> Option<Instant> {
        let timer = self.timers.next().and_then(|moment| self.clock.instant(moment));
        [timer, self.flights.deadline()].into_iter().flatten().min()
    }

    /// Does what is due: probes, ends, and forgets.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut impl Output) {
        self.flights.expire(now);
        let at = self.clock.moment(now);
        while let Some((time, id)) = self.timers.pop_expired(at) {
            let Some(association) = self.table.association(id) else { continue };
            if association.scheduled != Some(time) {
                continue;
            }
            association.scheduled = None;
            match association.due(at, self.config.idle_timeout) {
                Due::Close(cause) => {
                    self.close(now, id, cause, out);
                    continue;
                }
                Due::Probe => self.send_probe(now, id, out),
                Due::Path => self.look_after_path(now, id, out),
                Due::Nothing => {}
            }
            if let Some(association) = self.table.association(id) {
                self.timers.schedule(id, association, self.config.idle_timeout);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Clock;

    #[test]
    fn entries_come_up_within_a_grain_of_their_deadline_on_either_side_of_the_first() {
        let mut timers = Timers::default();
        let first = Clock::default().moment(Instant::now()) + Duration::from_secs(240);
        assert_eq!(timers.grain_after(first), first);
        for away_ms in [1, 99, 100, 101, 500, 239_999] {
            let away = Duration::from_millis(away_ms);
            for deadline in [first + away, first - away] {
                let time = timers.grain_after(deadline);
                assert!(time >= deadline && time < deadline + GRAIN, "{away_ms} {time:?}");
            }
        }
    }
}
