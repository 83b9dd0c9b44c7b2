//! Where a shard's results go: the transmit run, the inside, the handshakes, other workers.

use std::time::Instant;

use tracing::{debug, info};
use xdtls_common::DropReason;
use xdtls_common::id::LocalId;
use xdtls_common::verdict::Phase;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::shard::{Output, ShardEvent};

use super::hand_over;
use crate::counters::Counters;
use crate::datapath::segments::{Run, Segments};
use crate::datapath::socket::Channel;
use crate::datapath::xdp::Associations;
use crate::handshake_pool::Pool;
use crate::inside::Inside;
use crate::mailbox::Postbox;
use crate::messages::ToWorker;

pub(super) struct WorkerOutput<'a, I> {
    pub(super) now: Instant,
    pub(super) inside: &'a mut I,
    pub(super) channel: &'a Channel,
    pub(super) run: &'a mut Segments<Endpoint>,
    pub(super) workers: &'a [Postbox<ToWorker>],
    pub(super) pool: &'a Pool,
    pub(super) counters: &'a Counters,
    pub(super) associations: Option<&'a Associations>,
}

fn send(channel: &Channel, counters: &Counters, run: &Run<'_, Endpoint>) {
    if let Err(error) = channel.send_run(run.to.remote, run.to.local, run) {
        debug!(%error, "the outside did not take {} datagrams", run.count);
        counters.dropped_many(DropReason::OutsideSend, run.count as u64);
    }
}

impl<I> WorkerOutput<'_, I> {
    pub(super) fn flush(&mut self) {
        self.run.flush(|run| send(self.channel, self.counters, &run));
    }
}

impl<I: Inside> Output for WorkerOutput<'_, I> {
    fn datagram(&mut self, to: &Endpoint, length: usize) -> Option<&mut [u8]> {
        let (channel, counters) = (self.channel, self.counters);
        Some(self.run.room(to, length, |run| send(channel, counters, &run)))
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
            ShardEvent::Closed(id, cause) => {
                info!(association = %id, "association ended: {}", cause.as_str());
                if let Some(associations) = self.associations {
                    associations.set(id, Phase::Resting, 0);
                }
                self.inside.closed(self.now, id, cause);
                self.pool.closed(id);
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
