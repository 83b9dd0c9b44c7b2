//! ClientHellos with good cookies that wait for their turn.
//!
//! What has been begun goes first: a hello's turn comes when nothing else is to be done. Its client
//! repeats it meanwhile, which keeps its place; where no repetition has come for [`PATIENCE`], the
//! client has gone away or will send the next one soon enough.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Hello;
use super::hello_set::HelloKey;

/// How long a hello may wait since its client has sent it last. A second is the first timeout of
/// most clients (RFC 6347 §4.2.4.1), so that by then it has sent another.
pub(super) const PATIENCE: Duration = Duration::from_millis(1500);

struct Entry {
    key: HelloKey,
    hello: Hello,
    since: Instant,
}

/// The queue. Its user bounds it by what it lets in.
#[derive(Default)]
pub(super) struct Waiting {
    queue: VecDeque<Entry>,
    heard_at: HashMap<HelloKey, Instant>,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// How long the first one has been waiting; nothing if there is none.
    pub(super) fn age(&self, now: Instant) -> Duration {
        let first = self.queue.front();
        first.map_or(Duration::ZERO, |entry| now.saturating_duration_since(entry.since))
    }

    /// Since when the first one has been waiting.
    pub(super) fn since(&self) -> Option<Instant> {
        self.queue.front().map(|entry| entry.since)
    }

    /// When the first one has waited too long.
    pub(super) fn stale_at(&self) -> Option<Instant> {
        let key = &self.queue.front()?.key;
        self.heard_at.get(key).map(|heard| *heard + PATIENCE)
    }

    /// Notes the repetition of a hello; `false` if it does not wait here.
    pub(super) fn heard_again(&mut self, now: Instant, key: &HelloKey) -> bool {
        self.heard_at.get_mut(key).map(|heard| *heard = now).is_some()
    }

    /// Lets a hello wait that does not wait yet.
    pub(super) fn push(&mut self, now: Instant, key: HelloKey, hello: Hello) {
        self.heard_at.insert(key, now);
        self.queue.push_back(Entry { key, hello, since: now });
    }

    /// The first one, if it has waited too long.
    pub(super) fn pop_stale(&mut self, now: Instant) -> Option<Hello> {
        self.stale_at().filter(|stale_at| *stale_at <= now)?;
        self.pop()
    }

    /// The first one.
    pub(super) fn pop(&mut self) -> Option<Hello> {
        let entry = self.queue.pop_front()?;
        self.heard_at.remove(&entry.key);
        Some(entry.hello)
    }
}
