//! Sending through AF_XDP: a datagram is sealed in the frame that it leaves in, or leaves in the frame
//! that it came in.
//!
//! A frame waits until the next datagram or the end of the round, because its checksum needs what
//! is written into it meanwhile. All of a worker's frames leave through one socket, in the order in
//! which they were asked for.

use tracing::debug;
use xdtls_common::DropReason;
use xdtls_common::frame::FrameHeaders;
use xdtls_proto::endpoint::Endpoint;

use crate::counters::Counters;
use crate::datapath::next_hops::NextHops;
use crate::datapath::next_hops::tables::Hop;
use crate::datapath::sides::INSIDE;
use crate::xsk::{Frame, ShardXsk};

/// Frames that wait in the ring at most before the kernel is told: the driver is to work while the
/// worker does.
const HAND_OVER_EVERY: u32 = 64;

/// The frames that one worker sends by one interface.
pub(super) struct FrameSender {
    /// Which of the interfaces.
    nic: usize,
    next_hops: NextHops,
    queue: u32,
    /// Where the last datagram went, and how: several follow each other.
    last: Option<(Endpoint, Option<Hop>)>,
    /// The frame that somebody may still write into.
    open: Option<(Frame, FrameHeaders)>,
    /// Frames in the ring that the kernel has not been told of.
    waiting: u32,
    /// The kernel has not taken all, and will not by itself.
    behind: bool,
}

impl FrameSender {
    /// Sends through a queue of its own, as far as the interface has enough.
    pub(super) fn new(nic: usize, next_hops: NextHops, xsk: &ShardXsk) -> Self {
        let queues = xsk.queues(nic);
        let queue = queues.start + xsk.index() % queues.len() as u32;
        Self { nic, next_hops, queue, last: None, open: None, waiting: 0, behind: false }
    }

    /// Looks for newer next hops. An association's way changes only here, between two rounds, when
    /// all that took the old way has been handed over.
    pub(super) fn begin_round(&mut self) {
        self.last = None;
        if !self.behind {
            self.next_hops.refresh();
        }
    }

    /// Headers for a datagram of `length` bytes from `port`. `None` if it has to leave through the
    /// socket.
    pub(super) fn headers(
        &mut self,
        to: &Endpoint,
        port: u16,
        length: usize,
    ) -> Option<FrameHeaders> {
        let hop = match &self.last {
            Some((last, hop)) if last == to => *hop,
            _ => {
                let hop = self.next_hops.find(to.remote, to.local);
                self.last = Some((*to, hop));
                hop
            }
        }?;
        let remote = (to.remote.ip().to_canonical(), to.remote.port()).into();
        let local = (hop.source, port).into();
        let headers = FrameHeaders::new(&hop.link, local, remote, length)?;
        // The socket's error says that it is too large.
        (headers.packet_len() <= hop.mtu).then_some(headers)
    }

    /// Room for a datagram; `None` if all frames are under way.
    pub(super) fn room(
        &mut self,
        headers: FrameHeaders,
        xsk: &mut ShardXsk,
        counters: &Counters,
    ) -> Option<&mut [u8]> {
        self.close(xsk, counters);
        let mut frame = xsk.allocate()?;
        if headers.frame_len() > frame.capacity() {
            xsk.return_frame(frame);
            return None;
        }
        frame.renew(headers.frame_len());
        self.open = Some((frame, headers));
        self.payload()
    }

    /// Sends a frame with the payload that begins in it at byte `at`; what is missing of that may be
    /// written until the next datagram is asked for. Gives the frame back where it lacks the room.
    pub(super) fn pass_on(
        &mut self,
        mut frame: Frame,
        at: usize,
        headers: FrameHeaders,
        (xsk, counters): (&mut ShardXsk, &Counters),
    ) -> Result<(), Frame> {
        if frame.surround(at, headers.payload_at, headers.frame_len()).is_none() {
            return Err(frame);
        }
        self.close(xsk, counters);
        self.open = Some((frame, headers));
        Ok(())
    }

    /// The payload of the frame that was asked for last.
    pub(super) fn payload(&mut self) -> Option<&mut [u8]> {
        let (frame, headers) = self.open.as_mut()?;
        Some(&mut frame.bytes_mut()[headers.payload_at..])
    }

    /// Puts the open frame into the ring. A full ring gets one more chance, and then the datagram
    /// is dropped: through the socket it would overtake what is in the ring.
    fn close(&mut self, xsk: &mut ShardXsk, counters: &Counters) {
        let Some((mut frame, headers)) = self.open.take() else { return };
        headers.write(frame.bytes_mut());
        let refused = xsk.transmit(self.queue, frame).or_else(|frame| {
            self.kick(xsk);
            xsk.transmit(self.queue, frame)
        });
        match refused {
            Ok(()) => {
                match self.nic {
                    INSIDE => counters.fast_path_inside_sent(1),
                    _ => counters.fast_path_sent(1),
                }
                self.waiting += 1;
                if self.waiting == HAND_OVER_EVERY {
                    self.kick(xsk);
                }
            }
            Err(frame) => {
                xsk.return_frame(frame);
                counters.dropped(match self.nic {
                    INSIDE => DropReason::InsideSend,
                    _ => DropReason::OutsideSend,
                });
            }
        }
    }

    /// Hands all frames over to the kernel.
    pub(super) fn flush(&mut self, xsk: &mut ShardXsk, counters: &Counters) {
        self.close(xsk, counters);
        self.kick(xsk);
    }

    fn kick(&mut self, xsk: &mut ShardXsk) {
        self.waiting = 0;
        self.behind = xsk.flush().unwrap_or_else(|error| {
            // The link is down, say. What is in the ring leaves when it is up, or never.
            debug!(%error, "AF_XDP does not send");
            false
        });
        if let (true, Err(error)) = (self.behind, xsk.service()) {
            debug!(%error, "cannot serve the AF_XDP queues");
        }
    }

    /// Whether the kernel has to be told again before it takes all.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }
}

#[cfg(test)]
mod tests;
