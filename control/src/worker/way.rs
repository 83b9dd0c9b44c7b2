//! How datagrams reach a shard, with whoever watches looking on.

use std::net::SocketAddr;
use std::time::Instant;

use xdtls_common::DropReason;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::flow::FlowKey;
use xdtls_common::frame::{self, FrameHeaders, Place};
use xdtls_common::id::LocalId;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::shard::{Ahead, Front, Output, Shard};

use super::output::WorkerOutput;
use crate::datapath::sides::INSIDE;
use crate::inside::Inside;
use crate::trace::{Watch, datagram};
use crate::xsk::{Frame, RxPacket};

/// What the datagrams of one batch have in common.
pub(super) struct Way<'a> {
    pub(super) now: Instant,
    /// What judges ClientHellos.
    pub(super) front: Option<&'a Front>,
    /// Whom the operator watches, if anybody.
    pub(super) watch: Option<&'a Watch>,
    /// How they came.
    pub(super) name: &'static str,
}

/// What a frame that was received turns out to be.
pub(super) enum Came {
    /// It is the peer's.
    FromPeer(FrameHeaders),
    /// It is a datagram of a backend.
    FromBackend(LocalId, Place),
    /// It goes no further.
    Nowhere(DropReason),
}

impl Came {
    /// Finds out, and says which association it will need.
    pub(super) fn find(
        now: Instant,
        RxPacket { nic, frame, .. }: &RxPacket,
        ahead: &mut Ahead<'_>,
        inside: &mut impl Inside,
    ) -> Self {
        let parsed = frame::parse(SliceCursor::new(frame.bytes()));
        match parsed {
            Ok((headers, _)) if *nic == INSIDE => {
                let flow = FlowKey::new(headers.destination, headers.source);
                match inside.owner_of(now, &flow) {
                    Some(id) => {
                        ahead.to_seal(id);
                        Self::FromBackend(id, headers.place())
                    }
                    None => Self::Nowhere(DropReason::FlowClosed),
                }
            }
            Ok((headers, _)) => {
                ahead.to_open(&frame.bytes()[headers.payload_at..]);
                Self::FromPeer(headers)
            }
            // The XDP program has parsed it with the same code: the frame was changed since.
            Err(_) => Self::Nowhere(DropReason::TooShort),
        }
    }
}

impl Way<'_> {
    fn place(&self, shard: &Shard) -> String {
        format!("worker-{}, {}", shard.index(), self.name)
    }

    /// Gives the shard a datagram of the outside.
    pub(super) fn receive(
        &self,
        shard: &mut Shard,
        from: Endpoint,
        bytes: &mut [u8],
        out: &mut impl Output,
    ) {
        let Some(watch) = self.watch.filter(|watch| watch.concerns(from.remote, bytes)) else {
            return shard.receive(self.now, self.front, from, bytes, out);
        };
        let (place, came) = (self.place(shard), (from.remote, datagram(bytes)));
        watch.observe(self.now, place, came, out, |out| {
            shard.receive(self.now, self.front, from, bytes, out);
        });
    }

    /// Lets the shard open the records of a datagram in the frame that it came in.
    pub(super) fn receive_frame(
        &self,
        shard: &mut Shard,
        headers: &FrameHeaders,
        bytes: &mut [u8],
        out: &mut impl Output,
    ) {
        let end = headers.payload_at + headers.payload_len;
        let from = Endpoint { remote: headers.source, local: Some(headers.destination.ip()) };
        self.receive(shard, from, &mut bytes[headers.payload_at..end], out);
    }

    /// Lets the shard seal a backend's datagram in the frame that it came in. Nobody has looked at its
    /// checksum yet.
    pub(super) fn send_frame(
        &self,
        shard: &mut Shard,
        (id, place): (LocalId, &Place),
        frame: Frame,
        out: &mut WorkerOutput<'_, impl Inside>,
    ) {
        let is_credible = frame::udp_is_credible(place, frame.bytes());
        out.held = Some((frame, place.payload_at..place.payload_at + place.payload_len));
        if is_credible {
            match self.watcher(shard, id, place.payload_len) {
                None => shard.send_held(self.now, id, place.payload_len, out),
                Some((watch, came)) => {
                    watch.observe(self.now, self.place(shard), came, out, |out| {
                        shard.send_held(self.now, id, place.payload_len, out);
                    });
                }
            }
        } else {
            out.count(DropReason::InsideChecksum);
        }
        out.release();
    }

    /// Gives the shard a datagram of the inside.
    pub(super) fn send(
        &self,
        shard: &mut Shard,
        id: LocalId,
        plaintext: &[u8],
        out: &mut impl Output,
    ) {
        let Some((watch, came)) = self.watcher(shard, id, plaintext.len()) else {
            return shard.send(self.now, id, plaintext, out);
        };
        watch.observe(self.now, self.place(shard), came, out, |out| {
            shard.send(self.now, id, plaintext, out);
        });
    }

    /// Who watches a datagram of the inside, and what it is.
    fn watcher(
        &self,
        shard: &mut Shard,
        id: LocalId,
        length: usize,
    ) -> Option<(&Watch, (SocketAddr, String))> {
        let watch = self.watch?;
        let remote = shard.look(self.now, id)?.endpoint.remote;
        let came = || (remote, format!("{length} bytes for {id}"));
        watch.concerns_association(id.value(), remote).then(|| (watch, came()))
    }
}
