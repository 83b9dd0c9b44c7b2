//! Where a shard's results go: the outside, the inside, the handshakes, other workers.

use std::time::Instant;

use tracing::{debug, info};
use xdtls_common::DropReason;
use xdtls_common::id::LocalId;
use xdtls_common::verdict::Phase;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::shard::{Output, ShardEvent};

use super::hand_over;
use super::outside::Outside;
use crate::counters::Counters;
use crate::datapath::xdp::Associations;
use crate::handshake_pool::Pool;
use crate::inside::Inside;
use crate::mailbox::Postbox;
use crate::messages::ToWorker;

pub(super) struct WorkerOutput<'a, I> {
    pub(super) now: Instant,
    pub(super) inside: &'a mut I,
    pub(super) outside: &'a mut Outside,
    pub(super) workers: &'a [Postbox<ToWorker>],
    pub(super) pool: &'a Pool,
    pub(super) counters: &'a Counters,
    pub(super) associations: Option<&'a Associations>,
}

impl<I: Inside> Output for WorkerOutput<'_, I> {
    fn datagram(&mut self, to: &Endpoint, length: usize) -> Option<&mut [u8]> {
        self.outside.room(to, length, self.counters)
    }

    fn plaintext(&mut self, id: LocalId, plaintext: &[u8]) {
        self.inside.plaintext(self.now, id, plaintext);
    }

    fn event(&mut self, event: ShardEvent) {
        let outcome = match event {
            ShardEvent::Hello(hello) => self.pool.hello(hello),
            ShardEvent::Handshake(id, from, datagram) => self.pool.datagram(id, from, datagram),
            ShardEvent::OtherShard(shard, from, datagram) => {
                hand_over(self.workers, shard, from, datagram)
            }
            ShardEvent::Installed(id, peer) => {
                // Only now may XDP steer to this worker.
                if let Some(associations) = self.associations {
                    associations.set(id, Phase::Established, peer.value());
                }
                self.pool.installed(id);
                Ok(())
            }
            ShardEvent::Proven(id) => {
                self.inside.proven(id);
                Ok(())
            }
            ShardEvent::Path(id, change) => {
                // A peer can bring this about with each datagram.
                debug!(association = %id, "{}", change.as_str());
                Ok(())
            }
            ShardEvent::Rekey(replacement) => {
                self.pool.replace(replacement);
                Ok(())
            }
            ShardEvent::Replaced { old, new } => {
                info!(association = %old, by = %new, "association replaced by one with new keys");
                self.inside.replaced(self.now, old, new);
                Ok(())
            }
            ShardEvent::Closed(id, cause) => {
                info!(association = %id, "association ended: {}", cause.as_str());
                if let Some(associations) = self.associations {
                    associations.set(id, Phase::Resting, 0);
                }
                self.inside.closed(self.now, id, cause);
                self.counters.ended(cause);
                self.pool.closed(id, cause);
                Ok(())
            }
        };
        if let Err(reason) = outcome {
            self.counters.dropped(reason);
        }
    }

    fn count(&mut self, reason: DropReason) {
        self.counters.dropped(reason);
    }
}
