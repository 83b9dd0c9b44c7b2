//! What is known of established associations beside their records: whose they are and since when.
//!
//! Handshake threads write an entry when an association is installed and take it away when it has
//! ended: twice in an association's life, never for a packet. Workers do not see it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use xdtls_common::id::LocalId;
use xdtls_proto::handshakes::Installation;
use xdtls_proto::rekey::{Ancestor, AncestorLookup};
use xdtls_proto::suite::CipherSuite;

/// The longest identity that is kept, in bytes: one certificate may carry very many names.
const MAX_IDENTITY: usize = 200;

/// One association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When its handshake was complete.
    pub since: Instant,
    /// The names of the peer's certificate.
    pub identity: Box<str>,
    /// What seals and opens its records.
    pub suite: CipherSuite,
    /// What is kept for an association that may replace it; the backend too that both lead to, by
    /// its place in the configuration.
    pub ancestor: Ancestor,
}

impl Entry {
    fn new(now: Instant, installation: &Installation) -> Self {
        let taken_over = &installation.taken_over;
        let mut identity = taken_over.identity.to_string();
        if identity.len() > MAX_IDENTITY {
            identity.truncate(identity.floor_char_boundary(MAX_IDENTITY));
            identity.push('…');
        }
        let (suite, ancestor) = (taken_over.suite, Ancestor::of(installation));
        Self { since: now, identity: identity.into(), suite, ancestor }
    }
}

/// All established associations of a node, by id.
#[derive(Default)]
pub struct Registry {
    entries: Mutex<BTreeMap<LocalId, Entry>>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<LocalId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An association is on its way to its worker.
    pub fn insert(&self, now: Instant, installation: &Installation) {
        let entry = Entry::new(now, installation);
        self.lock().insert(installation.local, entry);
    }

    /// An association has ended.
    pub fn remove(&self, id: LocalId) {
        self.lock().remove(&id);
    }

    /// One association.
    pub fn find(&self, id: LocalId) -> Option<Entry> {
        self.lock().get(&id).cloned()
    }

    /// Finds what is kept for associations that replace others.
    pub fn ancestors(self: &Arc<Self>) -> AncestorLookup {
        let registry = self.clone();
        Box::new(move |id| registry.lock().get(&id).map(|entry| entry.ancestor.clone()))
    }

    /// At most `limit` associations behind `after`, by id, and how many there are altogether.
    pub fn page(&self, after: Option<LocalId>, limit: usize) -> (Vec<(LocalId, Entry)>, usize) {
        let entries = self.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = entries.range((start, Bound::Unbounded)).take(limit);
        (page.map(|(id, entry)| (*id, entry.clone())).collect(), entries.len())
    }
}

#[cfg(test)]
mod tests {
    use xdtls_proto::engine::PeerIdentity;
    use xdtls_proto::rekey::RekeyKey;

    use super::*;

    #[test]
    fn pages_are_bounded_and_continue_where_the_last_ended() {
        let registry = Registry::default();
        let id = |number| LocalId::new(number).unwrap();
        for number in 1..=5 {
            let suite = CipherSuite::ALL[0];
            let nobody = PeerIdentity { names: Vec::new(), spki_sha256: [0; 32] };
            let key = RekeyKey::derive(suite, &[0; 48], &[0; 32], &[0; 32]);
            let ancestor = Ancestor { key, identity: nobody.digest(), route: 0 };
            let identity = format!("client {number}").into();
            let entry = Entry { since: Instant::now(), identity, suite, ancestor };
            registry.lock().insert(id(number), entry);
        }
        registry.remove(id(2));
        let ids = |after, limit| {
            let (page, total) = registry.page(after, limit);
            assert_eq!(total, 4);
            page.into_iter().map(|(id, _)| id.value()).collect::<Vec<_>>()
        };
        assert_eq!(ids(None, 2), [1, 3]);
        assert_eq!(ids(Some(id(3)), 2), [4, 5]);
        assert_eq!(ids(Some(id(5)), 2), [0; 0]);
        assert!(registry.find(id(2)).is_none());
    }
}
