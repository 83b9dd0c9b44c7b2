//! The inside of a node that answers: backends for its clients, and local programs for its links.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use xdtls_common::flow::FlowKey;
use xdtls_common::id::LocalId;
use xdtls_proto::association::CloseCause;

use super::forward::{FlowLimits, Forward};
use super::links::Links;
use super::{Arrival, FlowEnds, Inside, LinkOrder, Request, Token};
use crate::datapath::socket::Batch;

/// The inside of one worker. Routes of backends come first, then those of links.
pub struct NodeInside {
    forward: Forward,
    links: Links,
    first_link: u16,
}

impl NodeInside {
    /// `first_link` is the route of the first link.
    pub fn new(forward: Forward, links: Links, first_link: u16) -> Self {
        Self { forward, links, first_link }
    }
}

impl Inside for NodeInside {
    fn established(&mut self, now: Instant, arrival: &Arrival) {
        match arrival.route.checked_sub(self.first_link) {
            Some(link) => self.links.established(link.into(), arrival),
            None => self.forward.established(now, arrival),
        }
    }

    fn failed(&mut self, request: u64, _reason: &str) {
        self.links.failed(request);
    }

    fn proven(&mut self, id: LocalId) {
        self.links.proven(id);
    }

    fn replaced(&mut self, now: Instant, old: LocalId, new: LocalId) {
        if self.links.owns(old) {
            self.links.replaced(old, new);
        } else {
            self.forward.replaced(now, old, new);
        }
    }

    fn closed(&mut self, now: Instant, id: LocalId, cause: CloseCause) {
        if self.links.owns(id) {
            self.links.flush();
            self.links.closed(id);
        } else {
            self.forward.closed(now, id, cause);
        }
    }

    fn link(&mut self, link: usize, order: LinkOrder) {
        match order {
            LinkOrder::Read(id) => self.links.read(link, id),
            LinkOrder::Leave => self.links.leave(link),
        }
    }

    fn plaintext(&mut self, now: Instant, id: LocalId, plaintext: &[u8]) {
        if self.links.owns(id) {
            self.links.plaintext(id, plaintext);
        } else {
            self.forward.plaintext(now, id, plaintext);
        }
    }

    fn flush(&mut self) {
        self.forward.flush();
        self.links.flush();
    }

    fn receive(&mut self, token: Token, batch: &mut Batch) -> io::Result<()> {
        match Links::link_of(token) {
            Some(link) => self.links.receive(link, batch),
            None => self.forward.receive(token, batch),
        }
    }

    fn owner(
        &mut self,
        now: Instant,
        token: Token,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<LocalId> {
        match Links::link_of(token) {
            Some(link) => self.links.owner(link, datagram),
            None => self.forward.owner(now, token, from, datagram),
        }
    }

    fn owner_of(&mut self, now: Instant, flow: &FlowKey) -> Option<LocalId> {
        self.forward.owner_of(now, flow)
    }

    fn way_out(&mut self, now: Instant, id: LocalId) -> Option<FlowEnds> {
        if self.links.owns(id) {
            return None;
        }
        self.forward.way_out(now, id)
    }

    fn settle(&mut self, id: LocalId) {
        self.forward.settle(id);
    }

    fn poll_released(&mut self) -> Option<(LocalId, Vec<u8>)> {
        self.links.poll_released()
    }

    fn poll_request(&mut self) -> Option<Request> {
        self.links.poll_request()
    }

    fn reconfigure(&mut self, limits: FlowLimits) {
        self.forward.reconfigure(limits);
    }

    fn deadline(&self) -> Option<Instant> {
        self.forward.deadline()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.forward.handle_timeout(now);
    }
}
