//! What is known of established associations beside their records: whose they are and since when,
//! and why the last ones have ended.
//!
//! Handshake threads write an entry when an association is installed and take it away when it has
//! ended: twice in an association's life, never for a packet. Workers do not see it. A million are at
//! rest here, so that they are packed: an identity takes ten allocations and hundreds of bytes
//! otherwise, most of them for names that it does not have.
//!
//! Whoever is in here was admitted by the rules of now, or is being judged by them: when they change,
//! whoever comes is judged by the new ones from that moment on, and all who are there are judged again,
//! few at a time, so that handshakes do not wait for a million of them.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use xdtls_common::id::LocalId;
use xdtls_proto::association::CloseCause;
use xdtls_proto::engine::PeerIdentity;
use xdtls_proto::handshakes::Installation;
use xdtls_proto::policy::{Admission, Refusal};
use xdtls_proto::rekey::{Ancestor, AncestorLookup, REKEY_KEY_LEN, RekeyKey};
use xdtls_proto::suite::CipherSuite;
use zeroize::Zeroizing;

/// Associations whose end is remembered.
const ENDED: usize = 1024;

/// How many identities are taken out at a time to be judged.
const JUDGED_AT_ONCE: usize = 256;

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

/// An [`Entry`] at rest, in one allocation that is wiped when it goes:
///
/// ```text
/// | rekey key, 16 | since, 4 | suite, 2 | route, 2 | identity, as postcard has it |
/// ```
///
/// `since` is in seconds after the registry's base, rounded up: nothing is older than it is.
struct Packed(Zeroizing<Box<[u8]>>);

/// Length in bytes of what stands before the identity.
const HEAD_LEN: usize = REKEY_KEY_LEN + 4 + 2 + 2;

impl Packed {
    fn new(base: Instant, entry: &Entry) -> Self {
        let since = entry.since.saturating_duration_since(base);
        let since_s = u32::try_from(since.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX);
        let suite = entry.suite.iana().to_be_bytes();
        let (since, route) = (since_s.to_be_bytes(), entry.route.to_be_bytes());
        let identity = postcard::to_allocvec(&*entry.identity).unwrap_or_default();
        let parts = [entry.rekey_key.bytes(), &since[..], &suite, &route, &identity];
        Self(Zeroizing::new(parts.concat().into_boxed_slice()))
    }

    /// Who the peer is, still packed.
    fn identity(&self) -> &[u8] {
        self.0.get(HEAD_LEN..).unwrap_or_default()
    }

    /// `None` would be nobody, whom nothing admits; but what was packed can be unpacked.
    fn unpack(&self, base: Instant) -> Option<Entry> {
        let (key, rest) = self.0.split_first_chunk()?;
        let (since, rest) = rest.split_first_chunk()?;
        let (suite, rest) = rest.split_first_chunk()?;
        let (route, identity) = rest.split_first_chunk()?;
        Some(Entry {
            since: base + Duration::from_secs(u32::from_be_bytes(*since).into()),
            identity: Arc::new(unpack_identity(identity)?),
            suite: CipherSuite::from_iana(u16::from_be_bytes(*suite))?,
            route: u16::from_be_bytes(*route),
            rekey_key: RekeyKey::of_bytes(*key),
        })
    }
}

fn unpack_identity(packed: &[u8]) -> Option<PeerIdentity> {
    postcard::from_bytes(packed).ok()
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
    /// Who has come since the rules have changed, while the others are being judged again.
    newcomers: Option<HashSet<LocalId>>,
    ended: VecDeque<EndedEntry>,
}

impl Inner {
    fn change_rules(&mut self, admission: Arc<Admission>) {
        self.admission = Some(admission);
        self.newcomers = Some(HashSet::new());
    }

    /// The next ones to be judged again and who they are, still packed; and the last that was looked
    /// at, if there was any.
    fn to_judge(&self, after: Bound<LocalId>) -> (Vec<(LocalId, Box<[u8]>)>, Option<LocalId>) {
        let is_new = |id| self.newcomers.as_ref().is_some_and(|newcomers| newcomers.contains(id));
        let next = self.entries.range((after, Bound::Unbounded)).take(JUDGED_AT_ONCE);
        let packed = next.clone().filter(|(id, _)| !is_new(id));
        let packed = packed.map(|(id, entry)| (*id, entry.identity().into())).collect();
        (packed, next.last().map(|(id, _)| *id))
    }
}

/// All established associations of a node, by id.
pub struct Registry {
    inner: Mutex<Inner>,
}

impl Default for Registry {
    fn default() -> Self {
        let (entries, ended) = (BTreeMap::new(), VecDeque::new());
        let (base, admission, newcomers) = (Instant::now(), None, None);
        Self { inner: Mutex::new(Inner { base, entries, admission, newcomers, ended }) }
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
        let packed = Packed::new(inner.base, &entry);
        inner.entries.insert(id, packed);
        if let Some(newcomers) = &mut inner.newcomers {
            newcomers.insert(id);
        }
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
        self.lock().change_rules(admission.clone());
        let is_gone = |it: &PeerIdentity| it.psk.as_ref().is_some_and(|psk| gone.contains(psk));
        let judge = |identity: Option<PeerIdentity>| match identity {
            None => Some(Refusal::NoRule),
            Some(identity) if is_gone(&identity) => Some(Refusal::PskGone),
            Some(identity) => admission.judge(now_s, &identity).err(),
        };
        let (mut refused, mut after) = (Vec::new(), Bound::Unbounded);
        loop {
            let (packed, last) = self.lock().to_judge(after);
            // Unpacking and judging take longer than taking out, and need no lock.
            let judged = packed.iter().map(|(id, packed)| (*id, judge(unpack_identity(packed))));
            refused.extend(judged.filter_map(|(id, refusal)| Some((id, refusal?))));
            match last {
                Some(last) => after = Bound::Excluded(last),
                None => break,
            }
        }
        self.lock().newcomers = None;
        refused
    }

    /// One association.
    pub fn find(&self, id: LocalId) -> Option<Entry> {
        let inner = self.lock();
        inner.entries.get(&id)?.unpack(inner.base)
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
            let Entry { rekey_key: key, identity, route, .. } = entry.unpack(inner.base)?;
            Some(Ancestor { key, identity, route })
        })
    }

    /// At most `limit` associations behind `after`, by id, and how many there are altogether.
    pub fn page(&self, after: Option<LocalId>, limit: usize) -> (Vec<(LocalId, Entry)>, usize) {
        let inner = self.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = inner.entries.range((start, Bound::Unbounded)).take(limit);
        let page = page.filter_map(|(id, entry)| Some((*id, entry.unpack(inner.base)?))).collect();
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
    fn all_are_judged_again_but_who_has_come_by_the_new_rules() {
        let (registry, count) = (Registry::default(), 2 * JUDGED_AT_ONCE as u32 + 1);
        for number in 1..=count {
            add(&registry, number, &named("a"));
        }
        registry.lock().change_rules(admitting(&["a"]));
        add(&registry, count + 1, &named("a"));
        let (mut judged, mut after) = (Vec::new(), Bound::Unbounded);
        while let (packed, Some(last)) = registry.lock().to_judge(after) {
            assert!(packed.len() <= JUDGED_AT_ONCE);
            judged.extend(packed.iter().map(|(id, _)| id.value()));
            after = Bound::Excluded(last);
        }
        assert_eq!(judged, (1..=count).collect::<Vec<_>>());
        assert_eq!(
            registry.admit_by(admitting(&["b"]), &HashSet::new(), 0).len(),
            judged.len() + 1
        );
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
        let registry = Registry::default();
        add(&registry, 1, &named("client-123456.example"));
        let length = registry.lock().entries[&id(1)].0.len();
        assert!(length <= 88, "{length} bytes, of which a name is 21");
        assert!(size_of::<Packed>() <= 16);
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
