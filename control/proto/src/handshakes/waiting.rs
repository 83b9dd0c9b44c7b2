//! ClientHellos with good cookies that wait for their turn.
//!
//! What has been begun goes first: a hello's turn comes when nothing else is to be done. Its client
//! repeats it meanwhile, each time after twice as long (RFC 6347 §4.2.4.1), and as long as it does,
//! the hello keeps its place. One that is not repeated when it should be is of a client that has
//! gone away, and a handshake with it would be in vain.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Hello;
use super::hello_set::HelloKey;

/// How long the first repetition may take: the first timeout is a second at most.
const FIRST_PATIENCE: Duration = Duration::from_millis(1200);

/// How late each further one may be.
const SLACK: Duration = Duration::from_millis(200);

/// What comes sooner was doubled by the network and not repeated by the client.
const REPEAT_MIN: Duration = Duration::from_millis(100);

/// Longer than this no hello waits unheard.
const PATIENCE_MAX: Duration = Duration::from_secs(10);

struct Entry {
    key: HelloKey,
    hello: Hello,
    since: Instant,
}

/// The queue. Its user bounds it by what it lets in.
#[derive(Default)]
pub(super) struct Waiting {
    queue: VecDeque<Entry>,
    heard: HashMap<HelloKey, Heard>,
}

struct Heard {
    at: Instant,
    patience: Duration,
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
        self.heard.get(key).map(|heard| heard.at + heard.patience)
    }

    /// Notes the repetition of a hello; `false` if it does not wait here.
    pub(super) fn heard_again(&mut self, now: Instant, key: &HelloKey) -> bool {
        let Some(heard) = self.heard.get_mut(key) else { return false };
        let interval = now.saturating_duration_since(heard.at);
        if interval >= REPEAT_MIN {
            *heard = Heard { at: now, patience: PATIENCE_MAX.min(2 * interval + SLACK) };
        }
        true
    }

    /// Lets a hello wait that does not wait yet.
    pub(super) fn push(&mut self, now: Instant, key: HelloKey, hello: Hello) {
        self.heard.insert(key, Heard { at: now, patience: FIRST_PATIENCE });
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
        self.heard.remove(&entry.key);
        Some(entry.hello)
    }
}
