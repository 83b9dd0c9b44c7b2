//! A worker's outside: its UDP socket, its AF_XDP sockets, and which of them a datagram leaves by. The
//! AF_XDP sockets of the inside are here, too, because both sides share frames.
//!
//! Where AF_XDP transmits, a datagram leaves in a frame if its next hop is beyond doubt; everything
//! else leaves through the socket, in runs of equal datagrams. Shards do not know which.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use tracing::debug;
use xdtls_common::DropReason;
use xdtls_common::frame::FrameHeaders;
use xdtls_proto::endpoint::Endpoint;

use super::frames::FrameSender;
use crate::counters::Counters;
use crate::datapath::segments::{Run, Segments};
use crate::datapath::sides::{INSIDE, OUTSIDE, Transmits};
use crate::datapath::socket::Channel;
use crate::inside::{FlowEnds, Token, watch};
use crate::xsk::{Frame, RxPacket, ShardXsk, lost_frames};

/// How soon the kernel is asked again to take what it has not taken.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// The same for a driver that goes on by itself, unless nobody takes what it has sent.
const LOOK_AFTER: Duration = Duration::from_millis(20);

/// How long a worker that stops waits for what is still to be sent.
const LINGER: Duration = Duration::from_millis(100);

/// The ways out of one worker, and in.
pub(super) struct Outside {
    channel: Channel,
    port: u16,
    run: Segments<Endpoint>,
    fast: Option<Fast>,
}

struct Fast {
    xsk: ShardXsk,
    frames: Option<FrameSender>,
    to_backends: Option<FrameSender>,
}

impl Outside {
    /// What `transmits` has next hops for leaves through AF_XDP.
    pub(super) fn new(
        channel: Channel,
        xsk: Option<ShardXsk>,
        transmits: Transmits,
    ) -> io::Result<Self> {
        let port = channel.local_address()?.port();
        let run = Segments::new(channel.max_segments());
        let fast = xsk.map(|xsk| {
            let sender = |nic, hops: Option<_>| hops.map(|hops| FrameSender::new(nic, hops, &xsk));
            let frames = sender(OUTSIDE, transmits.outside);
            let to_backends = sender(INSIDE, transmits.inside);
            Fast { xsk, frames, to_backends }
        });
        Ok(Self { channel, port, run, fast })
    }

    /// Watches the AF_XDP sockets under `token`.
    pub(super) fn watch_xsk(&self, poll: impl AsFd, token: Token) -> io::Result<()> {
        let mut sockets = self.fast.iter().flat_map(|fast| fast.xsk.fds());
        sockets.try_for_each(|socket| watch(poll.as_fd(), socket, token))
    }

    /// The UDP socket.
    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// To be called before a round's first datagram.
    pub(super) fn begin_round(&mut self) {
        if let Some(Fast { frames, to_backends, .. }) = &mut self.fast {
            frames.iter_mut().chain(to_backends).for_each(FrameSender::begin_round);
        }
    }

    /// Takes what waits at the AF_XDP sockets, at most one batch, and says how much that is.
    pub(super) fn receive_fast(&mut self, packets: &mut Vec<RxPacket>) -> usize {
        self.fast.as_mut().map_or(0, |fast| fast.xsk.receive(packets))
    }

    /// Takes a received frame back.
    pub(super) fn return_frame(&mut self, frame: Frame) {
        if let Some(fast) = &mut self.fast {
            fast.xsk.return_frame(frame);
        }
    }

    /// Room for one datagram of exactly `length` bytes.
    pub(super) fn room(
        &mut self,
        to: &Endpoint,
        length: usize,
        counters: &Counters,
    ) -> Option<&mut [u8]> {
        if let Some(Fast { xsk, frames: Some(frames), .. }) = &mut self.fast
            && let Some(headers) = frames.headers(to, self.port, length)
        {
            return frames.room(headers, xsk, counters);
        }
        let channel = &self.channel;
        Some(self.run.room(to, length, |run| send(channel, counters, &run)))
    }

    /// Makes a datagram of exactly `length` bytes of what stands in a frame from byte `at` on, for
    /// [`Outside::payload`]. Gives the frame back if it is not to leave in that.
    pub(super) fn adopt(
        &mut self,
        to: &Endpoint,
        length: usize,
        (frame, at): (Frame, usize),
        counters: &Counters,
    ) -> Result<(), Frame> {
        let Some(Fast { xsk, frames: Some(frames), .. }) = &mut self.fast else {
            return Err(frame);
        };
        match frames.headers(to, self.port, length) {
            Some(headers) => frames.pass_on(frame, at, headers, (xsk, counters)),
            None => Err(frame),
        }
    }

    /// The room in the frame that was adopted last.
    pub(super) fn payload(&mut self) -> Option<&mut [u8]> {
        self.fast.as_mut()?.frames.as_mut()?.payload()
    }

    /// Whether datagrams may leave to backends through AF_XDP.
    pub(super) fn transmits_inside(&self) -> bool {
        self.fast.as_ref().is_some_and(|fast| fast.to_backends.is_some())
    }

    /// Headers for a datagram of `length` bytes to a backend. `None` if it has to leave through the
    /// flow's socket.
    pub(super) fn headers_to_backend(
        &mut self,
        FlowEnds { local, backend }: FlowEnds,
        length: usize,
    ) -> Option<FrameHeaders> {
        let sender = self.fast.as_mut()?.to_backends.as_mut()?;
        let to = Endpoint { remote: backend, local: Some(local.ip()) };
        sender.headers(&to, local.port(), length)
    }

    /// Sends a payload to a backend, in a frame of its own.
    pub(super) fn copy_to_backend(
        &mut self,
        headers: FrameHeaders,
        payload: &[u8],
        counters: &Counters,
    ) {
        let Some(Fast { xsk, to_backends: Some(sender), .. }) = &mut self.fast else { return };
        match sender.room(headers, xsk, counters) {
            Some(room) => room.copy_from_slice(payload),
            None => counters.dropped(DropReason::InsideSend),
        }
    }

    /// Sends the payload that stands in a frame at byte `at` to a backend.
    pub(super) fn pass_to_backend(
        &mut self,
        headers: FrameHeaders,
        (frame, at): (Frame, usize),
        counters: &Counters,
    ) {
        let refused = match &mut self.fast {
            Some(Fast { xsk, to_backends: Some(sender), .. }) => {
                sender.pass_on(frame, at, headers, (xsk, counters))
            }
            _ => Err(frame),
        };
        if let Err(frame) = refused {
            counters.dropped(DropReason::InsideSend);
            self.return_frame(frame);
        }
    }

    /// Hands over what has been written.
    pub(super) fn flush(&mut self, counters: &Counters) {
        let channel = &self.channel;
        self.run.flush(|run| send(channel, counters, &run));
        if let Some(Fast { xsk, frames, to_backends }) = &mut self.fast {
            let senders = frames.iter_mut().chain(to_backends);
            senders.for_each(|sender| sender.flush(xsk, counters));
        }
    }

    /// Serves the AF_XDP queues' rings. To be done in every round, also when nothing was received.
    pub(super) fn service(&mut self) {
        if let Some(fast) = &mut self.fast
            && let Err(error) = fast.xsk.service()
        {
            debug!(%error, "cannot serve the AF_XDP queues");
        }
        debug_assert_eq!(lost_frames(), 0, "a frame was neither returned nor transmitted");
    }

    /// When [`Outside::flush`] and [`Outside::service`] have to be called at the latest.
    pub(super) fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let Fast { xsk, frames, to_backends } = self.fast.as_mut()?;
        let is_behind = frames.iter().chain(to_backends.as_ref()).any(FrameSender::is_behind);
        let wait = if is_behind { RETRY_AFTER } else { LOOK_AFTER };
        (xsk.unsent() > 0).then(|| now + wait)
    }

    /// Waits a moment until the driver has taken what it is to send: it goes away with the sockets.
    pub(super) fn linger(&mut self, counters: &Counters) {
        let until = Instant::now() + LINGER;
        while self.fast.as_mut().is_some_and(|fast| fast.xsk.unsent() > 0) && Instant::now() < until
        {
            std::thread::sleep(RETRY_AFTER);
            self.flush(counters);
            self.service();
        }
    }
}

fn send(channel: &Channel, counters: &Counters, run: &Run<'_, Endpoint>) {
    if let Err(error) = channel.send_run(run.to.remote, run.to.local, run) {
        debug!(%error, "the outside did not take {} datagrams", run.count);
        counters.dropped_many(DropReason::OutsideSend, run.count as u64);
    }
}
