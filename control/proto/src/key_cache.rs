//! A bounded cache of expanded keys, so that only the associations that are busy pay for them.
//!
//! A pair of expanded keys takes about 1.1 KB where the raw ones take 90 bytes, and expanding one
//! key costs 40 to 190 ns. The cache is direct-mapped: two associations whose slots fall on the same
//! entry evict each other. Evicted keys are not zeroized; ring offers no way to do so.

use std::iter;

use xdtls_common::id::LocalId;

use crate::keys::DirectionKeys;
use crate::record_plane::ExpandedKey;

/// The expanded keys of both directions of one association.
#[derive(Debug)]
pub struct Expanded {
    /// What this end seals with.
    pub seal: ExpandedKey,
    /// What this end opens with.
    pub open: ExpandedKey,
}

/// Expanded keys of at most as many associations as it was made for.
///
/// It allocates once, when it is made.
#[derive(Debug)]
pub struct KeyCache {
    entries: Box<[Option<(LocalId, Expanded)>]>,
}

impl KeyCache {
    /// A cache with this many entries, at least one.
    pub fn new(entries: usize) -> Self {
        Self { entries: iter::repeat_with(|| None).take(entries.max(1)).collect() }
    }

    /// The expanded keys of association `id`, made from its raw keys unless they are here.
    ///
    /// `slot` decides on the entry. It must be the same at each call for one id, and should be dense
    /// among the associations of this cache: within one shard the id's slot divided by the number
    /// of shards.
    pub fn pair(
        &mut self,
        id: LocalId,
        slot: u32,
        seal: &DirectionKeys,
        open: &DirectionKeys,
    ) -> &Expanded {
        let entry = self.entry(slot);
        if entry.as_ref().is_some_and(|(holder, _)| *holder != id) {
            *entry = None;
        }
        let (_, expanded) = entry.get_or_insert_with(|| {
            (id, Expanded { seal: ExpandedKey::new(seal), open: ExpandedKey::new(open) })
        });
        expanded
    }

    /// Drops the keys of association `id`. Every association that ends must be forgotten: entries
    /// are told apart by id alone, and the id may come back with other keys.
    pub fn forget(&mut self, id: LocalId, slot: u32) {
        let entry = self.entry(slot);
        if entry.as_ref().is_some_and(|(holder, _)| *holder == id) {
            *entry = None;
        }
    }

    fn entry(&mut self, slot: u32) -> &mut Option<(LocalId, Expanded)> {
        let index = slot as usize % self.entries.len();
        &mut self.entries[index]
    }
}

#[cfg(test)]
mod tests {
    use xdtls_common::DropReason;
    use xdtls_common::cursor::SliceCursor;
    use xdtls_common::record::RecordHeader;
    use xdtls_common::record::content_type::APPLICATION_DATA;

    use super::*;
    use crate::record_plane::{SealState, open, seal};
    use crate::suite::Aead;

    /// Keys that differ from association to association.
    fn keys(key: u8) -> DirectionKeys {
        DirectionKeys::new(Aead::Aes128Gcm, [key; 32], [0; 12])
    }

    fn id(value: u32) -> LocalId {
        LocalId::new(value).unwrap()
    }

    /// Whether `expanded` seals with `seal_key` and opens with `open_key`.
    fn is_of(expanded: &Expanded, seal_key: u8, open_key: u8) -> bool {
        passes(&expanded.seal, &ExpandedKey::new(&keys(seal_key)))
            && passes(&ExpandedKey::new(&keys(open_key)), &expanded.open)
    }

    fn passes(sealer: &ExpandedKey, opener: &ExpandedKey) -> bool {
        let mut record = [0; 37];
        let counters = SealState::after(sealer.aead(), 0, 0).take().unwrap();
        seal(sealer, counters, APPLICATION_DATA, &mut record, 0);
        let header = RecordHeader::parse(&mut SliceCursor::new(&record)).unwrap();
        let opened = open(opener, &header, &mut record);
        assert!(matches!(opened, Ok(_) | Err(DropReason::NotAuthentic)));
        opened.is_ok()
    }

    #[test]
    fn keys_are_expanded_once_while_the_entry_is_theirs() {
        let mut cache = KeyCache::new(4);
        assert!(is_of(cache.pair(id(0x101), 1, &keys(1), &keys(2)), 1, 2));
        // Other raw keys are not looked at: those of the first call are here.
        assert!(is_of(cache.pair(id(0x101), 1, &keys(8), &keys(9)), 1, 2));
        assert!(is_of(cache.pair(id(0x102), 2, &keys(3), &keys(4)), 3, 4));
        assert!(is_of(cache.pair(id(0x101), 1, &keys(8), &keys(9)), 1, 2));
    }

    #[test]
    fn another_id_evicts_whether_of_the_same_slot_or_of_the_same_entry() {
        let mut cache = KeyCache::new(4);
        cache.pair(id(0x101), 1, &keys(1), &keys(2));
        assert!(is_of(cache.pair(id(0x201), 1, &keys(3), &keys(4)), 3, 4));
        assert!(is_of(cache.pair(id(0x105), 5, &keys(5), &keys(6)), 5, 6));
        assert!(is_of(cache.pair(id(0x101), 1, &keys(7), &keys(8)), 7, 8));
    }

    #[test]
    fn forgetting_drops_only_what_the_id_holds() {
        let mut cache = KeyCache::new(4);
        cache.pair(id(0x101), 1, &keys(1), &keys(2));
        cache.forget(id(0x105), 5);
        assert!(is_of(cache.pair(id(0x101), 1, &keys(8), &keys(9)), 1, 2));
        cache.forget(id(0x101), 1);
        assert!(is_of(cache.pair(id(0x101), 1, &keys(8), &keys(9)), 8, 9));
    }

    #[test]
    fn a_cache_has_at_least_one_entry_and_entries_stay_small() {
        let mut cache = KeyCache::new(0);
        assert!(is_of(cache.pair(id(7), 7, &keys(1), &keys(2)), 1, 2));
        assert!(size_of::<Option<(LocalId, Expanded)>>() <= 1280);
    }
}
