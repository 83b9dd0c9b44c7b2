//! Links to peers, as one worker sees them: what the peer sends goes to a local program, and what
//! local programs send to the link's port goes to the peer.
//!
//! A link's associations may be on any worker, and data goes by one of them. Its port is read by the
//! worker that has this one, or by the last that had one; who reads is told by the
//! [keeper](crate::links), and told anew before another stops. Each worker delivers what comes on its
//! own associations.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedSender;
use tracing::warn;
use xdtls_common::DropReason;
use xdtls_common::id::LocalId;
use xdtls_proto::convergence::Rank;

use super::{Arrival, Request, Surroundings, Token, unwatch, watch};
use crate::datapath::segments::{Run, Segments};
use crate::datapath::socket::{Batch, Channel};

/// The token of the first link's port; those of backend flows are ids, which have 32 bits.
const FIRST_TOKEN: Token = 1 << 32;

/// Datagrams of local programs that wait while a link has no association.
const MAX_QUEUED: usize = 16;

/// The port of a link, which all workers share.
pub struct LinkPort {
    /// Where local programs send to, and what they hear from.
    pub channel: Channel,
    /// The local program that hears the peer.
    pub deliver: SocketAddr,
    /// What was sent while there was no association.
    waiting: Mutex<VecDeque<Vec<u8>>>,
}

impl LinkPort {
    /// A port that nothing waits at.
    pub fn new(channel: Channel, deliver: SocketAddr) -> Self {
        Self { channel, deliver, waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of the associations of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// One is established; the number is that of our wish, if we have opened it.
    Established(usize, LocalId, Rank, Option<u64>),
    /// The peer has answered a challenge on it.
    Proven(usize, LocalId),
    /// The second has taken the place of the first.
    Replaced(usize, LocalId, LocalId),
    /// One has ended.
    Closed(usize, LocalId),
    /// Nothing has come of a wish.
    Failed(u64),
    /// A worker has stopped reading a link's port, and something waits there.
    Waiting(usize),
    /// The node opens no more associations.
    Drain,
}

/// Who reads a link's port, as a worker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Elsewhere,
    /// This worker, for this association; without one, datagrams wait.
    Here(Option<LocalId>),
}

/// All links of a node, as one worker sees them.
pub struct Links {
    surroundings: Surroundings,
    ports: Arc<[LinkPort]>,
    readers: Vec<Reader>,
    by_id: HashMap<LocalId, usize>,
    run: Segments<usize>,
    released: VecDeque<(LocalId, Vec<u8>)>,
    requests: VecDeque<Request>,
    events: UnboundedSender<LinkEvent>,
}

impl Links {
    /// Reads no port yet.
    pub fn new(
        surroundings: Surroundings,
        ports: Arc<[LinkPort]>,
        events: UnboundedSender<LinkEvent>,
    ) -> Self {
        let segments = ports.iter().map(|port| port.channel.max_segments()).min();
        Self {
            surroundings,
            readers: vec![Reader::Elsewhere; ports.len()],
            ports,
            by_id: HashMap::new(),
            run: Segments::new(segments.unwrap_or(1)),
            released: VecDeque::new(),
            requests: VecDeque::new(),
            events,
        }
    }

    fn tell(&self, event: LinkEvent) {
        // Once the keeper is gone the node stops.
        let _ = self.events.send(event);
    }

    /// An association of a link is established.
    pub fn established(&mut self, link: usize, arrival: &Arrival) {
        let id = arrival.id;
        if link >= self.ports.len() {
            return self.requests.push_back(Request::Close(id));
        }
        self.by_id.insert(id, link);
        if !arrival.extension {
            warn!(association = %id, "closed: a link needs the xdtls extension at both ends");
            return self.requests.push_back(Request::Close(id));
        }
        self.tell(LinkEvent::Established(link, id, arrival.rank, arrival.request));
    }

    /// Nothing has come of a wish.
    pub fn failed(&self, token: u64) {
        self.tell(LinkEvent::Failed(token));
    }

    /// The peer has answered a challenge.
    pub fn proven(&self, id: LocalId) {
        if let Some(link) = self.by_id.get(&id) {
            self.tell(LinkEvent::Proven(*link, id));
        }
    }

    /// Whether an association is a link's.
    pub fn owns(&self, id: LocalId) -> bool {
        !self.by_id.is_empty() && self.by_id.contains_key(&id)
    }

    /// An association has new keys, and with them another name.
    pub fn replaced(&mut self, old: LocalId, new: LocalId) {
        let Some(link) = self.by_id.remove(&old) else { return };
        self.by_id.insert(new, link);
        if self.readers[link] == Reader::Here(Some(old)) {
            self.readers[link] = Reader::Here(Some(new));
        }
        self.tell(LinkEvent::Replaced(link, old, new));
    }

    /// An association has ended.
    pub fn closed(&mut self, id: LocalId) {
        let Some(link) = self.by_id.remove(&id) else { return };
        // Until the keeper says by which one instead, datagrams wait.
        if self.readers[link] == Reader::Here(Some(id)) {
            self.readers[link] = Reader::Here(None);
        }
        self.tell(LinkEvent::Closed(link, id));
    }

    /// Reads a link's port from now on, for this association.
    pub fn read(&mut self, link: usize, id: Option<LocalId>) {
        let Some(port) = self.ports.get(link) else { return };
        let token = FIRST_TOKEN + link as Token;
        if self.readers[link] == Reader::Elsewhere
            && let Err(error) = watch(self.surroundings.poll.as_fd(), port.channel.fd(), token)
        {
            return warn!(%error, "cannot watch the port of a link; nothing is sent by it");
        }
        // It may have ended on its way here.
        let id = id.filter(|id| self.by_id.contains_key(id));
        self.readers[link] = Reader::Here(id);
        if let Some(id) = id {
            self.released.extend(port.waiting().drain(..).map(|datagram| (id, datagram)));
        }
    }

    /// Leaves a link's port to another worker.
    pub fn leave(&mut self, link: usize) {
        let Some(port) = self.ports.get(link) else { return };
        if self.readers[link] == Reader::Elsewhere {
            return;
        }
        self.readers[link] = Reader::Elsewhere;
        if let Err(error) = unwatch(self.surroundings.poll.as_fd(), port.channel.fd()) {
            warn!(%error, "cannot leave the port of a link to another worker");
        }
        if !port.waiting().is_empty() {
            self.tell(LinkEvent::Waiting(link));
        }
    }

    /// Plaintext of a link's association.
    pub fn plaintext(&mut self, id: LocalId, plaintext: &[u8]) {
        let Some(link) = self.by_id.get(&id) else {
            return self.surroundings.counters.dropped(DropReason::Closed);
        };
        let (ports, surroundings) = (&self.ports, &self.surroundings);
        let room = self.run.room(link, plaintext.len(), |run| send(ports, surroundings, &run));
        room.copy_from_slice(plaintext);
    }

    /// Sends what waits.
    pub fn flush(&mut self) {
        let (ports, surroundings) = (&self.ports, &self.surroundings);
        self.run.flush(|run| send(ports, surroundings, &run));
    }

    /// The link that a token is the port of.
    pub fn link_of(token: Token) -> Option<usize> {
        token.checked_sub(FIRST_TOKEN).and_then(|link| usize::try_from(link).ok())
    }

    /// Receives what waits at a link's port.
    pub fn receive(&self, link: usize, batch: &mut Batch) -> io::Result<()> {
        match (self.ports.get(link), self.readers.get(link)) {
            (Some(port), Some(Reader::Here(_))) => port.channel.receive(batch),
            // Another worker has it since the kernel told us.
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// By which association a local program's datagram goes. `None` if it waits or was dropped.
    pub fn owner(&mut self, link: usize, datagram: &[u8]) -> Option<LocalId> {
        if let Reader::Here(Some(id)) = self.readers[link] {
            return Some(id);
        }
        let mut waiting = self.ports[link].waiting();
        if waiting.len() < MAX_QUEUED {
            waiting.push_back(datagram.to_vec());
        } else {
            self.surroundings.counters.dropped(DropReason::ConnectQueueFull);
        }
        None
    }

    /// The next datagram that has waited for an association.
    pub fn poll_released(&mut self) -> Option<(LocalId, Vec<u8>)> {
        self.released.pop_front()
    }

    /// What is wanted next of the rest of the worker.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }
}

fn send(ports: &[LinkPort], surroundings: &Surroundings, run: &Run<'_, usize>) {
    let port = &ports[*run.to];
    if port.channel.send_run(port.deliver, None, run).is_err() {
        surroundings.counters.dropped_many(DropReason::InsideSend, run.count as u64);
    }
}
