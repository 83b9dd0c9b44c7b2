//! Handshakes that we answer.
//!
//! Nothing exists before a ClientHello whose cookie was judged good. From then on an association is
//! half-open until its worker has acknowledged the keys, or it has failed, or its time is up.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use xdtls_common::DropReason;
use xdtls_common::client_hello::{ClientHello, offers_extended_master_secret, rekey_token};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::id::{LocalId, PeerId};
use xdtls_common::record::{DTLS_1_2, RecordHeader, content_type};

use super::deadlines::Deadlines;
use super::hello_set::{HelloKey, HelloSet};
use super::overload::Overload;
use super::sources::{Sources, source_of};
use super::waiting::Waiting;
use super::{
    Action, Ended, Handshakes, Hello, Installation, Limits, Random, Replacement, RoutePolicy,
    Start, prefixed, refusal, timed_out,
};
use crate::alert;
use crate::endpoint::Endpoint;
use crate::engine::{AcceptEngine, PeerIdentity, Progress};
use crate::exchange::Exchange;
use crate::failure::{Failure, FailureClass};
use crate::filter::Filter;
use crate::ids::IdAllocator;
use crate::keys::Role;
use crate::policy::Refusal;
use crate::rekey::{AncestorLookup, replaced_id};

struct HalfOpen<E> {
    /// `None` once the keys are on their way to the worker.
    exchange: Option<Exchange<E>>,
    endpoint: Endpoint,
    peer: PeerId,
    /// The association that this one is to replace, for which its ClientHello had the token.
    replaces: Option<LocalId>,
    since: Instant,
    /// When the keys were sent to the worker.
    completed_at: Option<Instant>,
}

/// Handshakes that we answer.
pub struct Responders<A: AcceptEngine> {
    acceptor: A,
    limits: Limits,
    policy: RoutePolicy,
    ancestors: AncestorLookup,
    random: Random,
    ids: IdAllocator,
    half_open: HashMap<LocalId, HalfOpen<A::Engine>>,
    per_source: HashMap<IpAddr, usize>,
    sources: Sources,
    seen: HelloSet,
    deadlines: Deadlines,
    waiting: Waiting,
    overload: Overload,
    actions: VecDeque<Action>,
    draining: bool,
}

impl<A: AcceptEngine> Responders<A> {
    /// No handshake yet.
    pub fn new(
        acceptor: A,
        ids: IdAllocator,
        limits: Limits,
        policy: RoutePolicy,
        random: Random,
    ) -> Self {
        let (rate, burst) = (limits.rate_per_source, limits.burst_per_source);
        Self {
            sources: Sources::new(rate, burst, ids.slots()),
            acceptor,
            limits,
            policy,
            ancestors: Box::new(|_| None),
            random,
            ids,
            half_open: HashMap::new(),
            per_source: HashMap::new(),
            seen: HelloSet::default(),
            deadlines: Deadlines::default(),
            waiting: Waiting::default(),
            overload: Overload::default(),
            actions: VecDeque::new(),
            draining: false,
        }
    }

    /// Lets associations be replaced that `ancestors` finds.
    pub fn with_ancestors(mut self, ancestors: AncestorLookup) -> Self {
        self.ancestors = ancestors;
        self
    }

    /// Lets handshakes that begin from now on use these; those under way keep their engines.
    pub fn reconfigure(&mut self, acceptor: A, limits: Limits, policy: RoutePolicy) {
        self.sources.reconfigure(limits.rate_per_source, limits.burst_per_source);
        self.acceptor = acceptor;
        self.limits = limits;
        self.policy = policy;
    }

    /// Counts what others have dropped for us.
    pub(super) fn count(&mut self, reason: DropReason) {
        self.actions.push_back(Action::Count(reason));
    }

    /// What makes the engines of handshakes that begin now.
    pub fn acceptor(&self) -> &A {
        &self.acceptor
    }

    /// Begins no more handshakes; those under way go on.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    fn hello(&mut self, now: Instant, hello: &Hello) {
        if let Err(reason) = self.try_hello(now, hello) {
            self.actions.push_back(Action::Count(reason));
        }
    }

    fn try_hello(&mut self, now: Instant, hello: &Hello) -> Result<(), DropReason> {
        let (_, _, key) = parse(hello)?;
        if let Some(begun) = self.seen.find(&key) {
            return self.repeat(now, begun, hello);
        }
        if self.draining {
            return Err(DropReason::Draining);
        }
        if self.waiting.heard_again(now, &key) {
            return Ok(());
        }
        self.admit(now, hello.from.remote.ip())?;
        *self.per_source.entry(source_of(hello.from.remote.ip())).or_default() += 1;
        self.waiting.push(now, key, hello.clone());
        Ok(())
    }

    /// Lets one ClientHello have its turn, and those go that have waited too long.
    fn serve(&mut self, now: Instant) {
        let (age, waiting) = (self.waiting.age(now), self.waiting.len());
        let change = self.overload.hello_waits(now, age, waiting);
        self.actions.extend(change.map(Action::Overload));
        while let Some(hello) = self.waiting.pop_stale(now) {
            self.overload.shed();
            self.unused(hello.from.remote.ip());
            self.actions.push_back(Action::Count(DropReason::Overload));
        }
        if self.overload.hold_until(now).is_none()
            && let Some(hello) = self.waiting.pop()
            && let Err(reason) = self.begin(now, &hello)
        {
            self.unused(hello.from.remote.ip());
            self.actions.push_back(Action::Count(reason));
        }
    }

    /// A ClientHello that was let in has used no slot up.
    fn unused(&mut self, address: IpAddr) {
        self.sources.give_back(source_of(address));
        self.leave(address);
    }

    fn begin(&mut self, now: Instant, hello: &Hello) -> Result<(), DropReason> {
        let (parsed, peer, key) = parse(hello)?;
        if !offers_extended_master_secret(&parsed, &hello.datagram) {
            self.refuse_hello(hello, &parsed, alert::HANDSHAKE_FAILURE);
            return Err(DropReason::ExtendedMasterSecretMissing);
        }
        let replaces = match self.replaced(hello, &parsed) {
            Ok(replaces) => replaces,
            Err(reason) => {
                self.refuse_hello(hello, &parsed, alert::ACCESS_DENIED);
                return Err(reason);
            }
        };
        self.begin_engine(now, hello, &parsed, key, peer, replaces)
    }

    /// Tells the sender of a ClientHello, in clear, that nothing will come of it.
    fn refuse_hello(&mut self, hello: &Hello, parsed: &ClientHello, description: u8) {
        let refusal = epoch_0_alert(parsed.record_sequence, description);
        let datagram = prefixed(0, hello.client_id, &refusal);
        self.actions.push_back(Action::Transmit(hello.from, datagram));
    }

    /// Which association a ClientHello wants to replace, if any, and shows that it may.
    fn replaced(&self, hello: &Hello, parsed: &ClientHello) -> Result<Option<LocalId>, DropReason> {
        let Some(token) = rekey_token(parsed, &hello.datagram) else { return Ok(None) };
        let old = replaced_id(&token).ok_or(DropReason::RekeyToken)?;
        let ancestor = (self.ancestors)(old).ok_or(DropReason::RekeyToken)?;
        let good = ancestor.key.verifies(&token, &parsed.random);
        good.then_some(Some(old)).ok_or(DropReason::RekeyToken)
    }

    /// When a waiting ClientHello wants attention: at once, unless nothing may begin.
    fn next_turn(&self) -> Option<Instant> {
        let since = self.waiting.since()?;
        match self.overload.hold_until(since) {
            Some(until) => self.waiting.stale_at().map(|stale_at| stale_at.min(until)),
            None => Some(since),
        }
    }

    /// A repeat belongs to what the first has begun, if that is still going on.
    fn repeat(&mut self, now: Instant, begun: LocalId, hello: &Hello) -> Result<(), DropReason> {
        match self.half_open.get(&begun) {
            Some(half_open)
                if half_open.exchange.is_some()
                    && half_open.endpoint.remote == hello.from.remote =>
            {
                self.records(now, begun, &hello.datagram);
                Ok(())
            }
            _ => Err(DropReason::HandshakeReplayed),
        }
    }

    fn admit(&mut self, now: Instant, source: IpAddr) -> Result<(), DropReason> {
        let under_way = self.half_open.len() + self.waiting.len();
        if under_way >= self.limits.half_open || !self.seen.has_room(now) {
            return Err(DropReason::HalfOpenLimit);
        }
        let of_source = self.per_source.get(&source_of(source)).copied().unwrap_or(0);
        if of_source >= self.limits.half_open_per_source
            || !self.seen.has_room_for(source_of(source))
        {
            return Err(DropReason::SourceLimit);
        }
        if !self.sources.take(now, source_of(source)) {
            return Err(DropReason::SourceRate);
        }
        Ok(())
    }

    fn begin_engine(
        &mut self,
        now: Instant,
        hello: &Hello,
        parsed: &ClientHello,
        key: HelloKey,
        peer: PeerId,
        replaces: Option<LocalId>,
    ) -> Result<(), DropReason> {
        let allocated = match replaces {
            Some(old) => self.ids.allocate_in(self.ids.shard_of(old), &mut self.random),
            None => self.ids.allocate(&mut self.random),
        };
        let local = allocated.ok_or(DropReason::NoFreeId)?;
        self.seen.insert(now, key, local);
        let max_datagram = self.limits.max_datagram;
        let engine = match self.acceptor.accept(now, local, &hello.datagram, max_datagram) {
            Ok(engine) => engine,
            Err(failure) => {
                self.ids.release_unused(local);
                self.unused(hello.from.remote.ip());
                self.ended(Some(local), hello.from, now, now, Err(failure));
                return Ok(());
            }
        };
        // The engine has just taken the ClientHello's own record.
        let filter = Filter::new(parsed.record_sequence + 1, parsed.message_seq);
        let exchange = Some(Exchange::new(Role::Server, engine, filter));
        let (endpoint, completed_at) = (hello.from, None);
        let half_open = HalfOpen { exchange, endpoint, peer, replaces, since: now, completed_at };
        self.half_open.insert(local, half_open);
        self.actions.push_back(Action::Reserve(local, Some(peer)));
        self.pump(now, local);
        Ok(())
    }

    fn records(&mut self, now: Instant, local: LocalId, records: &[u8]) {
        let actions = &mut self.actions;
        if let Some(exchange) = self.half_open.get_mut(&local).and_then(|h| h.exchange.as_mut()) {
            exchange.receive(now, records, &mut |reason| actions.push_back(Action::Count(reason)));
            self.pump(now, local);
        }
    }

    /// Sends what the engine wrote and follows its progress.
    fn pump(&mut self, now: Instant, local: LocalId) {
        let Some(half_open) = self.half_open.get_mut(&local) else { return };
        let Some(exchange) = half_open.exchange.as_mut() else { return };
        while let Some(records) = exchange.poll_transmit() {
            let datagram = prefixed(local.value(), half_open.peer.value(), &records);
            self.actions.push_back(Action::Transmit(half_open.endpoint, datagram));
        }
        match exchange.progress() {
            Progress::Pending => {
                let end = half_open.since + self.limits.deadline;
                let next = exchange.deadline(now).map_or(end, |deadline| deadline.min(end));
                self.deadlines.set(local, Some(next));
            }
            Progress::Failed(failure) => self.fail(now, local, failure),
            Progress::Complete => self.complete(now, local),
        }
    }

    fn complete(&mut self, now: Instant, local: LocalId) {
        self.deadlines.set(local, None);
        let Some(half_open) = self.half_open.get_mut(&local) else { return };
        let Some(exchange) = half_open.exchange.take() else { return };
        half_open.completed_at = Some(now);
        let (endpoint, peer, replaces) = (half_open.endpoint, half_open.peer, half_open.replaces);
        let mut taken_over = match exchange.take_over() {
            Ok(taken_over) => taken_over,
            Err(failure) => return self.fail(now, local, failure),
        };
        let route = match self.route(&taken_over.identity, replaces) {
            Ok(route) => route,
            Err(refused) => {
                self.actions.extend(refusal(local, endpoint, peer, &mut taken_over, refused));
                return self.fail(now, local, refused.of(&taken_over.identity));
            }
        };
        let installation = Installation {
            local,
            peer,
            endpoint,
            token: None,
            replaces,
            route,
            opener: taken_over.identity.spki_sha256,
            role: Role::Server,
            taken_over,
        };
        self.actions.push_back(Action::Install(Box::new(installation)));
    }

    /// Where an identity leads. What replaces an association leads where that does, if both are of
    /// one identity and policy still admits it.
    fn route(&self, identity: &PeerIdentity, replaces: Option<LocalId>) -> Result<u16, Refusal> {
        let route = (self.policy)(identity)?;
        // If the old association has ended meanwhile, the worker sees to it.
        match replaces.and_then(|old| (self.ancestors)(old)) {
            None => Ok(route),
            Some(ancestor) if *ancestor.identity == *identity => Ok(ancestor.route),
            Some(_) => Err(Refusal::ReplacesAnother),
        }
    }

    fn fail(&mut self, now: Instant, local: LocalId, failure: Failure) {
        let Some(half_open) = self.half_open.get(&local) else { return };
        let (since, endpoint) = (half_open.since, half_open.endpoint);
        self.forget(local);
        self.actions.push_back(Action::Rest(local));
        self.ids.release(now, local);
        self.ended(Some(local), endpoint, since, now, Err(failure));
    }

    fn forget(&mut self, local: LocalId) {
        self.deadlines.set(local, None);
        let Some(half_open) = self.half_open.remove(&local) else { return };
        self.leave(half_open.endpoint.remote.ip());
    }

    /// One fewer of this address waits or is half-open.
    fn leave(&mut self, address: IpAddr) {
        let source = source_of(address);
        if let Some(count) = self.per_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.per_source.remove(&source);
            }
        }
    }

    /// A wish that this node cannot fulfil.
    fn only_answers(&mut self, remote: SocketAddr, token: Option<u64>, replaces: Option<LocalId>) {
        let failure = FailureClass::Internal.because("this node only answers");
        let (local, took, outcome) = (None, Duration::ZERO, Err(failure));
        let ended = Ended { local, token, replaces, remote, took, outcome };
        self.actions.push_back(Action::Ended(ended));
    }

    fn ended(
        &mut self,
        local: Option<LocalId>,
        peer: Endpoint,
        since: Instant,
        now: Instant,
        outcome: Result<(), Failure>,
    ) {
        let took = now.duration_since(since);
        let remote = peer.remote;
        let (token, replaces) = (None, None);
        let ended = Ended { local, token, replaces, remote, took, outcome };
        self.actions.push_back(Action::Ended(ended));
    }
}

impl<A: AcceptEngine> Handshakes for Responders<A> {
    fn begin(&mut self, since: Instant, start: Start) {
        match start {
            Start::Answer(hello) => self.hello(since, &hello),
            Start::Open(Endpoint { remote, .. }, token) => {
                self.only_answers(remote, Some(token), None);
            }
            Start::Replace(Replacement { old, endpoint, .. }) => {
                self.only_answers(endpoint.remote, None, Some(old));
            }
        }
    }

    fn datagram(&mut self, now: Instant, local: LocalId, from: Endpoint, datagram: Vec<u8>) {
        let Some(half_open) = self.half_open.get(&local) else {
            return self.actions.push_back(Action::Count(DropReason::Closed));
        };
        if half_open.endpoint.remote != from.remote {
            return self.actions.push_back(Action::Count(DropReason::HalfOpenAddress));
        }
        if half_open.exchange.is_none() {
            return self.actions.push_back(Action::Forward(local, from, datagram));
        }
        self.records(now, local, datagram.get(8..).unwrap_or_default());
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(local) = self.ids.poll_rested(now) {
            self.actions.push_back(Action::Forget(local));
        }
        while let Some(local) = self.deadlines.pop_expired(now) {
            let Some(half_open) = self.half_open.get_mut(&local) else { continue };
            let Some(exchange) = half_open.exchange.as_mut() else { continue };
            if now.duration_since(half_open.since) >= self.limits.deadline {
                let failure = timed_out(half_open.since, now, exchange.alert_seen());
                self.fail(now, local, failure);
                continue;
            }
            exchange.handle_timeout(now);
            self.pump(now, local);
        }
        self.actions.extend(self.overload.expire(now).map(Action::Overload));
        self.serve(now);
    }

    fn acknowledge(&mut self, now: Instant, local: LocalId) {
        if let Some(half_open) = self.half_open.get(&local) {
            let (since, endpoint) = (half_open.since, half_open.endpoint);
            let lag = half_open.completed_at.map(|at| now.saturating_duration_since(at));
            self.sources.give_back(source_of(endpoint.remote.ip()));
            self.forget(local);
            let (age, waiting) = (self.waiting.age(now), self.waiting.len());
            let change = self.overload.worker_answers(now, lag.unwrap_or_default(), age, waiting);
            self.actions.extend(change.map(Action::Overload));
            self.ended(Some(local), endpoint, since, now, Ok(()));
        }
    }

    fn release(&mut self, now: Instant, local: LocalId) {
        self.forget(local);
        self.ids.release(now, local);
    }

    fn half_open(&self) -> usize {
        self.half_open.len()
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        let next = [self.deadlines.next(), self.ids.deadline(), self.overload.deadline()];
        next.into_iter().chain([self.next_turn()]).flatten().min()
    }
}

fn parse(hello: &Hello) -> Result<(ClientHello, PeerId, HelloKey), DropReason> {
    let peer = PeerId::new(hello.client_id).ok_or(DropReason::WrongPeerId)?;
    let parsed = ClientHello::parse(&mut SliceCursor::new(&hello.datagram))
        .map_err(|_| DropReason::MalformedClientHello)?;
    let key =
        HelloKey { remote: hello.from.remote, client_id: hello.client_id, random: parsed.random };
    Ok((parsed, peer, key))
}

fn epoch_0_alert(sequence: u64, description: u8) -> Vec<u8> {
    let header = RecordHeader {
        content_type: content_type::ALERT,
        version: DTLS_1_2,
        epoch: 0,
        sequence,
        length: 2,
    };
    [&header.encode()[..], &[alert::FATAL, description]].concat()
}
