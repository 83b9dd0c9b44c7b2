//! Cookie-bearing ClientHellos that were acted on, remembered until their cookie has died: a repeat
//! joins its half-open association and never begins a second.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use xdtls_common::cookie;
use xdtls_common::id::LocalId;

/// How many ClientHellos are remembered: two minutes of what two cores can finish.
const CAPACITY: usize = 1 << 18;

/// How long one is remembered: until no secret judges its cookie good any more.
const LIFE: Duration = Duration::from_secs(cookie::LIFE_S as u64 + 1);

/// What makes two ClientHellos the same. Two clients behind one address may pick the same id, so
/// that the random belongs to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct HelloKey {
    pub(crate) remote: SocketAddr,
    pub(crate) client_id: u32,
    pub(crate) random: [u8; 32],
}

/// The set.
#[derive(Default)]
pub(crate) struct HelloSet {
    begun: HashMap<HelloKey, Option<LocalId>>,
    by_age: VecDeque<(Instant, HelloKey)>,
}

impl HelloSet {
    /// What a ClientHello has begun: `None` if it is new, `Some(None)` if it was refused.
    pub(crate) fn find(&self, key: &HelloKey) -> Option<Option<LocalId>> {
        self.begun.get(key).copied()
    }

    /// Whether another one can be remembered; forgets those whose cookies have died.
    pub(crate) fn has_room(&mut self, now: Instant) -> bool {
        while let Some((since, key)) = self.by_age.front()
            && now.duration_since(*since) > LIFE
        {
            self.begun.remove(key);
            self.by_age.pop_front();
        }
        self.begun.len() < CAPACITY
    }

    /// Remembers what a new ClientHello has begun.
    pub(crate) fn insert(&mut self, now: Instant, key: HelloKey, begun: Option<LocalId>) {
        self.begun.insert(key, begun);
        self.by_age.push_back((now, key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_live_as_long_as_their_cookie() {
        let key = |id| HelloKey {
            remote: "192.0.2.1:7".parse().unwrap(),
            client_id: id,
            random: [1; 32],
        };
        let (now, mut set) = (Instant::now(), HelloSet::default());
        set.insert(now, key(1), LocalId::new(5));
        assert_eq!(set.find(&key(1)), Some(LocalId::new(5)));
        assert_eq!(set.find(&key(2)), None);
        assert!(set.has_room(now + Duration::from_secs(121)));
        assert_eq!(set.find(&key(1)), Some(LocalId::new(5)));
        assert!(set.has_room(now + Duration::from_secs(122)));
        assert_eq!(set.find(&key(1)), None);
    }
}
