//! How datagrams reach a shard, with whoever watches looking on.

use std::time::Instant;

use xdtls_common::DropReason;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::flow::FlowKey;
use xdtls_common::frame::{self, Place};
use xdtls_common::id::LocalId;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::shard::{Front, Output, Shard};

use crate::datapath::sides::INSIDE;
use crate::inside::Inside;
use crate::trace::{Watch, datagram};
use crate::xsk::RxPacket;

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
    FromPeer,
    /// It is a datagram of a backend.
    FromBackend(LocalId, Place),
    /// It goes no further.
    Nowhere(DropReason),
}

impl Came {
    /// Finds out, and makes the shard ready for it.
    pub(super) fn find(
        now: Instant,
        RxPacket { nic, frame, .. }: &RxPacket,
        shard: &Shard,
        inside: &mut impl Inside,
    ) -> Self {
        let parsed = frame::parse(SliceCursor::new(frame.bytes()));
        match parsed {
            Ok((headers, _)) if *nic == INSIDE => {
                let flow = FlowKey::new(headers.destination, headers.source);
                match inside.owner_of(now, &flow) {
                    Some(id) => {
                        shard.expect_to_send(id);
                        Self::FromBackend(id, headers.place())
                    }
                    None => Self::Nowhere(DropReason::FlowClosed),
                }
            }
            Ok((headers, _)) => {
                shard.expect(&frame.bytes()[headers.payload_at..]);
                Self::FromPeer
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
    pub(super) fn receive_frame(&self, shard: &mut Shard, bytes: &mut [u8], out: &mut impl Output) {
        match frame::parse(SliceCursor::new(bytes)) {
            Ok((headers, _)) => {
                let end = headers.payload_at + headers.payload_len;
                let local = Some(headers.destination.ip());
                let from = Endpoint { remote: headers.source, local };
                self.receive(shard, from, &mut bytes[headers.payload_at..end], out);
            }
            Err(_) => out.count(DropReason::TooShort),
        }
    }

    /// Gives the shard a backend's datagram. Nobody has looked at its checksum yet.
    pub(super) fn send_frame(
        &self,
        shard: &mut Shard,
        (id, place): (LocalId, &Place),
        bytes: &[u8],
        out: &mut impl Output,
    ) {
        if !frame::udp_is_credible(place, bytes) {
            return out.count(DropReason::InsideChecksum);
        }
        let payload = &bytes[place.payload_at..place.payload_at + place.payload_len];
        self.send(shard, id, payload, out);
    }

    /// Gives the shard a datagram of the inside.
    pub(super) fn send(
        &self,
        shard: &mut Shard,
        id: LocalId,
        plaintext: &[u8],
        out: &mut impl Output,
    ) {
        let watched = self.watch.and_then(|watch| {
            let remote = shard.look(self.now, id)?.endpoint.remote;
            watch.concerns_association(id.value(), remote).then_some((watch, remote))
        });
        let Some((watch, remote)) = watched else {
            return shard.send(self.now, id, plaintext, out);
        };
        let came = (remote, format!("{} bytes for {id}", plaintext.len()));
        watch.observe(self.now, self.place(shard), came, out, |out| {
            shard.send(self.now, id, plaintext, out);
        });
    }
}
