//! Receiving from AF_XDP: the records are opened in the frames that the kernel has filled.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use tracing::debug;
use xdtls_common::DropReason;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::frame;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::shard::{Front, Output, Shard};

use crate::counters::Counters;
use crate::inside::{Token, watch};
use crate::xsk::{RECEIVE_BATCH, RxPacket, ShardXsk};

/// A worker's AF_XDP sockets and the packets of one round.
pub(super) struct Fast {
    xsk: ShardXsk,
    packets: Vec<RxPacket>,
}

impl Fast {
    /// Watches the sockets under `token`.
    pub(super) fn new(xsk: ShardXsk, poll: impl AsFd, token: Token) -> io::Result<Self> {
        for socket in xsk.fds() {
            watch(poll.as_fd(), socket, token)?;
        }
        Ok(Self { xsk, packets: Vec::with_capacity(RECEIVE_BATCH) })
    }

    /// Takes what waits, at most one batch, and says how much that is.
    pub(super) fn receive(&mut self, counters: &Counters) -> usize {
        let received = self.xsk.receive(&mut self.packets);
        counters.fast_path(received as u64);
        received
    }

    /// Lets the shard open the packets that were taken, and returns their frames.
    pub(super) fn open(
        &mut self,
        now: Instant,
        shard: &mut Shard,
        front: Option<&Front>,
        out: &mut impl Output,
    ) {
        for mut packet in self.packets.drain(..) {
            let bytes = packet.frame.bytes_mut();
            match frame::parse(SliceCursor::new(bytes)) {
                Ok((headers, _)) => {
                    let end = headers.payload_at + headers.payload_len;
                    let local = Some(headers.destination.ip());
                    let from = Endpoint { remote: headers.source, local };
                    shard.receive(now, front, from, &mut bytes[headers.payload_at..end], out);
                }
                // The XDP program has parsed it with the same code: the frame was changed since.
                Err(_) => out.count(DropReason::TooShort),
            }
            self.xsk.return_frame(packet.frame);
        }
    }

    /// Serves the queues' rings. To be done in every round, also when nothing was received.
    pub(super) fn service(&mut self) {
        if let Err(error) = self.xsk.service() {
            debug!(%error, "cannot serve the AF_XDP queues");
        }
    }
}
