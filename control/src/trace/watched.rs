//! An output that remembers what a shard has made of one datagram.

use std::net::SocketAddr;
use std::time::Instant;

use xdtls_common::DropReason;
use xdtls_common::id::LocalId;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::shard::{Output, ShardEvent};

use super::Watch;

/// Passes everything on, and keeps it in words.
pub struct Watched<'a, O> {
    out: &'a mut O,
    words: Vec<String>,
}

impl Watch {
    /// Lets `act` handle what came, and records what it made of it.
    pub fn observe<O: Output>(
        &self,
        now: Instant,
        place: String,
        (peer, came): (SocketAddr, String),
        out: &mut O,
        act: impl FnOnce(&mut Watched<'_, O>),
    ) {
        let mut watched = Watched { out, words: Vec::new() };
        act(&mut watched);
        let decided = watched.words.join("; ");
        self.record(now, place, peer, format!("{came} → {decided}"));
    }
}

impl<O: Output> Output for Watched<'_, O> {
    fn datagram(&mut self, to: &Endpoint, length: usize) -> Option<&mut [u8]> {
        self.words.push(format!("sent {length} bytes to the peer"));
        self.out.datagram(to, length)
    }

    fn datagram_around(&mut self, to: &Endpoint, length: usize, at: usize) -> Option<&mut [u8]> {
        self.words.push(format!("sent {length} bytes to the peer"));
        self.out.datagram_around(to, length, at)
    }

    fn plaintext(&mut self, id: LocalId, plaintext: &[u8]) {
        self.words.push(format!("{} bytes to the inside", plaintext.len()));
        self.out.plaintext(id, plaintext);
    }

    fn event(&mut self, event: ShardEvent) {
        self.words.push(match &event {
            ShardEvent::Rekey(_) => "new keys wished for".to_owned(),
            ShardEvent::Replaced { old, new } => format!("{old} replaced by {new}"),
            ShardEvent::Hello(_) => "good cookie: to the handshakes".to_owned(),
            ShardEvent::Handshake(..) => "to the handshakes".to_owned(),
            ShardEvent::OtherShard(shard, ..) => format!("to worker-{shard}"),
            ShardEvent::Installed(id, _) => format!("{id} is established"),
            ShardEvent::Proven(_) => "the peer has proved that it is there".to_owned(),
            ShardEvent::Path(_, change) => change.as_str().to_owned(),
            ShardEvent::Closed(id, cause) => format!("{id} has ended: {}", cause.as_str()),
        });
        self.out.event(event);
    }

    fn count(&mut self, reason: DropReason) {
        self.words.push(format!("dropped: {}", reason.as_str()));
        self.out.count(reason);
    }
}
