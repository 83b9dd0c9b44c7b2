//! What threads tell each other.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use xdtls_common::id::{LocalId, PeerId};
use xdtls_proto::association::CloseCause;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::handshakes::{Installation, Start};
use xdtls_proto::policy::Refusal;
use xdtls_proto::rekey::RekeyLimits;
use xdtls_proto::shard::AssociationView;

use crate::handshake_pool::Settings;
use crate::inside::LinkOrder;
use crate::inside::forward::FlowLimits;

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
    /// No association could be opened in the place of this one, which goes on.
    RekeyFailed(LocalId),
    /// How these associations are doing, for the operator; in the same order.
    Look(Vec<LocalId>, oneshot::Sender<Vec<Option<AssociationView>>>),
    /// Close an association for the operator; whether there was one.
    Close(LocalId, oneshot::Sender<bool>),
    /// Close these associations, whose peers are not admitted any more.
    Dismiss(Vec<(LocalId, Refusal)>),
    /// Close an association: another of its link goes on in its place.
    Supersede(LocalId),
    /// Challenge the peer of an association.
    Prove(LocalId),
    /// Something about a link's port.
    Link(usize, LinkOrder),
    /// Let all peers hear from us: our own address has changed.
    Announce,
    /// Limits of what exists already have changed.
    Reconfigure(WorkerLimits),
    /// Close all associations and end.
    Stop,
}

/// Limits of a worker that may change while it works.
#[derive(Clone, Copy, Debug)]
pub struct WorkerLimits {
    /// Associations that neither send nor receive for so long are closed.
    pub idle_timeout: Option<Duration>,
    /// When keys are replaced.
    pub rekey: RekeyLimits,
    /// What bounds backend flows.
    pub flows: FlowLimits,
}

/// What a handshake thread is told.
pub enum ToHandshakes {
    /// Begin a handshake, which was asked for at this time.
    Begin(Instant, Start),
    /// Give up what was asked for with this number, if nothing has come of it yet.
    Cancel(u64),
    /// A datagram of a half-open association.
    Datagram(LocalId, Endpoint, Vec<u8>),
    /// A worker has installed the keys at this time.
    Installed(Instant, LocalId),
    /// A worker has closed the association, and why.
    Closed(LocalId, CloseCause),
    /// Use other certificates, limits and rules from now on.
    Reconfigure(Box<Settings>),
    /// Begin no more handshakes.
    Drain,
    /// End.
    Stop,
}
