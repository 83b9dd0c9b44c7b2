//! Half-open associations: those that we answer ([`responders`]), those that we open
//! ([`initiators`]), and a node that does both ([`peers`]). A role belongs to the type and cannot
//! change.
//!
//! Both are driven the same way: datagrams, acknowledgements and the clock go in through methods;
//! [`Action`]s come out of a queue, in the order in which they have to be carried out.

mod deadlines;
mod hello_set;
pub mod initiators;
mod overload;
pub mod peers;
pub mod responders;
mod sources;
mod waiting;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use overload::OverloadChange;
pub use sources::source_of;

use xdtls_common::DropReason;
use xdtls_common::id::{LocalId, PeerId};
use xdtls_common::prefix::Prefix;

use crate::alert;
use crate::endpoint::Endpoint;
use crate::engine::PeerIdentity;
use crate::exchange::TakenOver;
use crate::failure::{Failure, FailureClass};
use crate::keys::Role;
use crate::policy::Refusal;

/// A cookie-bearing ClientHello, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Where it came from.
    pub from: Endpoint,
    /// The sender id of its prefix.
    pub client_id: u32,
    /// The datagram without prefix.
    pub datagram: Vec<u8>,
}

/// What begins a handshake.
pub enum Start {
    /// A peer's ClientHello, whose cookie was judged good.
    Answer(Hello),
    /// Our wish for an association with this peer. The number comes back with the installation or
    /// the failure.
    Open(Endpoint, u64),
    /// Our wish for an association that replaces one of ours.
    Replace(Replacement),
}

/// An association that is to be replaced by one with the same peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Our name for it.
    pub old: LocalId,
    /// The peer's name for it.
    pub peer: PeerId,
    /// Where the peer is.
    pub endpoint: Endpoint,
}

/// What drives either side's half-open associations.
pub trait Handshakes {
    /// Begins a handshake; an answer waits for its turn, which comes with
    /// [`Handshakes::handle_timeout`] when all datagrams have been taken. `since` is when it was
    /// asked for.
    fn begin(&mut self, since: Instant, start: Start);

    /// Takes a datagram, prefix included, for an id that was reserved for a handshake.
    fn datagram(&mut self, now: Instant, local: LocalId, from: Endpoint, datagram: Vec<u8>);

    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant);

    /// The worker has installed the keys at `at`: the association is no longer half-open.
    fn acknowledge(&mut self, at: Instant, local: LocalId);

    /// The worker has closed the association: its slot can rest.
    fn release(&mut self, now: Instant, local: LocalId);

    /// How many associations are half-open.
    fn half_open(&self) -> usize;

    /// What is to be done next.
    fn poll_action(&mut self) -> Option<Action>;

    /// When [`Handshakes::handle_timeout`] is to be called.
    fn deadline(&self) -> Option<Instant>;
}

/// A source of 32 random bits; the only randomness that ids need.
pub type Random = Box<dyn FnMut() -> u32 + Send>;

/// What a driver has to do, in order.
pub enum Action {
    /// Send a datagram, prefix included.
    Transmit(Endpoint, Vec<u8>),
    /// Let datagrams for this id come to the handshakes from now on. The peer's id is unknown as
    /// long as we are opening.
    Reserve(LocalId, Option<PeerId>),
    /// Give the association to its worker, which answers with an acknowledgement.
    Install(Box<Installation>),
    /// Give an already established association's datagram, prefix included, to its worker.
    Forward(LocalId, Endpoint, Vec<u8>),
    /// Nothing more comes of a reserved id: datagrams for it come too late from now on.
    Rest(LocalId),
    /// Forget an id that has rested.
    Forget(LocalId),
    /// Count a drop.
    Count(DropReason),
    /// Tell the operator that new handshakes give way, or no longer do.
    Overload(OverloadChange),
    /// Tell the operator why an attempt to open an association has failed; another follows.
    Retrying(Failure),
    /// Tell the operator, and whoever waits for the association, how a handshake ended.
    Ended(Ended),
}

/// How a handshake ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The association's id at this end; `None` if it failed before it had one.
    pub local: Option<LocalId>,
    /// Who asked for it, if we opened it and it replaces none.
    pub token: Option<u64>,
    /// The association that it was to replace, if we opened it for that.
    pub replaces: Option<LocalId>,
    /// The peer's address.
    pub remote: SocketAddr,
    /// How long it took.
    pub took: Duration,
    /// Whether it succeeded, and if not, why.
    pub outcome: Result<(), Failure>,
}

/// An association on its way to its worker.
pub struct Installation {
    /// Our name for it.
    pub local: LocalId,
    /// The peer's name for it.
    pub peer: PeerId,
    /// Where the peer is.
    pub endpoint: Endpoint,
    /// Who asked for it, if we opened it and it replaces none.
    pub token: Option<u64>,
    /// The association of the same shard that it replaces as soon as the peer has used it.
    pub replaces: Option<LocalId>,
    /// The backend that the peer's identity leads to; 0 if we opened it and no policy was asked.
    pub route: u16,
    /// SHA-256 of the SubjectPublicKeyInfo of the end that opened it, where that is of interest.
    pub opener: [u8; 32],
    /// Which end we are.
    pub role: Role,
    /// Keys, counters and what was held.
    pub taken_over: TakenOver,
}

/// Decides where an identity leads, or that it is refused. It is asked at the end of each handshake,
/// before the association becomes active.
pub type RoutePolicy = Box<dyn Fn(&PeerIdentity) -> Result<u16, Refusal> + Send>;

/// What bounds handshakes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Half-open associations at a time, and ClientHellos that wait for their turn.
    pub half_open: usize,
    /// The same of one source: an IPv4 address or IPv6 /64.
    pub half_open_per_source: usize,
    /// Handshakes that one source may begin a second, once its burst is used up; at least 1.
    pub rate_per_source: u32,
    /// Handshakes that one source may begin at once; at least 1.
    pub burst_per_source: u32,
    /// How long a handshake may take.
    pub deadline: Duration,
    /// The largest datagram that an engine may write, in bytes without prefix.
    pub max_datagram: usize,
}

/// A datagram with its prefix.
fn prefixed(sender: u32, receiver: u32, records: &[u8]) -> Vec<u8> {
    [&Prefix { sender, receiver }.encode()[..], records].concat()
}

/// Tells an authenticated peer that it is not admitted.
fn refusal(
    local: LocalId,
    to: Endpoint,
    peer: PeerId,
    taken_over: &mut TakenOver,
    refused: Refusal,
) -> Option<Action> {
    let (keys, state) = (&taken_over.seal_keys, &mut taken_over.seal_state);
    let record = alert::sealed(keys, state, [alert::FATAL, alert::of_refusal(refused)])?;
    Some(Action::Transmit(to, prefixed(local.value(), peer.value(), &record)))
}

/// A handshake that ran out of time.
fn timed_out(since: Instant, now: Instant, alert_seen: Option<u8>) -> Failure {
    let took = now.duration_since(since).as_secs_f32();
    FailureClass::TimedOut.because(match alert_seen {
        None => format!("no end of the handshake within {took:.1} s"),
        Some(alert) => format!(
            "no end of the handshake within {took:.1} s; an unauthenticated alert {alert} was seen"
        ),
    })
}

/// Between half of `delay` and one and a half, as 32 random bits will have it: clients that lost
/// their gateway at one moment must not all come back at one moment.
pub(crate) fn jittered(delay: Duration, random: u32) -> Duration {
    delay / 2 + delay.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
