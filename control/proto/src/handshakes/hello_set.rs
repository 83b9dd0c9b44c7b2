//! Cookie-bearing ClientHellos that were acted on, remembered until their cookie has died: a repeat
//! joins its half-open association and never begins a second.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use xdtls_common::cookie;
use xdtls_common::id::LocalId;

use super::sources::source_of;

/// How many ClientHellos are remembered: two minutes of what two cores can finish.
const CAPACITY: usize = 1 << 18;

/// How many of them may be of one source, so that no single one can use the others' up.
const CAPACITY_PER_SOURCE: usize = CAPACITY / 16;

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
    begun: HashMap<HelloKey, LocalId>,
    by_age: VecDeque<(Instant, HelloKey)>,
    per_source: HashMap<IpAddr, usize>,
}

impl HelloSet {
    /// What a ClientHello has begun; `None` if it is new.
    pub(crate) fn find(&self, key: &HelloKey) -> Option<LocalId> {
        self.begun.get(key).copied()
    }

    /// Whether another one can be remembered; forgets those whose cookies have died.
    pub(crate) fn has_room(&mut self, now: Instant) -> bool {
        while let Some((since, key)) = self.by_age.front()
            && now.duration_since(*since) > LIFE
        {
            let source = source_of(key.remote.ip());
            self.begun.remove(key);
            self.by_age.pop_front();
            if let Some(count) = self.per_source.get_mut(&source) {
                *count -= 1;
                if *count == 0 {
                    self.per_source.remove(&source);
                }
            }
        }
        self.begun.len() < CAPACITY
    }

    /// Whether another one of this source can be remembered.
    pub(crate) fn has_room_for(&self, source: IpAddr) -> bool {
        self.per_source.get(&source).is_none_or(|count| *count < CAPACITY_PER_SOURCE)
    }

    /// Remembers what a new ClientHello has begun.
    pub(crate) fn insert(&mut self, now: Instant, key: HelloKey, begun: LocalId) {
        self.begun.insert(key, begun);
        self.by_age.push_back((now, key));
        *self.per_source.entry(source_of(key.remote.ip())).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u32) -> HelloKey {
        HelloKey { remote: "192.0.2.1:7".parse().unwrap(), client_id: id, random: [1; 32] }
    }

    #[test]
    fn entries_live_as_long_as_their_cookie() {
        let (now, mut set) = (Instant::now(), HelloSet::default());
        let begun = LocalId::new(5).unwrap();
        set.insert(now, key(1), begun);
        assert_eq!(set.find(&key(1)), Some(begun));
        assert_eq!(set.find(&key(2)), None);
        assert!(set.has_room(now + Duration::from_secs(121)));
        assert_eq!(set.find(&key(1)), Some(begun));
        assert!(set.has_room(now + Duration::from_secs(122)));
        assert_eq!(set.find(&key(1)), None);
        assert!(set.per_source.is_empty());
    }

    #[test]
    fn one_source_leaves_room_for_others() {
        let (now, mut set) = (Instant::now(), HelloSet::default());
        let greedy = source_of(key(0).remote.ip());
        for id in 0..CAPACITY_PER_SOURCE as u32 {
            assert!(set.has_room_for(greedy));
            set.insert(now, key(id), LocalId::new(1).unwrap());
        }
        assert!(!set.has_room_for(greedy));
        assert!(set.has_room_for("192.0.2.2".parse().unwrap()));
    }
}
