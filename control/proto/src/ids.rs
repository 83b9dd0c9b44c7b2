//! The allocator of local ids, one for both roles: a node that answers and opens gives a clone to
//! either, and all clones share the slots.
//!
//! A slot that was given back rests for [`QUARANTINE`] before it is used again, so that datagrams
//! still under way for the old association meet an unknown id and not a stranger's.

use std::collections::VecDeque;
use std::iter::StepBy;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use xdtls_common::id::{IdLayout, LocalId};

/// How long a slot rests between two associations.
pub const QUARANTINE: Duration = Duration::from_secs(120);

/// The free slots of one shard.
struct Lane {
    /// Slots that were never used.
    fresh: StepBy<Range<u32>>,
    /// The ids of slots that have rested or need not.
    rested: VecDeque<LocalId>,
}

/// Allocates the ids of a range of slots. A clone is another way to the same slots.
#[derive(Clone)]
pub struct IdAllocator {
    layout: IdLayout,
    slots: u32,
    shared: Arc<Mutex<Slots>>,
}

/// Which slots can be had.
struct Slots {
    lanes: Box<[Lane]>,
    /// The shard whose turn it is.
    next: usize,
    /// Slots that were given back: until when they rest, and the id that is not to come again.
    resting: VecDeque<(Instant, LocalId)>,
}

impl Slots {
    fn take_turn(&mut self) -> u32 {
        let shard = self.next;
        self.next = (shard + 1) % self.lanes.len();
        shard as u32
    }

    fn rested(&mut self, shard: u32) -> &mut VecDeque<LocalId> {
        &mut self.lanes[shard as usize].rested
    }
}

impl IdAllocator {
    /// How many slots it has, free or not.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// An allocator for `slots`, all of them free.
    pub fn new(layout: IdLayout, slots: Range<u32>) -> Self {
        let shards = layout.shards();
        let lane = |shard: u32| {
            let first = slots.start + (shard + shards - slots.start % shards) % shards;
            let fresh = (first..slots.end.max(first)).step_by(shards as usize);
            Lane { fresh, rested: VecDeque::new() }
        };
        let lanes = (0..shards).map(lane).collect();
        let shared = Slots { lanes, next: 0, resting: VecDeque::new() };
        Self { layout, slots: slots.len() as u32, shared: Arc::new(Mutex::new(shared)) }
    }

    /// All clones belong to one thread, so that nobody ever waits here.
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new id, of each shard in turn, or `None` when no slot is free. Those that rest are free
    /// once [`IdAllocator::poll_rested`] has yielded them. `random` is called for 32 random bits.
    pub fn allocate(&mut self, mut random: impl FnMut() -> u32) -> Option<LocalId> {
        (0..self.layout.shards()).find_map(|_| {
            let shard = self.lock().take_turn();
            self.allocate_in(shard, &mut random)
        })
    }

    /// A new id of one shard, or `None` when it has no free slot here.
    pub fn allocate_in(&mut self, shard: u32, random: impl FnMut() -> u32) -> Option<LocalId> {
        let mut slots = self.lock();
        let lane = slots.lanes.get_mut(shard as usize)?;
        if let Some(slot) = lane.fresh.next() {
            return Some(self.draw(slot, 0, random));
        }
        let old = lane.rested.pop_front()?;
        let slot = self.layout.slot_of(old.value());
        Some(self.draw(slot, self.layout.generation_of(old.value()), random))
    }

    /// Which shard owns the association with this id.
    pub fn shard_of(&self, id: LocalId) -> u32 {
        self.layout.shard_of(id.value())
    }

    /// Gives an id back.
    pub fn release(&mut self, now: Instant, id: LocalId) {
        self.lock().resting.push_back((now + QUARANTINE, id));
    }

    /// Gives an id back that no peer has seen: its slot needs no rest.
    pub fn release_unused(&mut self, id: LocalId) {
        let shard = self.shard_of(id);
        self.lock().rested(shard).push_front(id);
    }

    /// An id whose slot has rested: nobody needs to know it any more.
    pub fn poll_rested(&mut self, now: Instant) -> Option<LocalId> {
        let mut slots = self.lock();
        let (until, id) = *slots.resting.front()?;
        if now < until {
            return None;
        }
        slots.resting.pop_front();
        slots.rested(self.shard_of(id)).push_back(id);
        Some(id)
    }

    /// When [`IdAllocator::poll_rested`] has something to say.
    pub fn deadline(&self) -> Option<Instant> {
        self.lock().resting.front().map(|(until, _)| *until)
    }

    /// A random generation that is neither 0, which could make the id 0, nor the previous one.
    fn draw(&self, slot: u32, previous: u32, mut random: impl FnMut() -> u32) -> LocalId {
        loop {
            let generation = random() >> self.layout.slot_bits();
            if generation != 0
                && generation != previous
                && let Some(id) = self.layout.id(slot, generation)
            {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn counter() -> impl FnMut() -> u32 {
        let mut state = 1_u32;
        move || {
            state = state.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
            state
        }
    }

    #[test]
    fn ids_are_distinct_and_in_range() {
        let layout = IdLayout::for_capacity(100, 2).unwrap();
        let mut ids = IdAllocator::new(layout, 50..100);
        let mut random = counter();
        let drawn: HashSet<_> =
            (0..50).map(|_| ids.allocate(&mut random).unwrap().value()).collect();
        assert_eq!(drawn.len(), 50);
        assert!(drawn.iter().all(|id| (50..100).contains(&layout.slot_of(*id))));
        assert_eq!(ids.allocate(&mut random), None);
    }

    #[test]
    fn shards_have_their_turns_and_one_can_be_chosen() {
        let layout = IdLayout::for_capacity(16, 3).unwrap();
        let mut ids = IdAllocator::new(layout, 4..12);
        let mut random = counter();
        let chosen: Vec<_> = (0..3).map(|_| ids.allocate_in(1, &mut random).unwrap()).collect();
        let slots: Vec<_> = chosen.iter().map(|id| layout.slot_of(id.value())).collect();
        assert_eq!(slots, [4, 7, 10]);
        assert_eq!(ids.allocate_in(1, &mut random), None);
        assert_eq!(ids.allocate_in(3, &mut random), None);
        let rest: Vec<_> =
            (0..5).map(|_| layout.slot_of(ids.allocate(&mut random).unwrap().value())).collect();
        assert_eq!(rest, [6, 5, 9, 8, 11]);
        assert_eq!(ids.allocate(&mut random), None);
        ids.release_unused(chosen[2]);
        assert_eq!(ids.allocate(&mut random).map(|id| layout.slot_of(id.value())), Some(10));
    }

    #[test]
    fn clones_share_the_slots() {
        let layout = IdLayout::for_capacity(2, 1).unwrap();
        let mut answers = IdAllocator::new(layout, 0..2);
        let mut opens = answers.clone();
        let mut random = counter();
        let ids = [answers.allocate(&mut random), opens.allocate(&mut random)].map(Option::unwrap);
        assert_ne!(layout.slot_of(ids[0].value()), layout.slot_of(ids[1].value()));
        assert_eq!(answers.allocate(&mut random), None);
        opens.release_unused(ids[0]);
        let again = answers.allocate(&mut random).unwrap();
        assert_eq!(layout.slot_of(again.value()), layout.slot_of(ids[0].value()));
    }

    #[test]
    fn a_slot_rests_and_changes_its_generation() {
        let layout = IdLayout::for_capacity(1, 1).unwrap();
        let mut ids = IdAllocator::new(layout, 0..1);
        let now = Instant::now();
        let first = ids.allocate(|| 7).unwrap();
        ids.release(now, first);
        let almost = now + QUARANTINE - Duration::from_millis(1);
        assert_eq!(ids.poll_rested(almost), None);
        assert_eq!(ids.allocate(|| 8), None);
        assert_eq!(ids.deadline(), Some(now + QUARANTINE));
        assert_eq!(ids.poll_rested(now + QUARANTINE), Some(first));
        assert_eq!(ids.deadline(), None);
        let mut draws = [0, 7, 9].into_iter();
        let second = ids.allocate(|| draws.next().unwrap()).unwrap();
        assert_eq!((first.value(), second.value()), (7, 9));
    }
}
