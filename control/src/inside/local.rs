//! Local programs: one UDP port on loopback, one association for each program that sends to it,
//! as `ssh -L` does for TCP. A program is its source address and port.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use tracing::{info, warn};
use xdtls_common::DropReason;
use xdtls_common::id::LocalId;
use xdtls_proto::association::CloseCause;

use super::{Arrival, Inside, Request, Surroundings, Token, watch};
use crate::datapath::segments::{Run, Segments};
use crate::datapath::socket::{Batch, Channel};

/// The token of the one socket.
const PORT: Token = 0;

/// Datagrams of one program that wait while its association opens.
const MAX_QUEUED: usize = 16;

/// How often idle programs are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What bounds local programs.
#[derive(Clone, Copy, Debug)]
pub struct LocalLimits {
    /// Programs at a time.
    pub programs: usize,
    /// A program without traffic for so long loses its association.
    pub idle: Duration,
}

enum State {
    /// An association has been requested; what was sent meanwhile waits.
    Opening(VecDeque<Vec<u8>>),
    Open(LocalId),
}

struct Program {
    state: State,
    active_at: Instant,
}

/// The inside of the client.
pub struct Local {
    surroundings: Surroundings,
    port: Channel,
    limits: LocalLimits,
    programs: HashMap<SocketAddr, Program>,
    by_id: HashMap<LocalId, SocketAddr>,
    by_request: HashMap<u64, SocketAddr>,
    requests: VecDeque<Request>,
    /// Queued datagrams of associations that have just been established.
    released: VecDeque<(LocalId, Vec<u8>)>,
    next_request: u64,
    run: Segments<SocketAddr>,
    next_sweep: Option<Instant>,
}

impl Local {
    /// Offers `port`, which becomes readable through the worker's epoll descriptor.
    pub fn new(surroundings: Surroundings, port: Channel, limits: LocalLimits) -> io::Result<Self> {
        watch(surroundings.poll.as_fd(), port.fd(), PORT)?;
        Ok(Self {
            surroundings,
            run: Segments::new(port.max_segments()),
            port,
            limits,
            programs: HashMap::new(),
            by_id: HashMap::new(),
            by_request: HashMap::new(),
            requests: VecDeque::new(),
            released: VecDeque::new(),
            next_request: 0,
            next_sweep: None,
        })
    }

    fn request(&mut self, from: SocketAddr) {
        let request = self.next_request;
        self.next_request += 1;
        self.by_request.insert(request, from);
        self.requests.push_back(Request::Open(request));
    }

    fn begin(&mut self, now: Instant, from: SocketAddr, first: &[u8]) {
        if self.programs.len() >= self.limits.programs {
            return self.surroundings.counters.dropped(DropReason::LocalLimit);
        }
        self.request(from);
        let state = State::Opening([first.to_vec()].into());
        self.programs.insert(from, Program { state, active_at: now });
        self.next_sweep.get_or_insert(now + SWEEP_EVERY);
    }
}

fn send(port: &Channel, surroundings: &Surroundings, run: &Run<'_, SocketAddr>) {
    if port.send_run(*run.to, None, run).is_err() {
        surroundings.counters.dropped_many(DropReason::InsideSend, run.count as u64);
    }
}

impl Inside for Local {
    fn established(&mut self, _now: Instant, arrival: &Arrival) {
        let id = arrival.id;
        let from = arrival.request.and_then(|request| self.by_request.remove(&request));
        let program = from.and_then(|from| Some((from, self.programs.get_mut(&from)?)));
        // A program that is gone by now does not need its association any more.
        let Some((from, program)) = program else {
            return self.requests.push_back(Request::Close(id));
        };
        if let State::Opening(queued) = std::mem::replace(&mut program.state, State::Open(id)) {
            self.released.extend(queued.into_iter().map(|datagram| (id, datagram)));
        }
        self.by_id.insert(id, from);
    }

    fn failed(&mut self, request: u64, reason: &str) {
        let Some(from) = self.by_request.remove(&request) else { return };
        let Some(program) = self.programs.remove(&from) else { return };
        warn!(reason, "cannot open an association; the program's next datagram tries again");
        if let State::Opening(queued) = program.state {
            let counters = &self.surroundings.counters;
            counters.dropped_many(DropReason::ConnectFailed, queued.len() as u64);
        }
    }

    fn replaced(&mut self, _now: Instant, old: LocalId, new: LocalId) {
        let Some(from) = self.by_id.remove(&old) else { return };
        if let Some(program) = self.programs.get_mut(&from) {
            program.state = State::Open(new);
        }
        self.by_id.insert(new, from);
    }

    fn closed(&mut self, now: Instant, id: LocalId, cause: CloseCause) {
        let Some(from) = self.by_id.remove(&id) else { return };
        if cause == CloseCause::Dead {
            info!("the gateway has stopped answering: connecting again");
            self.request(from);
            let state = State::Opening(VecDeque::new());
            self.programs.insert(from, Program { state, active_at: now });
        } else {
            self.programs.remove(&from);
        }
    }

    fn plaintext(&mut self, now: Instant, id: LocalId, plaintext: &[u8]) {
        let Some(to) = self.by_id.get(&id) else {
            return self.surroundings.counters.dropped(DropReason::Closed);
        };
        if let Some(program) = self.programs.get_mut(to) {
            program.active_at = now;
        }
        let (port, surroundings) = (&self.port, &self.surroundings);
        let room = self.run.room(to, plaintext.len(), |run| send(port, surroundings, &run));
        room.copy_from_slice(plaintext);
    }

    fn flush(&mut self) {
        let (port, surroundings) = (&self.port, &self.surroundings);
        self.run.flush(|run| send(port, surroundings, &run));
    }

    fn receive(&mut self, _token: Token, batch: &mut Batch) -> io::Result<()> {
        self.port.receive(batch)
    }

    fn owner(
        &mut self,
        now: Instant,
        _token: Token,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<LocalId> {
        let Some(program) = self.programs.get_mut(&from) else {
            self.begin(now, from, datagram);
            return None;
        };
        program.active_at = now;
        match &mut program.state {
            State::Open(id) => return Some(*id),
            State::Opening(queued) if queued.len() < MAX_QUEUED => {
                queued.push_back(datagram.to_vec());
            }
            State::Opening(_) => {
                self.surroundings.counters.dropped(DropReason::ConnectQueueFull);
            }
        }
        None
    }

    fn poll_released(&mut self) -> Option<(LocalId, Vec<u8>)> {
        self.released.pop_front()
    }

    fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        self.next_sweep
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.next_sweep.is_none_or(|sweep| sweep > now) {
            return;
        }
        let idle = self.limits.idle;
        for program in self.programs.values() {
            if let State::Open(id) = program.state
                && program.active_at + idle <= now
            {
                self.requests.push_back(Request::Close(id));
            }
        }
        self.next_sweep = (!self.programs.is_empty()).then_some(now + SWEEP_EVERY);
    }
}
