//! A worker's outside: its UDP socket, its AF_XDP sockets, and which of them a datagram leaves by.
//!
//! Where AF_XDP transmits, a datagram leaves in a frame if its next hop is beyond doubt; everything
//! else leaves through the socket, in runs of equal datagrams. Shards do not know which.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use tracing::debug;
use xdtls_common::DropReason;
use xdtls_proto::endpoint::Endpoint;

use super::frames::FrameSender;
use crate::counters::Counters;
use crate::datapath::next_hops::NextHops;
use crate::datapath::segments::{Run, Segments};
use crate::datapath::socket::Channel;
use crate::inside::{Token, watch};
use crate::xsk::{Frame, RxPacket, ShardXsk};

/// How soon the kernel is asked again to take what it has not taken.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// How long a worker that stops waits for what is still to be sent.
const LINGER: Duration = Duration::from_millis(100);

/// The ways out of one worker, and in.
pub(super) struct Outside {
    channel: Channel,
    run: Segments<Endpoint>,
    fast: Option<Fast>,
}

struct Fast {
    xsk: ShardXsk,
    frames: Option<FrameSender>,
}

impl Outside {
    /// `next_hops` says that AF_XDP sockets transmit, too.
    pub(super) fn new(
        channel: Channel,
        xsk: Option<ShardXsk>,
        next_hops: Option<NextHops>,
    ) -> io::Result<Self> {
        let port = channel.local_address()?.port();
        let run = Segments::new(channel.max_segments());
        let fast = xsk.map(|xsk| {
            let frames = next_hops.map(|next_hops| FrameSender::new(next_hops, port, &xsk));
            Fast { xsk, frames }
        });
        Ok(Self { channel, run, fast })
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
        if let Some(frames) = self.fast.as_mut().and_then(|fast| fast.frames.as_mut()) {
            frames.begin_round();
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
        if let Some(Fast { xsk, frames: Some(frames) }) = &mut self.fast
            && let Some(headers) = frames.headers(to, length)
        {
            return frames.room(headers, xsk, counters);
        }
        let channel = &self.channel;
        Some(self.run.room(to, length, |run| send(channel, counters, &run)))
    }

    /// Hands over what has been written.
    pub(super) fn flush(&mut self, counters: &Counters) {
        let channel = &self.channel;
        self.run.flush(|run| send(channel, counters, &run));
        if let Some(Fast { xsk, frames: Some(frames) }) = &mut self.fast {
            frames.flush(xsk, counters);
        }
    }

    /// Serves the AF_XDP queues' rings. To be done in every round, also when nothing was received.
    pub(super) fn service(&mut self) {
        if let Some(fast) = &mut self.fast
            && let Err(error) = fast.xsk.service()
        {
            debug!(%error, "cannot serve the AF_XDP queues");
        }
    }

    /// When [`Outside::flush`] has to be called at the latest.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let frames = self.fast.as_ref().and_then(|fast| fast.frames.as_ref());
        frames.is_some_and(FrameSender::is_behind).then(|| now + RETRY_AFTER)
    }

    /// Waits a moment until the driver has taken what it is to send: it goes away with the sockets.
    pub(super) fn linger(&mut self, counters: &Counters) {
        let until = Instant::now() + LINGER;
        while self.fast.as_mut().is_some_and(|fast| fast.xsk.unsent() > 0) && Instant::now() < until
        {
            std::thread::sleep(RETRY_AFTER);
            self.flush(counters);
        }
    }
}

fn send(channel: &Channel, counters: &Counters, run: &Run<'_, Endpoint>) {
    if let Err(error) = channel.send_run(run.to.remote, run.to.local, run) {
        debug!(%error, "the outside did not take {} datagrams", run.count);
        counters.dropped_many(DropReason::OutsideSend, run.count as u64);
    }
}
