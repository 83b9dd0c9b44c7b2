//! How one association takes the place of another, without loss and without duplicates.
//!
//! The new one, the *heir*, is established beside the old one. When the first authentic record of
//! data or of type 27 has come on it, its peer has the keys and uses them: from now on we send on it, and whoever is inside deals with it alone. What still comes on the old one is delivered for
//! the new one, until the old one ends. Each plaintext is sealed once, with one key, and each key has
//! its own replay window: nothing can come twice.
//!
//! ```text
//!   installed ──▶ heir ──▶ first record of the peer ──▶ replaced: receives for 120 s ──▶ close_notify
//!                  │ silent for 30 s (opened) or 240 s (answered), or the old one has ended
//!                  └──▶ the heir is closed, and the old one goes on
//! ```
//!
//! A replaced association may have replaced another that still receives, and so on, up to
//! [`PREDECESSORS_MAX`]. When the newest ends, all of them do.

use std::collections::HashMap;
use std::time::Instant;

use xdtls_common::id::LocalId;

use super::{Output, Shard, ShardEvent};
use crate::association::{CloseCause, Traffic};
use crate::keys::Role;

/// How many replaced associations one may have behind it that still receive.
pub const PREDECESSORS_MAX: usize = 8;

/// Who replaces whom. Associations that have nothing to do with it are not in here.
#[derive(Default)]
pub(super) struct Lineage {
    /// Those that are to replace another, and which.
    heirs: HashMap<LocalId, LocalId>,
    /// Replaced ones, and what has replaced them.
    successors: HashMap<LocalId, LocalId>,
    /// The other way round.
    predecessors: HashMap<LocalId, LocalId>,
    /// What was carried by those that an association has replaced.
    inherited: HashMap<LocalId, Traffic>,
}

impl Lineage {
    /// `new` has replaced `old`, and may have replaced others before.
    fn link(&mut self, old: LocalId, new: LocalId, traffic: Traffic) {
        let oldest = self.behind(new).last().unwrap_or(new);
        self.successors.insert(old, oldest);
        self.predecessors.insert(oldest, old);
        let mut inherited = self.inherited.remove(&old).unwrap_or_default();
        inherited += traffic;
        *self.inherited.entry(new).or_default() += inherited;
    }

    /// Replaced associations, the one that was replaced last first.
    fn behind(&self, id: LocalId) -> impl Iterator<Item = LocalId> {
        let before = |id: &LocalId| self.predecessors.get(id).copied();
        std::iter::successors(before(&id), before)
    }

    /// Who stands at the end of those that have replaced `id`.
    pub(super) fn newest(&self, id: LocalId) -> LocalId {
        let mut newest = id;
        while let Some(next) = self.successors.get(&newest) {
            newest = *next;
        }
        newest
    }

    /// What was carried before there was `id`.
    pub(super) fn inherited(&self, id: LocalId) -> Traffic {
        self.inherited.get(&id).copied().unwrap_or_default()
    }

    /// Something has come on an association that `newest` has replaced.
    pub(super) fn came_late(&mut self, newest: LocalId, bytes: usize) {
        if let Some(inherited) = self.inherited.get_mut(&newest) {
            inherited.opened += 1;
            inherited.opened_bytes += bytes as u64;
        }
    }

    /// An association has ended: which one it was to replace, and which one has to end with it.
    pub(super) fn forget(&mut self, id: LocalId) -> (Option<LocalId>, Option<LocalId>) {
        self.inherited.remove(&id);
        let (successor, predecessor) = (self.successors.remove(&id), self.predecessors.remove(&id));
        let orphan = match (successor, predecessor) {
            (Some(successor), Some(predecessor)) => {
                self.successors.insert(predecessor, successor);
                self.predecessors.insert(successor, predecessor);
                None
            }
            (Some(successor), None) => {
                self.predecessors.remove(&successor);
                None
            }
            (None, Some(predecessor)) => {
                self.successors.remove(&predecessor);
                Some(predecessor)
            }
            (None, None) => None,
        };
        (self.heirs.remove(&id), orphan)
    }
}

impl Shard {
    /// Lets `new` take the place of `old` as soon as its peer has used it; at once, if it has. Both
    /// are established here. Closes `new` if `old` has ended, or another has replaced it already.
    pub fn replace(&mut self, now: Instant, old: LocalId, new: LocalId, out: &mut impl Output) {
        if old == new || self.lineage.newest(old) == new {
            return;
        }
        let Some(heir) = self.table.association(new) else { return };
        if heir.await_confirmation(self.clock.moment(now)) {
            let asks = heir.role == Role::Client;
            self.lineage.heirs.insert(new, old);
            if !self.may_replace(old, new) {
                return self.close(now, new, CloseCause::Local, out);
            }
            if asks {
                // At once: timers are too coarse for what waits for it.
                self.send_probe(now, new, out);
            }
            if let Some(heir) = self.table.association(new) {
                self.timers.schedule(new, heir, self.config.idle_timeout);
            }
        } else {
            self.succeed(now, old, new, out);
        }
    }

    /// What has taken the place of `id`, in the end; `id` itself if nothing has.
    pub fn newest(&self, id: LocalId) -> LocalId {
        self.lineage.newest(id)
    }

    /// The peer has used an heir: `false` if there is nothing to replace any more, and the heir is
    /// closed.
    pub(super) fn inherit(&mut self, now: Instant, heir: LocalId, out: &mut impl Output) -> bool {
        match self.lineage.heirs.remove(&heir) {
            Some(old) => self.succeed(now, old, heir, out),
            None => true,
        }
    }

    fn may_replace(&mut self, old: LocalId, new: LocalId) -> bool {
        let lives = self.table.association(old).is_some_and(|old| !old.replaced);
        let behind = self.lineage.behind(old).chain(self.lineage.behind(new));
        lives && behind.count() < PREDECESSORS_MAX
    }

    fn succeed(&mut self, now: Instant, old: LocalId, new: LocalId, out: &mut impl Output) -> bool {
        if !self.may_replace(old, new) {
            self.close(now, new, CloseCause::Local, out);
            return false;
        }
        if let Some(association) = self.table.association(old) {
            association.replace(self.clock.moment(now));
            let of_link = association.is_of_link();
            self.lineage.link(old, new, association.traffic);
            self.timers.schedule(old, association, self.config.idle_timeout);
            if let Some(heir) = self.table.association(new).filter(|_| of_link) {
                heir.watch_peer();
            }
        }
        self.counters.replaced += 1;
        out.event(ShardEvent::Replaced { old, new });
        true
    }

    /// Whether one more replacement of `id` finds room behind it.
    pub(super) fn has_room_behind(&self, id: LocalId) -> bool {
        self.lineage.behind(id).count() < PREDECESSORS_MAX
    }
}
