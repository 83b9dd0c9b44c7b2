//! Forwarding: each association has a UDP socket of its own towards its backend, so that the
//! backend tells associations apart by their source addresses.
//!
//! A flow opens with the association's first datagram and closes with the association, or when it
//! has been idle. Source addresses come from the backend's pool in turn; each has 64 k ports. Where the
//! inside has an XDP program, what a backend sends reaches the worker past the flow's socket, which
//! still reserves the port, sends, and takes what the program leaves to the kernel.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use tracing::{debug, warn};
use xdtls_common::DropReason;
use xdtls_common::flow::FlowKey;
use xdtls_common::id::LocalId;
use xdtls_proto::association::CloseCause;

use super::fast_flows::FastFlows;
use super::health::{BackendHealth, Health};
use super::{Arrival, FlowEnds, Inside, Surroundings, Token, watch, watch_as};
use crate::datapath::segments::{Run, Segments};
use crate::datapath::socket::{Batch, Channel};

/// How often idle flows are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The least time between two log lines about flows that could not be opened.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// A backend as flows need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    /// Addresses that flows come from; empty leaves it to the kernel.
    pub sources: Vec<IpAddr>,
}

/// What bounds flows.
#[derive(Clone, Copy, Debug)]
pub struct FlowLimits {
    /// Flows of this worker at a time.
    pub flows: usize,
    /// A flow without traffic for so long is closed.
    pub idle: Duration,
}

struct Flow {
    channel: Channel,
    backend: SocketAddr,
    /// Our end, if the inside's XDP program knows the flow.
    local: Option<SocketAddr>,
    route: usize,
    active_at: Instant,
}

impl Flow {
    /// What the inside's XDP program knows it by, if it does.
    fn key(&self) -> Option<FlowKey> {
        self.local.map(|local| FlowKey::new(local, self.backend))
    }
}

/// The inside of one gateway worker.
pub struct Forward {
    surroundings: Surroundings,
    backends: Vec<Backend>,
    limits: FlowLimits,
    /// Which backend each established association leads to.
    routes: HashMap<LocalId, u16>,
    flows: HashMap<LocalId, Flow>,
    /// When to look at a flow; one that was active in between is put back.
    idle_looks: BinaryHeap<Reverse<(Instant, LocalId)>>,
    run: Segments<LocalId>,
    next_source: usize,
    complained_at: Option<Instant>,
    health: Health,
    fast: Option<FastFlows>,
}

impl Forward {
    /// No flow yet.
    pub fn new(
        surroundings: Surroundings,
        backends: Vec<Backend>,
        limits: FlowLimits,
        health: Health,
    ) -> Self {
        Self {
            surroundings,
            backends,
            limits,
            routes: HashMap::new(),
            flows: HashMap::new(),
            idle_looks: BinaryHeap::new(),
            run: Segments::new(usize::MAX),
            next_source: 0,
            complained_at: None,
            health,
            fast: None,
        }
    }

    /// The same where an XDP program of the inside is to know the flows.
    #[must_use]
    pub fn with_fast_flows(self, fast: Option<FastFlows>) -> Self {
        Self { fast, ..self }
    }

    fn open_flow(&mut self, now: Instant, id: LocalId) -> io::Result<()> {
        let no_route = || io::Error::other("the association has no route");
        let route = usize::from(*self.routes.get(&id).ok_or_else(no_route)?);
        let backend = self.backends.get(route).ok_or_else(no_route)?;
        if self.flows.len() >= self.limits.flows {
            return Err(io::Error::other("as many flows as limits.backend_flows allows are open"));
        }
        let source = match backend.sources.len() {
            0 => None,
            count => Some(backend.sources[self.next_source % count]),
        };
        self.next_source = self.next_source.wrapping_add(1);
        let channel = Channel::connect(backend.address, source)?;
        watch(self.surroundings.poll.as_fd(), channel.fd(), u64::from(id.value()))?;
        let mut flow =
            Flow { channel, backend: backend.address, local: None, route, active_at: now };
        if let Some(fast) = &mut self.fast {
            flow.local = Some(flow.channel.local_address()?);
            flow.key().into_iter().for_each(|key| fast.open(key, id));
        }
        self.flows.insert(id, flow);
        self.health[route].opened();
        self.idle_looks.push(Reverse((now + self.limits.idle, id)));
        Ok(())
    }

    fn close_flow(&mut self, id: LocalId) {
        // Closing the socket takes it out of epoll.
        if let Some(flow) = self.flows.remove(&id) {
            self.forget(&flow);
        }
    }

    /// Takes a flow that is being closed off the books.
    fn forget(&mut self, flow: &Flow) {
        self.health[flow.route].closed();
        if let (Some(fast), Some(key)) = (&mut self.fast, flow.key()) {
            fast.close(&key);
        }
    }

    fn complain(&mut self, now: Instant, error: &io::Error) {
        self.surroundings.counters.dropped(DropReason::FlowLimit);
        if self.complained_at.is_none_or(|at| now.duration_since(at) >= COMPLAIN_EVERY) {
            self.complained_at = Some(now);
            warn!(%error, "cannot open a backend flow; datagrams are dropped as flow_limit");
        }
    }
}

/// Sends a run to its flow's backend.
fn send(
    flows: &HashMap<LocalId, Flow>,
    surroundings: &Surroundings,
    health: &[BackendHealth],
    run: &Run<'_, LocalId>,
) {
    let flow = flows.get(run.to);
    let sent = match flow {
        Some(flow) => flow.channel.send_run(flow.backend, None, run),
        None => Err(io::ErrorKind::NotConnected.into()),
    };
    if let Err(error) = sent {
        if let Some(flow) = flow {
            health[flow.route].failed(run.count as u64);
        }
        debug!(%error, "a backend did not take {} datagrams", run.count);
        surroundings.counters.dropped_many(DropReason::InsideSend, run.count as u64);
    }
}

impl Inside for Forward {
    fn established(&mut self, _now: Instant, arrival: &Arrival) {
        self.routes.insert(arrival.id, arrival.route);
    }

    fn failed(&mut self, _request: u64, _reason: &str) {}

    fn replaced(&mut self, now: Instant, old: LocalId, new: LocalId) {
        self.flush();
        if let Some(route) = self.routes.remove(&old) {
            self.routes.insert(new, route);
        }
        // The backend sees the same source address, and so the same client.
        let Some(flow) = self.flows.remove(&old) else { return };
        let token = u64::from(new.value());
        if let Err(error) = watch_as(self.surroundings.poll.as_fd(), flow.channel.fd(), token) {
            self.forget(&flow);
            return self.complain(now, &error);
        }
        if let (Some(fast), Some(key)) = (&mut self.fast, flow.key()) {
            fast.hand_over(key, new);
        }
        self.idle_looks.push(Reverse((flow.active_at + self.limits.idle, new)));
        self.close_flow(new);
        self.flows.insert(new, flow);
    }

    fn closed(&mut self, _now: Instant, id: LocalId, _cause: CloseCause) {
        self.flush();
        self.routes.remove(&id);
        self.close_flow(id);
    }

    fn plaintext(&mut self, now: Instant, id: LocalId, plaintext: &[u8]) {
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.active_at = now;
        } else if let Err(error) = self.open_flow(now, id) {
            return self.complain(now, &error);
        }
        let (flows, surroundings, health) = (&self.flows, &self.surroundings, &*self.health);
        let room =
            self.run.room(&id, plaintext.len(), |run| send(flows, surroundings, health, &run));
        room.copy_from_slice(plaintext);
    }

    fn flush(&mut self) {
        let (flows, surroundings, health) = (&self.flows, &self.surroundings, &*self.health);
        self.run.flush(|run| send(flows, surroundings, health, &run));
    }

    fn receive(&mut self, token: Token, batch: &mut Batch) -> io::Result<()> {
        match self.association_at(token).and_then(|id| self.flows.get(&id)) {
            // ICMP said so: the backend has not taken what was sent earlier.
            Some(flow) => flow.channel.receive(batch).inspect_err(|_| {
                self.surroundings.counters.dropped(DropReason::InsideSend);
                self.health[flow.route].failed(1);
            }),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn owner(
        &mut self,
        now: Instant,
        token: Token,
        _from: SocketAddr,
        _datagram: &[u8],
    ) -> Option<LocalId> {
        let id = self.association_at(token)?;
        self.flows.get_mut(&id)?.active_at = now;
        Some(id)
    }

    fn owner_of(&mut self, now: Instant, flow: &FlowKey) -> Option<LocalId> {
        let id = self.fast.as_ref()?.owner(flow)?;
        self.flows.get_mut(&id)?.active_at = now;
        Some(id)
    }

    fn way_out(&mut self, now: Instant, id: LocalId) -> Option<FlowEnds> {
        let flow = self.flows.get_mut(&id)?;
        flow.active_at = now;
        flow.local.map(|local| FlowEnds { local, backend: flow.backend })
    }

    fn settle(&mut self, id: LocalId) {
        if self.run.is_to(&id) {
            self.flush();
        }
    }

    fn association_at(&self, token: Token) -> Option<LocalId> {
        u32::try_from(token).ok().and_then(LocalId::new)
    }

    fn reconfigure(&mut self, limits: FlowLimits) {
        self.limits = limits;
        let look = |(id, flow): (&LocalId, &Flow)| Reverse((flow.active_at + limits.idle, *id));
        self.idle_looks = self.flows.iter().map(look).collect();
    }

    fn deadline(&self) -> Option<Instant> {
        // A look may wait a little, so that many flows end in one sweep.
        self.idle_looks.peek().map(|Reverse((look, _))| *look + SWEEP_EVERY)
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(Reverse((look, id))) = self.idle_looks.peek().copied()
            && look <= now
        {
            self.idle_looks.pop();
            let Some(flow) = self.flows.get(&id) else { continue };
            let idle_at = flow.active_at + self.limits.idle;
            if idle_at <= now {
                self.close_flow(id);
            } else {
                self.idle_looks.push(Reverse((idle_at, id)));
            }
        }
    }
}
