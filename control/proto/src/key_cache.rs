//! A bounded cache of expanded keys, so that only the associations that are busy pay for them.
//!
//! An expanded key takes about 550 bytes where the raw one takes 45, and expanding it costs 40 to
//! 250 ns. The cache is direct-mapped, each direction by itself. An association gets its entry when
//! it misses twice in a row there: single records of very many associations pass by without
//! throwing out the keys of those that are busy, and without writing to memory that no cache has
//! at hand. Evicted keys are not zeroized; ring offers no way to do so.

use xdtls_common::id::LocalId;

use crate::keys::DirectionKeys;
use crate::record_plane::ExpandedKey;

/// Expanded keys of at most as many associations as it was made for.
///
/// It allocates once, when it is made.
#[derive(Debug)]
pub struct KeyCache {
    seal: Direction,
    open: Direction,
}

impl KeyCache {
    /// A cache with this many entries for each direction, at least one.
    pub fn new(entries: usize) -> Self {
        Self { seal: Direction::new(entries), open: Direction::new(entries) }
    }

    /// Lets `act` use the expanded key that association `id` seals with, made from `keys` unless it
    /// is here.
    ///
    /// `slot` decides on the entry. It must be the same at each call for one id, and should be dense
    /// among the associations of this cache: within one shard the id's slot divided by the number
    /// of shards.
    pub fn seal<R>(
        &mut self,
        id: LocalId,
        slot: u32,
        keys: &DirectionKeys,
        act: impl FnOnce(&ExpandedKey) -> R,
    ) -> R {
        self.seal.with_key(id, slot, keys, act)
    }

    /// The same for what it opens with.
    pub fn open<R>(
        &mut self,
        id: LocalId,
        slot: u32,
        keys: &DirectionKeys,
        act: impl FnOnce(&ExpandedKey) -> R,
    ) -> R {
        self.open.with_key(id, slot, keys, act)
    }

    /// Drops the keys of association `id`. Every association that ends must be forgotten: entries
    /// are told apart by id alone, and the id may come back with other keys.
    pub fn forget(&mut self, id: LocalId, slot: u32) {
        self.seal.forget(id, slot);
        self.open.forget(id, slot);
    }
}

/// The keys of one direction.
#[derive(Debug)]
struct Direction {
    /// Whose key stands in each entry, and who was the last to miss there. They stand apart from
    /// the keys, so that a miss touches one line of memory and not all that a key fills.
    holders: Box<[Holder]>,
    keys: Box<[Option<ExpandedKey>]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Holder {
    id: Option<LocalId>,
    missed: Option<LocalId>,
}

impl Direction {
    fn new(entries: usize) -> Self {
        let entries = entries.max(1);
        Self {
            holders: vec![Holder::default(); entries].into(),
            keys: std::iter::repeat_with(|| None).take(entries).collect(),
        }
    }

    fn with_key<R>(
        &mut self,
        id: LocalId,
        slot: u32,
        keys: &DirectionKeys,
        act: impl FnOnce(&ExpandedKey) -> R,
    ) -> R {
        let index = slot as usize % self.holders.len();
        let holder = &mut self.holders[index];
        // On the stack, which is warm.
        let passing;
        let key = if holder.id == Some(id) {
            self.keys[index].get_or_insert_with(|| ExpandedKey::new(keys))
        } else if holder.missed == Some(id) {
            *holder = Holder { id: Some(id), missed: None };
            self.keys[index].insert(ExpandedKey::new(keys))
        } else {
            holder.missed = Some(id);
            passing = ExpandedKey::new(keys);
            &passing
        };
        act(key)
    }

    fn forget(&mut self, id: LocalId, slot: u32) {
        let index = slot as usize % self.holders.len();
        let holder = &mut self.holders[index];
        if holder.id == Some(id) {
            holder.id = None;
            self.keys[index] = None;
        }
        if holder.missed == Some(id) {
            holder.missed = None;
        }
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

    /// Asks for both of an association's keys; whether they are `seal_key` and `open_key`.
    fn gives(cache: &mut KeyCache, (id_value, slot): (u32, u32), raw: u8, expected: u8) -> bool {
        let (seals, opens) =
            [expected, expected + 100].map(|it| ExpandedKey::new(&keys(it))).into();
        let sealed = cache.seal(id(id_value), slot, &keys(raw), |key| passes(key, &seals));
        sealed && cache.open(id(id_value), slot, &keys(raw + 100), |key| passes(&opens, key))
    }

    fn passes(sealer: &ExpandedKey, opener: &ExpandedKey) -> bool {
        let mut record = [0; 37];
        let counters = SealState::after(0, 0).take(sealer.aead()).unwrap();
        seal(sealer, counters, APPLICATION_DATA, &mut record, 0);
        let header = RecordHeader::parse(&mut SliceCursor::new(&record)).unwrap();
        let opened = open(opener, &header, &mut record);
        assert!(matches!(opened, Ok(_) | Err(DropReason::NotAuthentic)));
        opened.is_ok()
    }

    #[test]
    fn the_second_miss_in_a_row_takes_the_entry_and_keeps_it() {
        let mut cache = KeyCache::new(4);
        assert!(gives(&mut cache, (0x101, 1), 1, 1));
        assert!(gives(&mut cache, (0x101, 1), 2, 2), "the first miss leaves nothing");
        // Other raw keys are not looked at any more: those of the second call are here.
        assert!(gives(&mut cache, (0x101, 1), 3, 2));
        assert!(gives(&mut cache, (0x102, 2), 4, 4));
        assert!(gives(&mut cache, (0x101, 1), 3, 2));
    }

    #[test]
    fn who_passes_by_evicts_nobody_whether_of_the_same_slot_or_of_the_same_entry() {
        let mut cache = KeyCache::new(4);
        gives(&mut cache, (0x101, 1), 1, 1);
        gives(&mut cache, (0x101, 1), 1, 1);
        for passing in [(0x201, 1), (0x105, 5), (0x201, 1)] {
            assert!(gives(&mut cache, passing, 3, 3));
            assert!(gives(&mut cache, (0x101, 1), 9, 1), "the busy one keeps its entry");
        }
        assert!(gives(&mut cache, (0x105, 5), 5, 5));
        assert!(gives(&mut cache, (0x105, 5), 6, 6), "twice in a row takes it");
        assert!(gives(&mut cache, (0x105, 5), 7, 6));
        assert!(gives(&mut cache, (0x101, 1), 8, 8));
    }

    #[test]
    fn forgetting_drops_only_what_the_id_holds() {
        let mut cache = KeyCache::new(4);
        gives(&mut cache, (0x101, 1), 1, 1);
        gives(&mut cache, (0x101, 1), 1, 1);
        cache.forget(id(0x105), 5);
        assert!(gives(&mut cache, (0x101, 1), 8, 1));
        cache.forget(id(0x101), 1);
        assert!(gives(&mut cache, (0x101, 1), 8, 8));
        cache.forget(id(0x101), 1);
        assert!(gives(&mut cache, (0x101, 1), 9, 9), "nor is it remembered that it missed");
        assert!(gives(&mut cache, (0x101, 1), 8, 8));
    }

    #[test]
    fn a_cache_has_at_least_one_entry_and_entries_stay_small() {
        let mut cache = KeyCache::new(0);
        assert!(gives(&mut cache, (7, 7), 1, 1));
        assert!(size_of::<Option<ExpandedKey>>() + size_of::<Holder>() <= 640);
    }
}
