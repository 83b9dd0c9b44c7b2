//! How datagrams reach a shard, with whoever watches looking on.

use std::time::Instant;

use xdtls_common::DropReason;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::frame;
use xdtls_common::id::LocalId;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::shard::{Front, Output, Shard};

use crate::trace::{Watch, datagram};

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
            // The XDP program has parsed it with the same code: the frame was changed since.
            Err(_) => out.count(DropReason::TooShort),
        }
    }

    /// Makes the shard ready for what is in a frame.
    pub(super) fn expect_frame(shard: &Shard, bytes: &[u8]) {
        if let Ok((headers, _)) = frame::parse(SliceCursor::new(bytes)) {
            shard.expect(&bytes[headers.payload_at..]);
        }
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
