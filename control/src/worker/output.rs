//! Where a shard's results go: the outside, the inside, the handshakes, other workers.

use std::ops::Range;
use std::time::Instant;

use tracing::{debug, info};
use xdtls_common::DropReason;
use xdtls_common::frame::FrameHeaders;
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
use crate::xsk::Frame;

pub(super) struct WorkerOutput<'a, I> {
    pub(super) now: Instant,
    pub(super) inside: &'a mut I,
    pub(super) outside: &'a mut Outside,
    pub(super) workers: &'a [Postbox<ToWorker>],
    pub(super) pool: &'a Pool,
    pub(super) counters: &'a Counters,
    pub(super) associations: Option<&'a Associations>,
    /// The bytes of the frame whose records are being opened, if it is one.
    pub(super) at_hand: Option<Range<*const u8>>,
    /// What is to leave in that frame once they are.
    pub(super) kept: &'a mut Vec<Kept>,
    /// A frame with plaintext that is to be sealed, and where in it that stands.
    pub(super) held: Option<(Frame, Range<usize>)>,
}

/// Plaintext that stands in the frame in which it was opened, from byte `at` on.
pub(super) struct Kept {
    headers: FrameHeaders,
    at: usize,
}

impl<I: Inside> WorkerOutput<'_, I> {
    /// Plaintext is in this frame from now on.
    pub(super) fn take_in_hand(&mut self, frame: &Frame) {
        self.at_hand = Some(frame.bytes().as_ptr_range());
    }

    /// Lets the frame at hand go: with the plaintext in it to the backend, or back. Of several records'
    /// plaintext the last leaves in it.
    pub(super) fn let_go(&mut self, frame: Frame) {
        self.at_hand = None;
        let Some(last) = self.kept.pop() else { return self.outside.return_frame(frame) };
        for Kept { headers, at } in self.kept.drain(..) {
            let payload = &frame.bytes()[at..at + headers.payload_len];
            self.outside.copy_to_backend(headers, payload, self.counters);
        }
        self.outside.pass_to_backend(last.headers, (frame, last.at), self.counters);
    }

    /// Takes back what was held, unless it has left.
    pub(super) fn release(&mut self) {
        if let Some((frame, _)) = self.held.take() {
            self.outside.return_frame(frame);
        }
    }

    /// Headers for plaintext that leaves through AF_XDP; `None` if it leaves through a socket.
    fn headers_inside(&mut self, id: LocalId, length: usize) -> Option<FrameHeaders> {
        if !self.outside.transmits_inside() {
            return None;
        }
        let ends = self.inside.way_out(self.now, id)?;
        let headers = self.outside.headers_to_backend(ends, length)?;
        self.inside.settle(id);
        Some(headers)
    }

    /// Where the plaintext begins in the frame at hand, if it is in there.
    fn place_of(&self, plaintext: &[u8]) -> Option<usize> {
        let (frame, plaintext) = (self.at_hand.as_ref()?, plaintext.as_ptr_range());
        let is_in = frame.start <= plaintext.start && plaintext.end <= frame.end;
        is_in.then(|| plaintext.start.addr() - frame.start.addr())
    }
}

impl<I: Inside> Output for WorkerOutput<'_, I> {
    fn datagram(&mut self, to: &Endpoint, length: usize) -> Option<&mut [u8]> {
        self.outside.room(to, length, self.counters)
    }

    /// The frame itself if the datagram leaves through AF_XDP and fits, otherwise room like any other.
    fn datagram_around(&mut self, to: &Endpoint, length: usize, at: usize) -> Option<&mut [u8]> {
        let (frame, plaintext) = self.held.take()?;
        let refused = match plaintext.start.checked_sub(at) {
            Some(begin) => self.outside.adopt(to, length, (frame, begin), self.counters),
            None => Err(frame),
        };
        let Err(frame) = refused else { return self.outside.payload() };
        let (frame, plaintext) = self.held.insert((frame, plaintext));
        let room = self.outside.room(to, length, self.counters)?;
        room[at..at + plaintext.len()].copy_from_slice(&frame.bytes()[plaintext.clone()]);
        Some(room)
    }

    fn plaintext(&mut self, id: LocalId, plaintext: &[u8]) {
        match (self.headers_inside(id, plaintext.len()), self.place_of(plaintext)) {
            (None, _) => self.inside.plaintext(self.now, id, plaintext),
            (Some(headers), Some(at)) => self.kept.push(Kept { headers, at }),
            (Some(headers), None) => {
                self.outside.copy_to_backend(headers, plaintext, self.counters);
            }
        }
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

#[cfg(test)]
mod tests;
