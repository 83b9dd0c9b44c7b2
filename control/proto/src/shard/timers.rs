//! Deadlines of established associations.
//!
//! The queue holds at most one live entry for each association. Traffic does not touch it: an entry
//! that comes up early looks at its association and is put back with the deadline as it is by then.
//! Entries that come up within the same [`Grain`] stand together, so that one of a million costs
//! neither more time than one of few nor more memory than its id.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use xdtls_common::id::LocalId;

use super::{Output, Shard};
use crate::association::{Association, Due};
use crate::moment::Moment;

/// How much later than its deadline an entry may come up.
const GRAIN: Duration = Duration::from_millis(100);

const GRAIN_NS: u64 = GRAIN.as_nanos() as u64;

/// When an entry comes up: [`GRAIN`]s since the first could, and one; for 13 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grain(NonZeroU32);

/// The queue.
#[derive(Default)]
pub(crate) struct Timers {
    /// Nanoseconds between the clock's base and the first grain, by which the first deadline that
    /// there was is met exactly.
    phase: Option<u64>,
    queue: BTreeMap<Grain, Vec<LocalId>>,
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
        let time = self.grain_after(deadline);
        if association.scheduled.is_none_or(|scheduled| time < scheduled) {
            association.scheduled = Some(time);
            self.queue.entry(time).or_default().push(id);
        }
    }

    /// The first grain that is not before a deadline.
    fn grain_after(&mut self, deadline: Moment) -> Grain {
        let deadline = deadline.nanoseconds();
        let phase = *self.phase.get_or_insert(deadline % GRAIN_NS);
        let grains = deadline.saturating_sub(phase).div_ceil(GRAIN_NS);
        Grain(NonZeroU32::MIN.saturating_add(u32::try_from(grains).unwrap_or(u32::MAX)))
    }

    fn moment(&self, Grain(number): Grain) -> Moment {
        let phase = Duration::from_nanos(self.phase.unwrap_or_default());
        Moment::BASE + phase + GRAIN * (number.get() - 1)
    }

    fn next(&self) -> Option<Moment> {
        self.queue.first_key_value().map(|(time, _)| self.moment(*time))
    }

    fn pop_expired(&mut self, now: Moment) -> Option<(Grain, LocalId)> {
        self.next().filter(|time| *time <= now)?;
        let mut first = self.queue.first_entry()?;
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

    #[test]
    fn entries_come_up_within_a_grain_of_their_deadline() {
        let mut timers = Timers::default();
        let first = Moment::BASE + Duration::from_millis(240_030);
        let grain = timers.grain_after(first);
        assert_eq!(timers.moment(grain), first);
        for after_ms in [0, 1, 29, 30, 31, 129, 130, 131, 239_999, 10 * 365 * 86_400_000] {
            let deadline = Moment::BASE + Duration::from_millis(after_ms);
            let grain = timers.grain_after(deadline);
            let time = timers.moment(grain);
            assert!(time >= deadline && time < deadline + GRAIN, "{after_ms} {time:?}");
        }
        let never = timers.grain_after(Moment::BASE + Duration::from_nanos(u64::MAX));
        assert!(timers.moment(never) > Moment::BASE + 4_000 * Duration::from_hours(24));
    }
}
