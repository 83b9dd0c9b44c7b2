//! A queue between two threads of a node, and how late its reader is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Messages in order; none overtakes another, however late that one is.
pub(crate) struct Mail<T> {
    queue: VecDeque<(Instant, T)>,
}

impl<T> Default for Mail<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new() }
    }
}

impl<T> Mail<T> {
    /// Posts a message that is read `lag` from now.
    pub(crate) fn post(&mut self, now: Instant, lag: Duration, message: T) {
        let last = self.queue.back().map_or(now, |(time, _)| *time);
        self.queue.push_back((last.max(now + lag), message));
    }

    pub(crate) fn take(&mut self, now: Instant) -> Option<T> {
        self.next().filter(|time| *time <= now)?;
        self.queue.pop_front().map(|(_, message)| message)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.front().map(|(time, _)| *time)
    }
}
