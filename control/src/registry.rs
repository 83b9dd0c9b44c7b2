//! What is known of established associations beside their records: whose they are and since when,
//! and why the last ones have ended.
//!
//! Handshake threads write an entry when an association is installed and take it away when it has
//! ended: twice in an association's life, never for a packet. Workers do not see it. Associations of
//! one identity share it.
//!
//! Whoever is in here was admitted by the rules of now: when they change, all are judged again under
//! the lock that entries are made under, so that nobody slips in between.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use xdtls_common::id::LocalId;
use xdtls_proto::association::CloseCause;
use xdtls_proto::engine::PeerIdentity;
use xdtls_proto::handshakes::Installation;
use xdtls_proto::policy::{Admission, Refusal};
use xdtls_proto::rekey::{Ancestor, AncestorLookup, RekeyKey};
use xdtls_proto::suite::CipherSuite;

/// Associations whose end is remembered.
const ENDED: usize = 1024;

/// One association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When its handshake was complete.
    pub since: Instant,
    /// Who the peer is.
    pub identity: Arc<PeerIdentity>,
    /// What seals and opens its records.
    pub suite: CipherSuite,
    /// The backend that it leads to, by its place in the configuration.
    pub route: u16,
    /// Shows who may replace it.
    pub rekey_key: RekeyKey,
}

impl Entry {
    /// What is known of an association whose handshake is complete.
    pub fn new(now: Instant, installation: &Installation) -> Self {
        let taken_over = &installation.taken_over;
        let identity = Arc::new(taken_over.identity.clone());
        let rekey_key = taken_over.rekey_key.clone();
        Self { since: now, identity, suite: taken_over.suite, route: installation.route, rekey_key }
    }
}

/// An association that is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedEntry {
    /// Our id of it.
    pub id: LocalId,
    /// When it ended.
    pub at: Instant,
    /// Why.
    pub cause: CloseCause,
}

#[derive(Default)]
struct Inner {
    entries: BTreeMap<LocalId, Entry>,
    /// How many associations each identity has.
    identities: HashMap<Arc<PeerIdentity>, usize>,
    /// `None` admits everybody: we have opened the associations ourselves.
    admission: Option<Arc<Admission>>,
    ended: VecDeque<EndedEntry>,
}

impl Inner {
    fn share(&mut self, identity: Arc<PeerIdentity>) -> Arc<PeerIdentity> {
        let known = self.identities.get_key_value(&identity).map(|(known, _)| known.clone());
        let shared = known.unwrap_or(identity);
        *self.identities.entry(shared.clone()).or_default() += 1;
        shared
    }

    fn leave(&mut self, identity: &Arc<PeerIdentity>) {
        if let Some(count) = self.identities.get_mut(identity) {
            *count -= 1;
            if *count == 0 {
                self.identities.remove(identity);
            }
        }
    }
}

/// All established associations of a node, by id.
#[derive(Default)]
pub struct Registry {
    inner: Mutex<Inner>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An association is on its way to its worker. Why the rules of now do not admit it, if they do
    /// not, at `now_s` of the wall clock, in seconds since 1970.
    pub fn insert(&self, id: LocalId, mut entry: Entry, now_s: i64) -> Option<Refusal> {
        let mut inner = self.lock();
        entry.identity = inner.share(entry.identity);
        let judged = inner.admission.as_ref().map(|rules| rules.judge(now_s, &entry.identity));
        inner.entries.insert(id, entry);
        judged.and_then(Result::err)
    }

    /// An association has ended.
    pub fn remove(&self, now: Instant, id: LocalId, cause: CloseCause) {
        let mut inner = self.lock();
        let Some(entry) = inner.entries.remove(&id) else { return };
        inner.leave(&entry.identity);
        if inner.ended.len() == ENDED {
            inner.ended.pop_front();
        }
        inner.ended.push_back(EndedEntry { id, at: now, cause });
    }

    /// From now on these rules count. Returns whom they do not admit any more, among those whose
    /// identity is in `gone` too, at `now_s` of the wall clock, in seconds since 1970.
    pub fn admit_by(
        &self,
        admission: Arc<Admission>,
        gone: &HashSet<String>,
        now_s: i64,
    ) -> Vec<(LocalId, Refusal)> {
        let mut inner = self.lock();
        let is_gone = |it: &PeerIdentity| it.psk.as_ref().is_some_and(|psk| gone.contains(psk));
        let judge = |identity: &PeerIdentity| match is_gone(identity) {
            true => Some(Refusal::PskGone),
            false => admission.judge(now_s, identity).err(),
        };
        // Each identity is judged once, however many associations it has.
        let refused = inner.identities.keys().filter_map(|it| Some((Arc::as_ptr(it), judge(it)?)));
        let refused: HashMap<*const PeerIdentity, Refusal> = refused.collect();
        let of_entry = |(id, entry): (&LocalId, &Entry)| {
            refused.get(&Arc::as_ptr(&entry.identity)).map(|refusal| (*id, *refusal))
        };
        let ids = if refused.is_empty() {
            Vec::new()
        } else {
            inner.entries.iter().filter_map(of_entry).collect()
        };
        inner.admission = Some(admission);
        ids
    }

    /// One association.
    pub fn find(&self, id: LocalId) -> Option<Entry> {
        self.lock().entries.get(&id).cloned()
    }

    /// How the last association with this id ended, if that is not too long ago.
    pub fn find_ended(&self, id: LocalId) -> Option<EndedEntry> {
        self.lock().ended.iter().rev().find(|ended| ended.id == id).cloned()
    }

    /// Finds what is kept for associations that replace others.
    pub fn ancestors(self: &Arc<Self>) -> AncestorLookup {
        let registry = self.clone();
        Box::new(move |id| {
            let inner = registry.lock();
            let Entry { rekey_key, identity, route, .. } = inner.entries.get(&id)?;
            Some(Ancestor { key: rekey_key.clone(), identity: identity.clone(), route: *route })
        })
    }

    /// At most `limit` associations behind `after`, by id, and how many there are altogether.
    pub fn page(&self, after: Option<LocalId>, limit: usize) -> (Vec<(LocalId, Entry)>, usize) {
        let inner = self.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = inner.entries.range((start, Bound::Unbounded)).take(limit);
        (page.map(|(id, entry)| (*id, entry.clone())).collect(), inner.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use xdtls_proto::policy::{PeerPattern, Policy, Rule};

    use super::*;

    fn id(number: u32) -> LocalId {
        LocalId::new(number).unwrap()
    }

    fn named(name: &str) -> PeerIdentity {
        PeerIdentity { names: vec![name.to_owned()], ..PeerIdentity::default() }
    }

    fn add(registry: &Registry, number: u32, identity: &PeerIdentity) {
        let identity = Arc::new(identity.clone());
        let suite = CipherSuite::ALL[0];
        let rekey_key = RekeyKey::derive(suite, &[0; 48], &[0; 32], &[0; 32]);
        let entry = Entry { since: Instant::now(), identity, suite, route: 0, rekey_key };
        assert_eq!(registry.insert(id(number), entry, 0), None);
    }

    fn admitting(names: &[&str]) -> Arc<Admission> {
        let rule =
            |name: &&str| Rule { peer: PeerPattern::Name(name.parse().unwrap()), backend: 0 };
        let policy = Policy { rules: names.iter().map(rule).collect(), default_backend: None };
        let psk_identities = ["key".to_owned()].into();
        Arc::new(Admission { policy, psk_identities, ..Admission::default() })
    }

    #[test]
    fn pages_are_bounded_and_continue_where_the_last_ended() {
        let registry = Registry::default();
        for number in 1..=5 {
            add(&registry, number, &named(&format!("client {number}")));
        }
        registry.remove(Instant::now(), id(2), CloseCause::Idle);
        let ids = |after, limit| {
            let (page, total) = registry.page(after, limit);
            assert_eq!(total, 4);
            page.into_iter().map(|(id, _)| id.value()).collect::<Vec<_>>()
        };
        assert_eq!(ids(None, 2), [1, 3]);
        assert_eq!(ids(Some(id(3)), 2), [4, 5]);
        assert_eq!(ids(Some(id(5)), 2), [0; 0]);
        assert!(registry.find(id(2)).is_none());
        assert_eq!(registry.find_ended(id(2)).unwrap().cause, CloseCause::Idle);
        assert_eq!(registry.find_ended(id(3)), None);
    }

    #[test]
    fn other_rules_find_those_whom_they_do_not_admit() {
        let registry = Registry::default();
        for (number, name) in (1..).zip(["a", "b", "a", "c"]) {
            add(&registry, number, &named(name));
        }
        let none = HashSet::new();
        assert_eq!(registry.admit_by(admitting(&["a", "b", "c"]), &none, 0), []);
        let refused = registry.admit_by(admitting(&["b"]), &none, 0);
        let ids: Vec<_> = refused.iter().map(|(id, _)| id.value()).collect();
        assert_eq!(ids, [1, 3, 4]);
        assert!(refused.iter().all(|(_, refusal)| *refusal == Refusal::NoRule));
    }

    #[test]
    fn a_pre_shared_key_that_was_replaced_is_gone() {
        let registry = Registry::default();
        let psk = PeerIdentity { psk: Some("key".to_owned()), ..PeerIdentity::default() };
        add(&registry, 1, &psk);
        let mut rules = Admission::clone(&admitting(&[]));
        rules.policy.default_backend = Some(0);
        let rules = Arc::new(rules);
        assert_eq!(registry.admit_by(rules.clone(), &HashSet::new(), 0), []);
        let replaced = ["key".to_owned()].into();
        assert_eq!(registry.admit_by(rules, &replaced, 0), [(id(1), Refusal::PskGone)]);
    }

    #[test]
    fn associations_of_one_identity_share_it_until_the_last_has_ended() {
        let registry = Registry::default();
        (1..=3).for_each(|number| add(&registry, number, &named("a")));
        let shared = registry.find(id(1)).unwrap().identity;
        assert!(Arc::ptr_eq(&shared, &registry.find(id(3)).unwrap().identity));
        for number in 1..=3 {
            assert_eq!(registry.lock().identities.len(), 1);
            registry.remove(Instant::now(), id(number), CloseCause::Local);
        }
        assert_eq!(registry.lock().identities.len(), 0);
    }

    #[test]
    fn ends_are_remembered_within_bounds() {
        let registry = Registry::default();
        for number in 1..=ENDED as u32 + 1 {
            add(&registry, number, &named("a"));
            registry.remove(Instant::now(), id(number), CloseCause::PeerClosed);
        }
        assert_eq!(registry.lock().ended.len(), ENDED);
        assert_eq!(registry.find_ended(id(1)), None);
        assert!(registry.find_ended(id(2)).is_some());
    }
}
