//! What the records of a batch will need is read before the first of them is opened or sealed.
//!
//! An association at rest is in no cache. Reads that do not depend on each other overlap, as far as
//! the processor looks ahead: some hundred instructions. So it is found out first where all of a batch
//! stand, and then they are read with next to nothing between one read and the next.

use std::hint::black_box;

use arrayvec::ArrayVec;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::id::LocalId;
use xdtls_common::prefix::Prefix;

use super::Shard;
use super::table::{Cell, Table};

/// Associations that are read together.
const TOGETHER: usize = 64;

/// What an association is needed for.
#[derive(Clone, Copy)]
enum Need {
    ToOpen,
    ToSeal,
}

/// Associations that are about to be needed. Whoever has a batch at hand adds all of it and calls
/// [`Ahead::read`] before the first of it is received or sent. It changes nothing but how long that takes.
#[must_use = "nothing is read before `read` is called"]
pub struct Ahead<'a> {
    table: &'a Table,
    cells: ArrayVec<(&'a Cell, Need), TOGETHER>,
}

impl Shard {
    /// Nothing is needed yet.
    pub fn look_ahead(&self) -> Ahead<'_> {
        Ahead { table: &self.table, cells: ArrayVec::new() }
    }
}

impl Ahead<'_> {
    /// [`Shard::receive`] is about to get this datagram.
    pub fn to_open(&mut self, datagram: &[u8]) {
        if let Ok(prefix) = Prefix::parse(&mut SliceCursor::new(datagram)) {
            self.add(prefix.receiver, Need::ToOpen);
        }
    }

    /// [`Shard::send`] is about to be told to send on this association.
    pub fn to_seal(&mut self, id: LocalId) {
        self.add(id.value(), Need::ToSeal);
    }

    /// Reads what all of them need.
    pub fn read(mut self) {
        self.read_together();
    }

    fn add(&mut self, id: u32, need: Need) {
        if self.cells.is_full() {
            self.read_together();
        }
        if let Some(cell) = self.table.cell(id) {
            self.cells.push((cell, need));
        }
    }

    fn read_together(&mut self) {
        let mut read = 0;
        for (cell, need) in self.cells.drain(..) {
            if let Cell::Established(association) = cell {
                read ^= match need {
                    Need::ToOpen => association.touch_to_open(),
                    Need::ToSeal => association.touch_to_seal(),
                };
            }
        }
        black_box(read);
    }
}
