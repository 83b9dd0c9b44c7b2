//! Looking at single associations, and changing what was configured, while the shard works.

use std::time::{Duration, Instant};

use xdtls_common::id::{LocalId, PeerId};

use super::Shard;
use crate::association::Traffic;
use crate::endpoint::Endpoint;

/// One established association at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssociationView {
    /// The peer's name for it.
    pub peer: PeerId,
    /// Where the peer is known to receive.
    pub endpoint: Endpoint,
    /// Where its newest record has come from, if that is elsewhere and not validated yet.
    pub new_path: Option<Endpoint>,
    /// Time since a record was sent or received.
    pub idle: Duration,
    /// What it has carried, and those that it has replaced.
    pub traffic: Traffic,
}

impl Shard {
    /// How an association is doing; `None` if it is not established.
    pub fn look(&mut self, now: Instant, id: LocalId) -> Option<AssociationView> {
        let at = self.clock.moment(now);
        let mut traffic = self.lineage.inherited(id);
        let association = self.table.association(id)?;
        traffic += association.traffic;
        Some(AssociationView {
            peer: association.peer,
            endpoint: association.paths.validated(),
            new_path: association.paths.new_path(),
            idle: at.since(association.active_at()),
            traffic,
        })
    }

    /// Changes after which time an idle association is closed, for those that exist too.
    pub fn set_idle_timeout(&mut self, timeout: Option<Duration>) {
        self.config.idle_timeout = timeout;
        for (id, association) in self.table.established_mut() {
            self.timers.schedule(id, association, timeout);
        }
    }
}
