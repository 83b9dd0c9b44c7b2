//! The inside, where plaintext goes: backends of a gateway ([`forward`]) and local programs of its
//! links ([`links`]), together in [`node`]; local programs of a client ([`local`]).

pub mod fast_flows;
pub mod forward;
pub mod health;
pub mod links;
pub mod local;
pub mod node;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::epoll;
use xdtls_common::flow::FlowKey;
use xdtls_common::id::LocalId;
use xdtls_proto::association::CloseCause;
use xdtls_proto::convergence::Rank;
use xdtls_proto::handshakes::Installation;

use self::forward::FlowLimits;
use crate::counters::Counters;
use crate::datapath::socket::Batch;

/// A socket of the inside, as epoll names it.
pub type Token = u64;

/// What the inside wants of the rest of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Open an association; its installation or failure brings the number back.
    Open(u64),
    /// Close an association.
    Close(LocalId),
}

/// A new association, as the inside has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Our name for it.
    pub id: LocalId,
    /// Where its peer's identity leads.
    pub route: u16,
    /// Which of our requests it is for, if we have opened it.
    pub request: Option<u64>,
    /// What decides between several of one link.
    pub rank: Rank,
    /// Whether both sides know path messages.
    pub extension: bool,
}

impl Arrival {
    /// What an installation makes known.
    pub fn of(installation: &Installation) -> Self {
        let Installation { local, route, token, opener, ref taken_over, .. } = *installation;
        let client_random = taken_over.client_random;
        let rank = Rank { opener, client_random };
        Self { id: local, route, request: token, rank, extension: taken_over.extension }
    }
}

/// The two ends of a backend flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowEnds {
    /// Our socket's address.
    pub local: SocketAddr,
    /// The backend's.
    pub backend: SocketAddr,
}

/// What the keeper of links wants of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkOrder {
    /// Read the link's port from now on, and send by this association; without one, let it wait.
    Read(Option<LocalId>),
    /// Leave the link's port to another worker.
    Leave,
}

/// One worker's inside. It owns its sockets and their registration with epoll.
pub trait Inside {
    /// An association is established.
    fn established(&mut self, now: Instant, arrival: &Arrival);

    /// A request to open has failed.
    fn failed(&mut self, request: u64, reason: &str);

    /// The peer has answered a challenge on this association.
    fn proven(&mut self, _id: LocalId) {}

    /// What the keeper of links wants, where there are links.
    fn link(&mut self, _link: usize, _order: LinkOrder) {}
    /// `new` has taken the place of `old`: all that was the old one's is the new one's from now on.
    /// The inside may hear of `new` for the first time.
    fn replaced(&mut self, now: Instant, old: LocalId, new: LocalId);

    /// An association has ended.
    fn closed(&mut self, now: Instant, id: LocalId, cause: CloseCause);

    /// Plaintext of an association; it may wait until [`Inside::flush`].
    fn plaintext(&mut self, now: Instant, id: LocalId, plaintext: &[u8]);

    /// Sends what waits.
    fn flush(&mut self);

    /// Receives what waits at a socket.
    fn receive(&mut self, token: Token, batch: &mut Batch) -> io::Result<()>;

    /// Whose datagram this is. `None` if it was queued, or dropped and counted.
    fn owner(
        &mut self,
        now: Instant,
        token: Token,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<LocalId>;

    /// Whose flow a datagram came in by that AF_XDP has brought. `None` if it is closed by now.
    fn owner_of(&mut self, _now: Instant, _flow: &FlowKey) -> Option<LocalId> {
        None
    }

    /// The ends of an association's backend flow, for a datagram that may leave by it through AF_XDP.
    /// `None` if there is no flow, or none yet.
    fn way_out(&mut self, _now: Instant, _id: LocalId) -> Option<FlowEnds> {
        None
    }

    /// Sends what waits to leave by the flow's socket, because the next datagram takes another way.
    fn settle(&mut self, _id: LocalId) {}

    /// Whose datagrams alone come in at a socket, if they are one association's.
    fn association_at(&self, _token: Token) -> Option<LocalId> {
        None
    }

    /// The next datagram that was queued until its association was established.
    fn poll_released(&mut self) -> Option<(LocalId, Vec<u8>)> {
        None
    }

    /// What is wanted next of the rest of the worker.
    fn poll_request(&mut self) -> Option<Request> {
        None
    }

    /// Other limits of backend flows apply from now on.
    fn reconfigure(&mut self, _limits: FlowLimits) {}

    /// When [`Inside::handle_timeout`] is to be called.
    fn deadline(&self) -> Option<Instant>;

    /// Ends what has been idle for too long.
    fn handle_timeout(&mut self, now: Instant);
}

/// Registers a socket with epoll, level-triggered, for reading.
pub fn watch(poll: BorrowedFd<'_>, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
    let data = epoll::EventData::new_u64(token);
    Ok(epoll::add(poll, fd, data, epoll::EventFlags::IN)?)
}

/// Takes a socket out of epoll.
pub fn unwatch(poll: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(epoll::delete(poll, fd)?)
}

/// Gives a socket that is watched another name.
fn watch_as(poll: BorrowedFd<'_>, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
    let data = epoll::EventData::new_u64(token);
    Ok(epoll::modify(poll, fd, data, epoll::EventFlags::IN)?)
}

/// What every inside needs of its worker.
#[derive(Clone)]
pub struct Surroundings {
    /// The worker's epoll descriptor.
    pub poll: Arc<OwnedFd>,
    /// Where drops are counted.
    pub counters: Arc<Counters>,
}
