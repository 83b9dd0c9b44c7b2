//! A node that answers and opens at one port: responders, and initiators for each of its links.
//!
//! The two roles share nothing but the ids: a handshake is begun by one of them and stays there. No
//! type can be both: what makes engines that answer cannot be given to initiators.
//!
//! ```compile_fail,E0277
//! # use xdtls_proto::{engine::AcceptEngine, ids::IdAllocator};
//! # use xdtls_proto::handshakes::{Limits, Random, initiators::Initiators};
//! fn turn<A: AcceptEngine>(acceptor: A, ids: IdAllocator, limits: Limits, random: Random) {
//!     Initiators::new(acceptor, ids, limits, random);
//! }
//! ```
//!
//! Where both ends of a link open at once, one of the two handshakes is for nothing: the
//! [link](crate::convergence) keeps the association of the opener with the smaller key. A
//! cookie-bearing ClientHello from a link's address while the link opens shows it early. If the
//! peer's key is known, the end with the smaller one then lets the peer's ClientHello wait, and the
//! other puts its own attempt off. Nobody has vouched for that ClientHello, so that it buys
//! [`YIELD`], once for each wish, and no more.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use xdtls_common::DropReason;
use xdtls_common::id::LocalId;

use super::initiators::Initiators;
use super::responders::Responders;
use super::{Action, Handshakes, Hello, Limits, Replacement, RoutePolicy, Start};
use crate::convergence::Link;
use crate::endpoint::Endpoint;
use crate::engine::{AcceptEngine, ConnectEngine};

/// How long the handshake that is to lose gives way to the other.
pub const YIELD: Duration = Duration::from_secs(1);

/// The opening side of one link.
struct Opener<C: ConnectEngine> {
    initiators: Initiators<C>,
    /// SHA-256 of the peer's SubjectPublicKeyInfo: as configured, or as it was last seen.
    peer: Option<[u8; 32]>,
}

/// What the opening side of all links needs, given anew.
pub struct OpenerSettings<C> {
    /// SHA-256 of our own SubjectPublicKeyInfo.
    pub own: [u8; 32],
    /// What makes engines for each link, by its number, and who may answer.
    pub links: Vec<(C, RoutePolicy)>,
}

/// Handshakes of a node that may do both.
pub struct Peers<A: AcceptEngine, C: ConnectEngine> {
    responders: Responders<A>,
    /// By the number of the link.
    openers: Vec<Opener<C>>,
    /// By which link those were opened that we have opened.
    opened: HashMap<LocalId, usize>,
    /// The route of the first link; those of the others follow.
    first_route: u16,
    /// SHA-256 of our own SubjectPublicKeyInfo.
    own: [u8; 32],
}

impl<A: AcceptEngine, C: ConnectEngine> Peers<A, C> {
    /// A node without links, whose key has this SHA-256; the first link will have `first_route`.
    pub fn new(responders: Responders<A>, own: [u8; 32], first_route: u16) -> Self {
        let (openers, opened) = (Vec::new(), HashMap::new());
        Self { responders, openers, opened, first_route, own }
    }

    /// Adds the next link. `peer` is the SHA-256 of its peer's key, if that is known.
    pub fn add_link(&mut self, initiators: Initiators<C>, peer: Option<[u8; 32]>) {
        let initiators = initiators.with_own_key(self.own);
        self.openers.push(Opener { initiators, peer });
    }

    /// What makes the engines of handshakes that begin now and that others open.
    pub fn acceptor(&self) -> &A {
        self.responders.acceptor()
    }

    /// Lets handshakes that begin from now on use these; those under way keep their engines.
    pub fn reconfigure(
        &mut self,
        acceptor: A,
        limits: &Limits,
        policy: RoutePolicy,
        openers: OpenerSettings<C>,
    ) {
        self.responders.reconfigure(acceptor, limits.clone(), policy);
        let OpenerSettings { own, links } = openers;
        self.own = own;
        for (opener, (connector, policy)) in self.openers.iter_mut().zip(links) {
            opener.initiators.reconfigure(connector, limits.clone(), policy, own);
        }
    }

    /// Answers no more handshakes; those under way go on. Who opens none any more has asked for none.
    pub fn drain(&mut self) {
        self.responders.drain();
    }

    /// Gives up what a link has asked for.
    pub fn cancel(&mut self, now: Instant, token: u64) {
        if let Some(opener) = self.openers.get_mut(Link::number_of(token) as usize) {
            opener.initiators.cancel(now, token);
        }
    }

    /// A peer's ClientHello; `Err` if it has to wait for ours.
    fn hello(&mut self, now: Instant, hello: Hello) -> Result<(), DropReason> {
        if self.gives_way(now, hello.from.remote) {
            return Err(DropReason::HelloCrossed);
        }
        self.responders.begin(now, Start::Answer(hello));
        Ok(())
    }

    /// Whether a ClientHello from this address gives way to ours. If it is ours that has to, it
    /// does.
    fn gives_way(&mut self, now: Instant, remote: SocketAddr) -> bool {
        let of_link = |opener: &&mut Opener<C>| opener.initiators.leads_to(remote);
        let Some(opener) = self.openers.iter_mut().find(of_link) else { return false };
        let (Some(peer), Some(since)) = (opener.peer, opener.initiators.opening_since()) else {
            return false;
        };
        if self.own < peer {
            return now.saturating_duration_since(since) < YIELD;
        }
        opener.initiators.defer(now, now + YIELD);
        false
    }

    /// Begins what a link wants; responders know how to refuse what no link is for.
    fn begin_by(&mut self, link: Option<usize>, since: Instant, start: Start) {
        match link.and_then(|link| self.openers.get_mut(link)) {
            Some(opener) => opener.initiators.begin(since, start),
            None => self.responders.begin(since, start),
        }
    }

    /// The initiators that this id belongs to, if it is not the responders'.
    fn initiators(&mut self, local: LocalId) -> Option<&mut Initiators<C>> {
        let openers = self.openers.iter_mut().map(|opener| &mut opener.initiators);
        openers.into_iter().find(|initiators| initiators.knows(local))
    }

    /// Remembers the key of a link's peer, for the next time that both open at once.
    fn learn(&mut self, action: &Action) {
        let Action::Install(installation) = action else { return };
        let link = installation.route.checked_sub(self.first_route).map(usize::from);
        if let Some(opener) = link.and_then(|link| self.openers.get_mut(link)) {
            opener.peer = Some(installation.taken_over.identity.spki_sha256);
        }
    }
}

impl<A: AcceptEngine, C: ConnectEngine> Handshakes for Peers<A, C> {
    fn begin(&mut self, since: Instant, start: Start) {
        match start {
            Start::Answer(hello) => {
                if let Err(reason) = self.hello(since, hello) {
                    self.responders.count(reason);
                }
            }
            Start::Open(_, token) => {
                self.begin_by(Some(Link::number_of(token) as usize), since, start);
            }
            // The end that has opened an association opens the one in its place, by the same link.
            Start::Replace(Replacement { old, .. }) => {
                self.begin_by(self.opened.get(&old).copied(), since, start);
            }
        }
    }

    fn datagram(&mut self, now: Instant, local: LocalId, from: Endpoint, datagram: Vec<u8>) {
        match self.initiators(local) {
            Some(initiators) => initiators.datagram(now, local, from, datagram),
            None => self.responders.datagram(now, local, from, datagram),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        for opener in &mut self.openers {
            opener.initiators.handle_timeout(now);
        }
        self.responders.handle_timeout(now);
    }

    fn acknowledge(&mut self, at: Instant, local: LocalId) {
        match self.initiators(local) {
            Some(initiators) => initiators.acknowledge(at, local),
            None => self.responders.acknowledge(at, local),
        }
    }

    fn release(&mut self, now: Instant, local: LocalId) {
        self.opened.remove(&local);
        match self.initiators(local) {
            Some(initiators) => initiators.release(now, local),
            None => self.responders.release(now, local),
        }
    }

    fn half_open(&self) -> usize {
        let opening = self.openers.iter().map(|opener| opener.initiators.half_open());
        self.responders.half_open() + opening.sum::<usize>()
    }

    fn poll_action(&mut self) -> Option<Action> {
        if let Some(action) = self.responders.poll_action() {
            self.learn(&action);
            return Some(action);
        }
        let mut openers = self.openers.iter_mut().enumerate();
        let (link, action) =
            openers.find_map(|(link, it)| Some((link, it.initiators.poll_action()?)))?;
        if let Action::Install(installation) = &action {
            self.opened.insert(installation.local, link);
        }
        self.learn(&action);
        Some(action)
    }

    fn deadline(&self) -> Option<Instant> {
        let opening = self.openers.iter().filter_map(|opener| opener.initiators.deadline());
        opening.chain(self.responders.deadline()).min()
    }
}
