//! Deadlines of established associations.
//!
//! The queue holds at most one live entry for each association. Traffic does not touch it: an entry
//! that comes up early looks at its association and is put back with the deadline as it is by then.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use xdtls_common::id::LocalId;

use super::{Output, Shard};
use crate::association::{Association, Due};

/// The queue.
#[derive(Default)]
pub(crate) struct Timers {
    queue: BinaryHeap<Reverse<(Instant, LocalId)>>,
}

impl Timers {
    /// Makes sure that an entry comes up no later than the association's deadline.
    pub(crate) fn schedule(
        &mut self,
        id: LocalId,
        association: &mut Association,
        idle_timeout: Option<Duration>,
    ) {
        let Some(deadline) = association.deadline(idle_timeout) else { return };
        if association.scheduled.is_none_or(|scheduled| deadline < scheduled) {
            association.scheduled = Some(deadline);
            self.queue.push(Reverse((deadline, id)));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((time, _))| *time)
    }

    fn pop_expired(&mut self, now: Instant) -> Option<(Instant, LocalId)> {
        self.next().filter(|time| *time <= now)?;
        self.queue.pop().map(|Reverse(entry)| entry)
    }
}

impl Shard {
    /// When [`Shard::handle_timeout`] is to be called next.
    pub fn deadline(&self) -> Option<Instant> {
        [self.timers.next(), self.flights.deadline()].into_iter().flatten().min()
    }

    /// Does what is due: probes, ends, and forgets.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut impl Output) {
        self.flights.expire(now);
        while let Some((time, id)) = self.timers.pop_expired(now) {
            let Some(association) = self.table.association(id) else { continue };
            if association.scheduled != Some(time) {
                continue;
            }
            association.scheduled = None;
            match association.due(now, self.config.idle_timeout) {
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
