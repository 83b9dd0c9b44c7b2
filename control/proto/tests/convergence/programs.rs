//! The local programs at both ends of a link, which know what has to arrive.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::world::World;

/// Sends numbered datagrams from both ends and looks for them at the other.
#[derive(Default)]
pub(super) struct Programs {
    sent: u32,
    /// By receiver.
    missing: [BTreeSet<u32>; 2],
    read: [usize; 2],
}

impl Programs {
    /// Programs that have received nothing yet.
    pub(super) fn from_now(world: &World) -> Self {
        Self { read: [0, 1].map(|node| world.received(node).len()), ..Self::default() }
    }

    /// Lets time pass, and each end send once in `every`.
    pub(super) fn talk(&mut self, world: &mut World, duration: Duration, every: Duration) {
        let end: Instant = world.now + duration;
        while world.now < end {
            for node in [0, 1] {
                self.sent += 1;
                self.missing[1 - node].insert(self.sent);
                world.send_by_link(node, &self.sent.to_be_bytes());
            }
            world.run(every);
            self.read(world);
        }
    }

    /// Takes what has come; nothing may come that is not missing.
    pub(super) fn read(&mut self, world: &World) {
        for node in [0, 1] {
            let received = world.received(node);
            for plaintext in &received[self.read[node]..] {
                let number = u32::from_be_bytes((*plaintext).try_into().unwrap());
                assert!(
                    self.missing[node].remove(&number),
                    "{number} comes twice, or from nowhere"
                );
            }
            self.read[node] = received.len();
        }
    }

    pub(super) fn lost(&self) -> usize {
        self.missing.iter().map(BTreeSet::len).sum()
    }
}
