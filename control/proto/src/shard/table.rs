//! The associations that one shard owns, indexed by slot.
//!
//! Cells stand in chunks that are made when the first of their slots is used and never go away:
//! slots are used in turn, so that a table is about as large as the most associations it has had.
//! Address space for all chunks is reserved at once, so that they stand one behind the other and
//! can be in huge pages; memory it becomes chunk by chunk.

use std::ops::Range;

use xdtls_common::id::{IdLayout, LocalId, PeerId};
use xdtls_common::verdict::{Entry, Phase};

use crate::association::Association;

/// Cells of one chunk.
const CHUNK: usize = 256;

/// Where chunks are that were not made: behind all others.
const NOWHERE: u32 = u32::MAX;

#[expect(clippy::large_enum_variant, reason = "nearly all cells in use are established")]
pub(super) enum Cell {
    Free,
    /// Datagrams for this id go to the handshakes. The peer is unknown while we are opening.
    Reserved(LocalId, Option<PeerId>),
    Established(Association),
    /// The association has ended and the slot rests.
    Resting(LocalId),
}

/// The table of one shard.
pub(crate) struct Table {
    layout: IdLayout,
    slots: usize,
    /// Where each chunk is.
    places: Vec<u32>,
    chunks: Vec<[Cell; CHUNK]>,
    established: usize,
}

impl Table {
    /// A table for this shard's part of `capacity` slots.
    pub(crate) fn new(layout: IdLayout, capacity: u32) -> Self {
        let slots = capacity.div_ceil(layout.shards()) as usize;
        let chunks = slots.div_ceil(CHUNK);
        let places = vec![NOWHERE; chunks];
        Self { layout, slots, places, chunks: Vec::with_capacity(chunks), established: 0 }
    }

    /// Where chunks are and will be.
    pub(crate) fn addresses(&self) -> Range<*const u8> {
        let start = self.chunks.as_ptr();
        start.cast()..start.wrapping_add(self.chunks.capacity()).cast()
    }

    pub(crate) fn established(&self) -> usize {
        self.established
    }

    fn index(&self, id: u32) -> usize {
        (self.layout.slot_of(id) / self.layout.shards()) as usize
    }

    /// The cell of this id's slot, whosever it is.
    pub(super) fn cell(&self, id: u32) -> Option<&Cell> {
        let index = self.index(id);
        let place = *self.places.get(index / CHUNK)?;
        self.chunks.get(place as usize)?.get(index % CHUNK)
    }

    fn cell_mut(&mut self, id: LocalId) -> Option<&mut Cell> {
        let index = self.index(id.value());
        let place = *self.places.get(index / CHUNK)?;
        self.chunks.get_mut(place as usize)?.get_mut(index % CHUNK)
    }

    fn cells_mut(&mut self) -> impl Iterator<Item = &mut Cell> {
        self.chunks.iter_mut().flatten()
    }

    /// What the verdict needs to know of an id on the wire.
    pub(crate) fn entry(&self, id: u32) -> Option<Entry> {
        match self.cell(id)? {
            Cell::Reserved(own, None) if own.value() == id => {
                Some(Entry { phase: Phase::Opening, peer_id: 0 })
            }
            Cell::Reserved(own, Some(peer)) if own.value() == id => {
                Some(Entry { phase: Phase::HalfOpen, peer_id: peer.value() })
            }
            Cell::Established(association) if association.id.value() == id => {
                Some(Entry { phase: Phase::Established, peer_id: association.peer.value() })
            }
            Cell::Resting(own) if own.value() == id => {
                Some(Entry { phase: Phase::Resting, peer_id: 0 })
            }
            _ => None,
        }
    }

    pub(crate) fn reserve(&mut self, id: LocalId, peer: Option<PeerId>) {
        let index = self.index(id.value());
        if index >= self.slots {
            return;
        }
        let place = &mut self.places[index / CHUNK];
        if *place == NOWHERE {
            *place = self.chunks.len() as u32;
            self.chunks.push([const { Cell::Free }; CHUNK]);
        }
        let cell = &mut self.chunks[*place as usize][index % CHUNK];
        if matches!(cell, Cell::Free | Cell::Resting(_)) {
            *cell = Cell::Reserved(id, peer);
        }
    }

    /// Establishes a reserved association; `false` if it is not reserved any more.
    pub(crate) fn establish(&mut self, association: Association) -> bool {
        let id = association.id;
        let Some(cell) = self.cell_mut(id) else { return false };
        if !matches!(cell, Cell::Reserved(own, _) if *own == id) {
            return false;
        }
        *cell = Cell::Established(association);
        self.established += 1;
        true
    }

    pub(crate) fn association(&mut self, id: LocalId) -> Option<&mut Association> {
        match self.cell_mut(id)? {
            Cell::Established(association) if association.id == id => Some(association),
            _ => None,
        }
    }

    /// Ends an association, and remembers its id until it is forgotten; `false` if there is none.
    pub(crate) fn end(&mut self, id: LocalId) -> bool {
        let Some(cell) = self.cell_mut(id) else { return false };
        let lives = matches!(cell, Cell::Established(association) if association.id == id);
        if lives {
            // Dropped where it stands: what was moved elsewhere first would leave its keys behind.
            *cell = Cell::Resting(id);
            self.established -= 1;
        }
        lives
    }

    /// Ends what an id names, whether it is established or only reserved.
    pub(crate) fn rest(&mut self, id: LocalId) {
        if let Some(cell) = self.cell_mut(id)
            && matches!(cell, Cell::Reserved(own, _) if *own == id)
        {
            *cell = Cell::Resting(id);
        } else {
            self.end(id);
        }
    }

    /// All established associations.
    pub(crate) fn established_mut(&mut self) -> impl Iterator<Item = (LocalId, &mut Association)> {
        self.cells_mut().filter_map(|cell| match cell {
            Cell::Established(association) => Some((association.id, association)),
            _ => None,
        })
    }

    /// Forgets an id that has rested.
    pub(crate) fn forget(&mut self, id: LocalId) {
        if let Some(cell) = self.cell_mut(id)
            && matches!(cell, Cell::Resting(own) if *own == id)
        {
            *cell = Cell::Free;
        }
    }

    /// The ids of all established associations.
    pub(crate) fn ids(&mut self) -> Vec<LocalId> {
        self.established_mut().map(|(id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_larger_than_its_association() {
        assert_eq!(size_of::<Cell>(), size_of::<Association>());
    }
}
