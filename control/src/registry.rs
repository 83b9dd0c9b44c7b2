//! What is known of established associations beside their records: whose they are and since when,
//! and why the last ones have ended.
//!
//! Handshake threads write an entry when an association is installed and take it away when it has
//! ended: twice in an association's life, never for a packet. Workers do not see it. A million are at
//! rest here, so that they are packed: an identity takes ten allocations and hundreds of bytes
//! otherwise, most of them for names that it does not have.
//!
//! Whoever is in here was admitted by the rules of now: when they change, all are judged again under
//! the lock that entries are made under, so that nobody slips in between.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    /// When its handshake was complete, to a second.
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

/// An [`Entry`] at rest.
struct Packed {
    identity: Box<[u8]>,
    rekey_key: RekeyKey,
    /// Seconds since the registry's base, rounded up: nothing is older than it is.
    since_s: u32,
    suite: CipherSuite,
    route: u16,
}

impl Packed {
    fn new(base: Instant, entry: Entry) -> Self {
        let Entry { since, identity, suite, route, rekey_key } = entry;
        let identity = postcard::to_allocvec(&*identity).unwrap_or_default().into_boxed_slice();
        let nanoseconds = since.saturating_duration_since(base).as_nanos();
        let since_s = u32::try_from(nanoseconds.div_ceil(1_000_000_000)).unwrap_or(u32::MAX);
        Self { identity, rekey_key, since_s, suite, route }
    }

    /// `None` would be nobody, whom nothing admits; but what was packed can be unpacked.
    fn identity(&self) -> Option<PeerIdentity> {
        postcard::from_bytes(&self.identity).ok()
    }

    fn unpack(&self, base: Instant) -> Entry {
        let Self { suite, route, .. } = *self;
        let since = base + Duration::from_secs(self.since_s.into());
        let (identity, rekey_key) = (self.identity().unwrap_or_default(), self.rekey_key.clone());
        Entry { since, identity: Arc::new(identity), suite, route, rekey_key }
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

struct Inner {
    /// What times are counted from.
    base: Instant,
    entries: BTreeMap<LocalId, Packed>,
    /// `None` admits everybody: we have opened the associations ourselves.
    admission: Option<Arc<Admission>>,
    ended: VecDeque<EndedEntry>,
}

/// All established associations of a node, by id.
pub struct Registry {
    inner: Mutex<Inner>,
}

impl Default for Registry {
    fn default() -> Self {
        let (entries, ended) = (BTreeMap::new(), VecDeque::new());
        Self { inner: Mutex::new(Inner { base: Instant::now(), entries, admission: None, ended }) }
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An association is on its way to its worker. Why the rules of now do not admit it, if they do
    /// not, at `now_s` of the wall clock, in seconds since 1970.
    pub fn insert(&self, id: LocalId, entry: Entry, now_s: i64) -> Option<Refusal> {
        let mut inner = self.lock();
        let judged = inner.admission.as_ref().map(|rules| rules.judge(now_s, &entry.identity));
        let packed = Packed::new(inner.base, entry);
        inner.entries.insert(id, packed);
        judged.and_then(Result::err)
    }

    /// An association has ended.
    pub fn remove(&self, now: Instant, id: LocalId, cause: CloseCause) {
        let mut inner = self.lock();
        if inner.entries.remove(&id).is_none() {
            return;
        }
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
        let refused = inner.entries.iter();
        let judge =
            |entry: &Packed| entry.identity().map_or(Some(Refusal::NoRule), |it| judge(&it));
        let ids = refused.filter_map(|(id, entry)| Some((*id, judge(entry)?)));
        let ids = ids.collect();
        inner.admission = Some(admission);
        ids
    }

    /// One association.
    pub fn find(&self, id: LocalId) -> Option<Entry> {
        let inner = self.lock();
        inner.entries.get(&id).map(|entry| entry.unpack(inner.base))
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
            let entry = inner.entries.get(&id)?;
            let (key, identity) = (entry.rekey_key.clone(), Arc::new(entry.identity()?));
            Some(Ancestor { key, identity, route: entry.route })
        })
    }

    /// At most `limit` associations behind `after`, by id, and how many there are altogether.
    pub fn page(&self, after: Option<LocalId>, limit: usize) -> (Vec<(LocalId, Entry)>, usize) {
        let inner = self.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = inner.entries.range((start, Bound::Unbounded)).take(limit);
        let page = page.map(|(id, entry)| (*id, entry.unpack(inner.base))).collect();
        (page, inner.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use xdtls_proto::engine::CertificateId;
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
    fn nothing_of_an_entry_is_lost_but_a_part_of_a_second() {
        let certificate = CertificateId { issuer_sha256: [3; 32], serial: vec![0x80, 0] };
        let identity = PeerIdentity {
            names: vec!["a.example".to_owned(), "b.example".to_owned()],
            uris: vec!["spiffe://example/a".to_owned()],
            emails: vec!["a@example".to_owned()],
            addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            spki_sha256: [7; 32],
            chain: vec![certificate],
            authorities: vec![[9; 32]],
            expires_s: Some(-1),
            psk: Some("key".to_owned()),
        };
        let registry = Registry::default();
        let base = registry.lock().base;
        let entry = |since_ms| Entry {
            since: base + Duration::from_millis(since_ms),
            identity: Arc::new(identity.clone()),
            suite: CipherSuite::ALL[1],
            route: 0xfedc,
            rekey_key: RekeyKey::derive(CipherSuite::ALL[1], &[1; 48], &[2; 32], &[3; 32]),
        };
        for (since_ms, kept_ms) in [(0, 0), (1, 1_000), (86_400_000, 86_400_000)] {
            registry.insert(id(1), entry(since_ms), 0);
            assert_eq!(registry.find(id(1)), Some(entry(kept_ms)));
        }
    }

    #[test]
    fn an_entry_at_rest_stays_small() {
        let (size, name) = (size_of::<Packed>(), named("client-123456.example"));
        assert!(size <= 40, "{size} bytes, and those of an identity");
        let identity = postcard::to_allocvec(&name).unwrap().len();
        assert!(identity <= 64, "{identity} bytes");
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
