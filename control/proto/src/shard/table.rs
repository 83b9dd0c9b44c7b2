//! The associations that one shard owns, indexed by slot.

use xdtls_common::id::{IdLayout, LocalId, PeerId};
use xdtls_common::verdict::{Entry, Phase};

use crate::association::Association;

enum Cell {
    Free,
    /// Datagrams for this id go to the handshakes. The peer is unknown while we are opening.
    Reserved(LocalId, Option<PeerId>),
    Established(LocalId, Box<Association>),
    /// The association has ended and the slot rests.
    Resting(LocalId),
}

/// The table of one shard.
pub(crate) struct Table {
    layout: IdLayout,
    cells: Vec<Cell>,
    established: usize,
}

impl Table {
    /// A table for this shard's part of `capacity` slots.
    pub(crate) fn new(layout: IdLayout, capacity: u32) -> Self {
        let cells = capacity.div_ceil(layout.shards());
        Self { layout, cells: (0..cells).map(|_| Cell::Free).collect(), established: 0 }
    }

    pub(crate) fn established(&self) -> usize {
        self.established
    }

    fn index(&self, id: u32) -> usize {
        (self.layout.slot_of(id) / self.layout.shards()) as usize
    }

    /// What the verdict needs to know of an id on the wire.
    pub(crate) fn entry(&self, id: u32) -> Option<Entry> {
        match self.cells.get(self.index(id))? {
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
        if let Some(cell @ (Cell::Free | Cell::Resting(_))) = self.cells.get_mut(index) {
            *cell = Cell::Reserved(id, peer);
        }
    }

    /// Establishes a reserved association; `false` if it is not reserved any more.
    pub(crate) fn establish(&mut self, id: LocalId, association: Association) -> bool {
        let index = self.index(id.value());
        let Some(cell) = self.cells.get_mut(index) else { return false };
        if !matches!(cell, Cell::Reserved(own, _) if *own == id) {
            return false;
        }
        *cell = Cell::Established(id, Box::new(association));
        self.established += 1;
        true
    }

    pub(crate) fn association(&mut self, id: LocalId) -> Option<&mut Association> {
        let index = self.index(id.value());
        match self.cells.get_mut(index)? {
            Cell::Established(own, association) if *own == id => Some(association),
            _ => None,
        }
    }

    /// Ends what an id names, and remembers it until it is forgotten; the association, if there
    /// was one.
    pub(crate) fn rest(&mut self, id: LocalId) -> Option<Box<Association>> {
        let index = self.index(id.value());
        let cell = self.cells.get_mut(index)?;
        let own = match cell {
            Cell::Free | Cell::Resting(_) => return None,
            Cell::Reserved(own, _) | Cell::Established(own, _) => *own,
        };
        if own != id {
            return None;
        }
        match std::mem::replace(cell, Cell::Resting(id)) {
            Cell::Established(_, association) => {
                self.established -= 1;
                Some(association)
            }
            _ => None,
        }
    }

    /// All established associations.
    pub(crate) fn established_mut(&mut self) -> impl Iterator<Item = (LocalId, &mut Association)> {
        self.cells.iter_mut().filter_map(|cell| match cell {
            Cell::Established(id, association) => Some((*id, &mut **association)),
            _ => None,
        })
    }

    /// Forgets an id that has rested.
    pub(crate) fn forget(&mut self, id: LocalId) {
        let index = self.index(id.value());
        if let Some(cell) = self.cells.get_mut(index)
            && matches!(cell, Cell::Resting(own) if *own == id)
        {
            *cell = Cell::Free;
        }
    }

    /// The ids of all established associations.
    pub(crate) fn ids(&self) -> Vec<LocalId> {
        let id = |cell: &Cell| match cell {
            Cell::Established(id, _) => Some(*id),
            _ => None,
        };
        self.cells.iter().filter_map(id).collect()
    }
}
