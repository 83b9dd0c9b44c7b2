//! The keeper of links: a task beside the threads that is told what becomes of the associations of
//! links, asks the [machine](xdtls_proto::convergence) of each link what to do, and passes it on.
//!
//! It is asked when an association begins or ends, never for a datagram.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep_until;
use tracing::{info, warn};
use xdtls_common::id::{IdLayout, LocalId};
use xdtls_proto::convergence::{Action, Link};
use xdtls_proto::endpoint::Endpoint;

use crate::config::Peer;
use crate::handshake_pool::Pool;
use crate::inside::LinkOrder;
use crate::inside::health::Health;
use crate::inside::links::LinkEvent;
use crate::mailbox::Postbox;
use crate::messages::ToWorker;
use crate::random;

/// One link and who reads its port.
struct Kept {
    name: String,
    link: Link,
    /// Where the peer listens, if we open.
    peer: Option<Endpoint>,
    /// The worker that reads the port.
    reader: usize,
    /// Whether the link counts as up.
    up: bool,
}

/// All links of a node.
pub struct Keeper {
    links: Vec<Kept>,
    workers: Vec<Postbox<ToWorker>>,
    pool: Pool,
    layout: IdLayout,
    health: Health,
    /// The route of the first link, which is its place in `health`.
    first_route: usize,
}

impl Keeper {
    /// Keeps the links of `peers`. `outside` is the address that the node listens on.
    pub fn new(
        peers: &[Peer],
        outside: SocketAddr,
        (workers, pool, layout): (Vec<Postbox<ToWorker>>, Pool, IdLayout),
        (health, first_route): (Health, usize),
    ) -> Self {
        let now = Instant::now();
        let keep = |(number, peer): (usize, &Peer)| {
            let endpoint = peer.address.map(|address| endpoint(address, outside));
            let link = Link::new(now, number as u32, endpoint.is_some(), random::source());
            // Any worker will do as long as there is no association.
            let reader = number % workers.len();
            Kept { name: peer.name.clone(), link, peer: endpoint, reader, up: false }
        };
        let links = peers.iter().enumerate().map(keep).collect();
        Self { links, workers, pool, layout, health, first_route }
    }

    /// Keeps the links as long as anything happens to them.
    pub async fn run(mut self, mut events: UnboundedReceiver<LinkEvent>) {
        for (number, kept) in self.links.iter().enumerate() {
            self.workers[kept.reader].post(ToWorker::Link(number, LinkOrder::Read(None)));
        }
        loop {
            let deadline = self.links.iter().filter_map(|kept| kept.link.deadline()).min();
            let until = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.happened(Instant::now(), event),
                    None => return,
                },
                () = until => {}
            }
            self.look_after_all(Instant::now());
        }
    }

    fn happened(&mut self, now: Instant, event: LinkEvent) {
        match event {
            LinkEvent::Established(link, id, rank, token) => {
                self.with(link, |kept| kept.link.established(now, id, rank, token));
            }
            LinkEvent::Proven(link, id) => self.with(link, |kept| kept.link.proven(now, id)),
            LinkEvent::Replaced(link, old, new) => {
                self.with(link, |kept| kept.link.replaced(old, new));
            }
            LinkEvent::Closed(link, id) => self.with(link, |kept| kept.link.closed(now, id)),
            LinkEvent::Failed(token) => {
                let link = Link::number_of(token) as usize;
                self.with(link, |kept| kept.link.failed(now, token));
            }
            LinkEvent::Waiting(link) => self.read(link),
            LinkEvent::Drain => self.links.iter_mut().for_each(|kept| kept.link.drain()),
        }
    }

    fn with(&mut self, link: usize, act: impl FnOnce(&mut Kept)) {
        if let Some(kept) = self.links.get_mut(link) {
            act(kept);
        }
    }

    fn look_after_all(&mut self, now: Instant) {
        for number in 0..self.links.len() {
            let link = &mut self.links[number].link;
            if link.deadline().is_some_and(|deadline| deadline <= now) {
                link.handle_timeout(now);
            }
            while let Some(action) = self.links[number].link.poll_action() {
                self.carry_out(number, action);
            }
        }
    }

    fn worker_of(&self, id: LocalId) -> usize {
        self.layout.shard_of(id.value()) as usize
    }

    fn carry_out(&mut self, number: usize, action: Action) {
        let kept = &self.links[number];
        match (action, kept.peer) {
            (Action::Open(token), Some(peer)) => self.pool.open(peer, token),
            (Action::Cancel(token), Some(peer)) => self.pool.cancel(peer, token),
            (Action::Open(_) | Action::Cancel(_), None) => {}
            (Action::Probe(id), _) => self.workers[self.worker_of(id)].post(ToWorker::Prove(id)),
            (Action::Close(id), _) => {
                info!(link = kept.name, association = %id, "closing an association of a link");
                self.workers[self.worker_of(id)].post(ToWorker::Supersede(id));
            }
            (Action::Use(id), _) => self.use_association(number, id),
        }
    }

    fn use_association(&mut self, number: usize, id: Option<LocalId>) {
        let reader = id.map_or(self.links[number].reader, |id| self.worker_of(id));
        let kept = &mut self.links[number];
        let last = std::mem::replace(&mut kept.reader, reader);
        let was_up = std::mem::replace(&mut kept.up, id.is_some());
        let health = &self.health[self.first_route + number];
        match (id, was_up) {
            (Some(id), _) => {
                info!(link = kept.name, association = %id, "a link goes by this association")
            }
            (None, _) => warn!(link = kept.name, "a link is down"),
        }
        match (was_up, kept.up) {
            (false, true) => health.opened(),
            (true, false) => health.closed(),
            _ => {}
        }
        // The new one reads before the old one stops: at no time does nobody.
        self.read(number);
        if last != reader {
            self.workers[last].post(ToWorker::Link(number, LinkOrder::Leave));
        }
    }

    /// Tells a link's reader to read.
    fn read(&self, number: usize) {
        let Some(kept) = self.links.get(number) else { return };
        let order = LinkOrder::Read(kept.link.current());
        self.workers[kept.reader].post(ToWorker::Link(number, order));
    }
}

/// A peer's address as the outside's socket takes it.
pub fn endpoint(peer: SocketAddr, outside: SocketAddr) -> Endpoint {
    let remote = match peer {
        SocketAddr::V4(v4) if outside.is_ipv6() => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        same => same,
    };
    Endpoint { remote, local: None }
}
