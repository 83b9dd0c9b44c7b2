//! When each half-open association wants attention next.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use xdtls_common::id::LocalId;

/// At most one deadline for each id.
#[derive(Default)]
pub(crate) struct Deadlines {
    by_time: BTreeSet<(Instant, LocalId)>,
    by_id: HashMap<LocalId, Instant>,
}

impl Deadlines {
    /// Sets or clears the deadline of `id`.
    pub(crate) fn set(&mut self, id: LocalId, deadline: Option<Instant>) {
        if let Some(old) = self.by_id.remove(&id) {
            self.by_time.remove(&(old, id));
        }
        if let Some(deadline) = deadline {
            self.by_id.insert(id, deadline);
            self.by_time.insert((deadline, id));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(time, _)| *time)
    }

    /// Takes one id whose deadline has passed.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<LocalId> {
        let (time, id) = *self.by_time.first()?;
        if time > now {
            return None;
        }
        self.set(id, None);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_comes_first_and_each_id_counts_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let id = |value| LocalId::new(value).unwrap();
        let mut deadlines = Deadlines::default();
        deadlines.set(id(1), Some(at(10)));
        deadlines.set(id(2), Some(at(5)));
        deadlines.set(id(1), Some(at(3)));
        deadlines.set(id(3), Some(at(1)));
        deadlines.set(id(3), None);
        assert_eq!(deadlines.next(), Some(at(3)));
        assert_eq!(deadlines.pop_expired(at(2)), None);
        assert_eq!(deadlines.pop_expired(at(7)), Some(id(1)));
        assert_eq!(deadlines.pop_expired(at(7)), Some(id(2)));
        assert_eq!(deadlines.next(), None);
    }
}
