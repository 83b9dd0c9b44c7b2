//! The associations that one shard owns, indexed by slot.
//!
//! Cells stand in chunks that are made when the first of their slots is used and never go away:
//! slots are used in turn, so that a table is about as large as the most associations it has had,
//! and an association is found without following a pointer of its own.

use std::hint::black_box;

use xdtls_common::id::{IdLayout, LocalId, PeerId};
use xdtls_common::verdict::{Entry, Phase};

use crate::association::Association;

/// Cells of one chunk.
const CHUNK: usize = 64;

#[expect(clippy::large_enum_variant, reason = "nearly all cells in use are established")]
enum Cell {
    Free,
    /// Datagrams for this id go to the handshakes. The peer is unknown while we are opening.
    Reserved(LocalId, Option<PeerId>),
    Established(LocalId, Association),
    /// The association has ended and the slot rests.
    Resting(LocalId),
}

/// The table of one shard.
pub(crate) struct Table {
    layout: IdLayout,
    slots: usize,
    chunks: Vec<Option<Box<[Cell; CHUNK]>>>,
    established: usize,
}

impl Table {
    /// A table for this shard's part of `capacity` slots.
    pub(crate) fn new(layout: IdLayout, capacity: u32) -> Self {
        let slots = capacity.div_ceil(layout.shards()) as usize;
        let chunks = (0..slots.div_ceil(CHUNK)).map(|_| None).collect();
        Self { layout, slots, chunks, established: 0 }
    }

    pub(crate) fn established(&self) -> usize {
        self.established
    }

    fn index(&self, id: u32) -> usize {
        (self.layout.slot_of(id) / self.layout.shards()) as usize
    }

    fn cell(&self, id: u32) -> Option<&Cell> {
        let index = self.index(id);
        self.chunks.get(index / CHUNK)?.as_ref()?.get(index % CHUNK)
    }

    fn cell_mut(&mut self, id: LocalId) -> Option<&mut Cell> {
        let index = self.index(id.value());
        self.chunks.get_mut(index / CHUNK)?.as_mut()?.get_mut(index % CHUNK)
    }

    fn cells_mut(&mut self) -> impl Iterator<Item = &mut Cell> {
        self.chunks.iter_mut().flatten().flat_map(|chunk| chunk.iter_mut())
    }

    /// Reads what a record for this id will need. Whoever has many datagrams at hand does this for
    /// all of them first: reads do not wait for each other, whereas sealing and opening would wait
    /// for each read in turn.
    pub(crate) fn touch(&self, id: u32) {
        if let Some(Cell::Established(own, association)) = self.cell(id) {
            black_box((own, association.touch()));
        }
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
            Cell::Established(own, association) if own.value() == id => {
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
        let chunk = &mut self.chunks[index / CHUNK];
        let chunk = chunk.get_or_insert_with(|| Box::new([const { Cell::Free }; CHUNK]));
        let cell = &mut chunk[index % CHUNK];
        if matches!(cell, Cell::Free | Cell::Resting(_)) {
            *cell = Cell::Reserved(id, peer);
        }
    }

    /// Establishes a reserved association; `false` if it is not reserved any more.
    pub(crate) fn establish(&mut self, id: LocalId, association: Association) -> bool {
        let Some(cell) = self.cell_mut(id) else { return false };
        if !matches!(cell, Cell::Reserved(own, _) if *own == id) {
            return false;
        }
        *cell = Cell::Established(id, association);
        self.established += 1;
        true
    }

    pub(crate) fn association(&mut self, id: LocalId) -> Option<&mut Association> {
        match self.cell_mut(id)? {
            Cell::Established(own, association) if *own == id => Some(association),
            _ => None,
        }
    }

    /// Ends what an id names, and remembers it until it is forgotten; whether there was an
    /// association.
    pub(crate) fn rest(&mut self, id: LocalId) -> bool {
        let Some(cell) = self.cell_mut(id) else { return false };
        let was_established = match cell {
            Cell::Reserved(own, _) if *own == id => false,
            Cell::Established(own, _) if *own == id => true,
            _ => return false,
        };
        // Dropped where it stands: what was moved elsewhere first would leave its keys behind.
        *cell = Cell::Resting(id);
        self.established -= usize::from(was_established);
        was_established
    }

    /// All established associations.
    pub(crate) fn established_mut(&mut self) -> impl Iterator<Item = (LocalId, &mut Association)> {
        self.cells_mut().filter_map(|cell| match cell {
            Cell::Established(id, association) => Some((*id, association)),
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
