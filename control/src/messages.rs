//! What threads tell each other.

use std::time::Instant;

use xdtls_common::id::{LocalId, PeerId};
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::handshakes::{Installation, Start};

/// What others ask of a worker.
pub enum ToWorker {
    /// Datagrams for this id belong to a handshake.
    Reserve(LocalId, Option<PeerId>),
    /// Take this association over.
    Install(Box<Installation>),
    /// A handshake has failed: what still comes for its id comes too late.
    Rest(LocalId),
    /// An id has rested: forget it.
    Forget(LocalId),
    /// A datagram, prefix included, that another thread has received.
    Datagram(Endpoint, Vec<u8>),
    /// What a request of the inside came to.
    Failed(u64, String),
    /// Close all associations and end.
    Stop,
}

/// What a handshake thread is told.
pub enum ToHandshakes {
    /// Begin a handshake, which was asked for at this time.
    Begin(Instant, Start),
    /// A datagram of a half-open association.
    Datagram(LocalId, Endpoint, Vec<u8>),
    /// A worker has installed the keys at this time.
    Installed(Instant, LocalId),
    /// A worker has closed the association.
    Closed(LocalId),
    /// End.
    Stop,
}
