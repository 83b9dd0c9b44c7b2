//! Handshakes that we open.
//!
//! One wish for an association may take several attempts. An engine cannot follow several servers
//! at once, so an attempt follows the first server id that answers; a forged answer costs that
//! attempt, never the wish: on failure, or after two retransmissions that brought nothing new, the
//! attempt is thrown away and the next begins with a new id, until the wish's deadline. Once our
//! Finished is out, it takes four.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use xdtls_common::DropReason;
use xdtls_common::client_hello::CLIENT_HELLO;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::id::{LocalId, PeerId};
use xdtls_common::prefix::{PREFIX_LEN, Prefix};
use xdtls_common::record::{HEADER_LEN, RecordHeader, content_type};

use super::deadlines::Deadlines;
use super::{
    Action, Ended, Handshakes, Installation, Limits, Random, Replacement, RoutePolicy, Start,
    jittered, prefixed, refusal, timed_out,
};
use crate::endpoint::Endpoint;
use crate::engine::{ConnectEngine, PeerIdentity, Progress};
use crate::exchange::Exchange;
use crate::failure::{Failure, FailureClass};
use crate::filter::Filter;
use crate::ids::IdAllocator;
use crate::keys::Role;
use crate::policy::Refusal;
use crate::rekey::{AncestorLookup, Replaces};

/// Retransmissions without anything new from a server that has answered, before the next attempt.
const SILENT_TIMEOUTS: u32 = 2;

/// The same once our Finished is out. By then the server has proved who it is, so that nobody has
/// led us astray, and it may have completed: whoever gives up now leaves it with an association
/// that nobody uses.
const SILENT_TIMEOUTS_AFTER_FINISHED: u32 = 4;

/// How many more it takes at most for a later attempt. Each waits for one more than that before it:
/// what one forged answer costs stays small, and where datagrams are lost and nobody forges, patience
/// grows until an attempt comes to its end.
const SILENT_TIMEOUTS_GROWTH: u32 = 4;

/// How long the first failed attempt delays the next, give or take half; each further one doubles
/// it.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// What somebody wants, whatever attempts it takes.
struct Wish {
    endpoint: Endpoint,
    token: Option<u64>,
    /// The association that is to be replaced, and what shows that it is ours.
    replaces: Option<(LocalId, Replaces)>,
    since: Instant,
    failed_attempts: u32,
    last_failure: Option<Failure>,
    /// Whether it has been put off once already.
    deferred: bool,
}

impl Wish {
    fn new(now: Instant, endpoint: Endpoint) -> Self {
        let (token, replaces, failed_attempts, last_failure) = (None, None, 0, None);
        let deferred = false;
        Self { endpoint, token, replaces, since: now, failed_attempts, last_failure, deferred }
    }
}

/// How far an attempt has come.
enum Stage<E> {
    /// Another attempt has failed a moment ago.
    Waiting,
    Exchanging {
        exchange: Exchange<E>,
        /// Whom this attempt follows; not committed before the Finished has verified.
        server: Option<PeerId>,
        messages_seen: u32,
        silent_timeouts: u32,
    },
    /// The keys are on their way to the worker.
    Installing,
}

struct Opening<E> {
    wish: Wish,
    stage: Stage<E>,
}

impl<E> Opening<E> {
    fn is_installing(&self) -> bool {
        matches!(self.stage, Stage::Installing)
    }
}

/// Handshakes that we open.
pub struct Initiators<C: ConnectEngine> {
    connector: C,
    limits: Limits,
    random: Random,
    ids: IdAllocator,
    opening: HashMap<LocalId, Opening<C::Engine>>,
    deadlines: Deadlines,
    actions: VecDeque<Action>,
    /// Addresses of the same peer, tried in turn; the one that has answered last is the first.
    addresses: VecDeque<Endpoint>,
    policy: Option<RoutePolicy>,
    /// SHA-256 of our own SubjectPublicKeyInfo, where we might meet ourselves.
    own_key: Option<[u8; 32]>,
    ancestors: AncestorLookup,
}

impl<C: ConnectEngine> Initiators<C> {
    /// No handshake yet.
    pub fn new(connector: C, ids: IdAllocator, limits: Limits, random: Random) -> Self {
        Self {
            connector,
            limits,
            random,
            ids,
            opening: HashMap::new(),
            deadlines: Deadlines::default(),
            actions: VecDeque::new(),
            addresses: VecDeque::new(),
            policy: None,
            own_key: None,
            ancestors: Box::new(|_| None),
        }
    }

    /// Asks `policy` where the responder's identity leads; without, everything that the engine has
    /// verified leads to route 0.
    pub fn with_policy(mut self, policy: RoutePolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Refuses a responder with this key: the address leads back to this node.
    pub(super) fn with_own_key(mut self, spki_sha256: [u8; 32]) -> Self {
        self.own_key = Some(spki_sha256);
        self
    }

    /// Lets attempts that begin from now on use another engine and ask another policy.
    pub(super) fn reconfigure(
        &mut self,
        connector: C,
        limits: Limits,
        policy: RoutePolicy,
        own_key: [u8; 32],
    ) {
        self.connector = connector;
        self.limits = limits;
        self.policy = Some(policy);
        self.own_key = Some(own_key);
    }

    /// When the oldest wish for something new was made that nothing has come of yet.
    pub(super) fn opening_since(&self) -> Option<Instant> {
        let new = |opening: &&Opening<_>| opening.wish.replaces.is_none();
        let open = self.opening.values().filter(new).filter(|opening| !opening.is_installing());
        open.map(|opening| opening.wish.since).min()
    }

    /// Whether a datagram for this id is ours.
    pub(super) fn knows(&self, local: LocalId) -> bool {
        self.opening.contains_key(&local)
    }

    /// Whether this is an address of the peer.
    pub(super) fn leads_to(&self, remote: SocketAddr) -> bool {
        let canonical = |address: SocketAddr| (address.ip().to_canonical(), address.port());
        self.addresses.iter().any(|endpoint| canonical(endpoint.remote) == canonical(remote))
    }

    /// Puts off what no responder has answered yet until `until`: no wish more than once, whoever
    /// asks how often, and none beyond its deadline.
    pub(super) fn defer(&mut self, now: Instant, until: Instant) {
        let may_wait = |opening: &Opening<C::Engine>| {
            let unanswered = matches!(opening.stage, Stage::Exchanging { server: None, .. });
            unanswered && opening.wish.replaces.is_none() && !opening.wish.deferred
        };
        let ids = self.opening.iter().filter(|(_, opening)| may_wait(opening)).map(|(id, _)| *id);
        for local in ids.collect::<Vec<_>>() {
            let Some(mut wish) = self.discard(now, local) else { continue };
            wish.deferred = true;
            let end = wish.since + self.limits.deadline;
            self.schedule(now, wish, until.min(end));
        }
    }

    /// Gives up a wish, without a word to whoever has made it. What is complete stays.
    pub(super) fn cancel(&mut self, now: Instant, token: u64) {
        let wished = |opening: &Opening<C::Engine>| {
            opening.wish.token == Some(token) && !opening.is_installing()
        };
        let ids = self.opening.iter().filter(|(_, opening)| wished(opening)).map(|(id, _)| *id);
        for local in ids.collect::<Vec<_>>() {
            self.discard(now, local);
        }
    }

    /// Makes known that these are addresses of one peer: a wish for any of them tries all in turn,
    /// and gives up on one sooner that answers nothing.
    pub fn with_addresses(mut self, addresses: impl IntoIterator<Item = Endpoint>) -> Self {
        self.addresses = addresses.into_iter().collect();
        self
    }

    /// Lets associations be replaced for which `ancestors` finds what has to be shown for that.
    pub fn with_ancestors(mut self, ancestors: AncestorLookup) -> Self {
        self.ancestors = ancestors;
        self
    }

    fn open(&mut self, now: Instant, endpoint: Endpoint, token: u64) {
        let known = self.addresses.contains(&endpoint);
        let endpoint = self.addresses.front().filter(|_| known).copied().unwrap_or(endpoint);
        self.wish(now, Wish { token: Some(token), ..Wish::new(now, endpoint) });
    }

    fn replace(&mut self, now: Instant, Replacement { old, peer, endpoint }: Replacement) {
        let Some(ancestor) = (self.ancestors)(old) else {
            // It has ended meanwhile, and whoever waits for its successor with it.
            return;
        };
        let replaces = Some((old, Replaces { peer, key: ancestor.key }));
        self.wish(now, Wish { replaces, ..Wish::new(now, endpoint) });
    }

    fn wish(&mut self, now: Instant, wish: Wish) {
        if self.opening.len() >= self.limits.half_open {
            self.actions.push_back(Action::Count(DropReason::HalfOpenLimit));
            let failure = FailureClass::Limit.because("too many are opening already");
            return self.ended(None, &wish, now, Err(failure));
        }
        if let Some(local) = self.schedule(now, wish, now) {
            self.begin(now, local);
        }
    }

    /// Gives the wish a new id and lets its next attempt begin at `at`.
    fn schedule(&mut self, now: Instant, wish: Wish, at: Instant) -> Option<LocalId> {
        let allocated = match &wish.replaces {
            Some((old, _)) => self.ids.allocate_in(self.ids.shard_of(*old), &mut self.random),
            None => self.ids.allocate(&mut self.random),
        };
        let Some(local) = allocated else {
            self.actions.push_back(Action::Count(DropReason::NoFreeId));
            self.ended(None, &wish, now, Err(FailureClass::Limit.because("no id is free")));
            return None;
        };
        self.opening.insert(local, Opening { wish, stage: Stage::Waiting });
        self.deadlines.set(local, Some(at));
        Some(local)
    }

    fn begin(&mut self, now: Instant, local: LocalId) {
        let Some(opening) = self.opening.get_mut(&local) else { return };
        let replaces = opening.wish.replaces.as_ref().map(|(_, replaces)| replaces);
        let engine = match self.connector.connect(now, self.limits.max_datagram, replaces) {
            Ok(engine) => engine,
            Err(failure) => return self.give_up(now, local, failure),
        };
        opening.stage = Stage::Exchanging {
            exchange: Exchange::new(Role::Client, engine, Filter::new(0, 0)),
            server: None,
            messages_seen: 0,
            silent_timeouts: 0,
        };
        self.actions.push_back(Action::Reserve(local, None));
        self.pump(now, local);
    }

    fn try_datagram(
        &mut self,
        now: Instant,
        local: LocalId,
        from: Endpoint,
        datagram: Vec<u8>,
    ) -> Result<(), DropReason> {
        let opening = self.opening.get_mut(&local).ok_or(DropReason::Closed)?;
        if opening.wish.endpoint.remote != from.remote {
            return Err(DropReason::HalfOpenAddress);
        }
        let (exchange, server, messages_seen, silent_timeouts) = match &mut opening.stage {
            Stage::Waiting => return Err(DropReason::Closed),
            Stage::Installing => {
                self.actions.push_back(Action::Forward(local, from, datagram));
                return Ok(());
            }
            Stage::Exchanging { exchange, server, messages_seen, silent_timeouts } => {
                (exchange, server, messages_seen, silent_timeouts)
            }
        };
        let prefix =
            Prefix::parse(&mut SliceCursor::new(&datagram)).map_err(|_| DropReason::TooShort)?;
        match (*server, PeerId::new(prefix.sender)) {
            (Some(followed), sender) if sender != Some(followed) => {
                return Err(DropReason::WrongPeerId);
            }
            _ => {}
        }
        let actions = &mut self.actions;
        let records = datagram.get(PREFIX_LEN..).unwrap_or_default();
        exchange.receive(now, records, &mut |reason| actions.push_back(Action::Count(reason)));
        if exchange.messages_seen() > *messages_seen {
            *messages_seen = exchange.messages_seen();
            *silent_timeouts = 0;
            // Without an id: the HelloVerifyRequest of a server that keeps no state.
            *server = PeerId::new(prefix.sender);
        }
        self.pump(now, local);
        Ok(())
    }

    fn due(&mut self, now: Instant, local: LocalId) {
        let Some(opening) = self.opening.get_mut(&local) else { return };
        let out_of_time = now.duration_since(opening.wish.since) >= self.limits.deadline;
        match &mut opening.stage {
            Stage::Installing => {}
            Stage::Waiting if out_of_time => {
                let failure = timed_out(opening.wish.since, now, None);
                self.give_up(now, local, failure);
            }
            Stage::Waiting => self.begin(now, local),
            Stage::Exchanging { exchange, .. } if out_of_time => {
                let failure = timed_out(opening.wish.since, now, exchange.alert_seen());
                self.give_up(now, local, failure);
            }
            Stage::Exchanging { exchange, messages_seen, silent_timeouts, .. } => {
                if exchange.deadline(now).is_some_and(|deadline| deadline <= now) {
                    *silent_timeouts += 1;
                }
                let patience = if exchange.finished_sent() {
                    SILENT_TIMEOUTS_AFTER_FINISHED
                } else {
                    SILENT_TIMEOUTS
                };
                // Nobody is behind an address that has never answered, whatever is lost.
                let failed_attempts =
                    if *messages_seen > 0 { opening.wish.failed_attempts } else { 0 };
                let patience = patience + failed_attempts.min(SILENT_TIMEOUTS_GROWTH);
                let elsewhere = opening.wish.replaces.is_none() && self.addresses.len() > 1;
                let may_move_on = *messages_seen > 0 || elsewhere;
                if may_move_on && *silent_timeouts >= patience {
                    let failure = fell_silent(exchange.alert_seen());
                    return self.retry(now, local, failure);
                }
                exchange.handle_timeout(now);
                self.pump(now, local);
            }
        }
    }

    fn pump(&mut self, now: Instant, local: LocalId) {
        let Some(opening) = self.opening.get_mut(&local) else { return };
        let Stage::Exchanging { exchange, server, .. } = &mut opening.stage else { return };
        while let Some(records) = exchange.poll_transmit() {
            // A repeated ClientHello is for whoever answers it: it must not name an id.
            let receiver = match server {
                Some(server) if !is_client_hello(&records) => server.value(),
                _ => 0,
            };
            let datagram = prefixed(local.value(), receiver, &records);
            self.actions.push_back(Action::Transmit(opening.wish.endpoint, datagram));
        }
        match exchange.progress() {
            Progress::Pending => {
                let end = opening.wish.since + self.limits.deadline;
                let next = exchange.deadline(now).map_or(end, |deadline| deadline.min(end));
                self.deadlines.set(local, Some(next));
            }
            Progress::Failed(failure) => self.retry(now, local, failure),
            Progress::Complete => self.complete(now, local),
        }
    }

    fn complete(&mut self, now: Instant, local: LocalId) {
        self.deadlines.set(local, None);
        let Some(opening) = self.opening.get_mut(&local) else { return };
        let stage = std::mem::replace(&mut opening.stage, Stage::Installing);
        let Stage::Exchanging { exchange, server, .. } = stage else { return };
        let replaces = opening.wish.replaces.as_ref().map(|(old, _)| *old);
        let completed = exchange.take_over().and_then(|taken_over| {
            let no_id = || FailureClass::Protocol.because("the server has given no id");
            // Whoever is on the way can alter a prefix, but not what Finished vouches for.
            let peer = taken_over.answerer.or(server).ok_or_else(no_id)?;
            if replaces.is_some() && !taken_over.replaces {
                let reason = "the server does not let one association replace another";
                return Err(FailureClass::NothingInCommon.because(reason));
            }
            Ok((taken_over, peer))
        });
        match completed {
            Err(failure) => self.retry(now, local, failure),
            Ok((mut taken_over, peer)) => {
                let admitted = admit(&taken_over.identity, self.own_key, self.policy.as_ref());
                let route = match admitted {
                    Ok(route) => route,
                    Err(refused) => {
                        let to = opening.wish.endpoint;
                        self.actions.extend(refusal(local, to, peer, &mut taken_over, refused));
                        return self.give_up(now, local, refused.of(&taken_over.identity));
                    }
                };
                let installation = Installation {
                    local,
                    peer,
                    endpoint: opening.wish.endpoint,
                    token: opening.wish.token,
                    replaces,
                    route,
                    opener: self.own_key.unwrap_or_default(),
                    role: Role::Client,
                    taken_over,
                };
                self.actions.push_back(Action::Install(Box::new(installation)));
            }
        }
    }

    /// Throws the attempt away; the next begins a little later under another id.
    fn retry(&mut self, now: Instant, local: LocalId, failure: Failure) {
        let Some(mut wish) = self.discard(now, local) else { return };
        let delay = jittered(RETRY_DELAY * (1 << wish.failed_attempts.min(6)), (self.random)());
        wish.failed_attempts += 1;
        // Another address may be another machine, which knows nothing of the old association.
        if wish.replaces.is_none()
            && let Some(place) = self.addresses.iter().position(|address| *address == wish.endpoint)
            && let Some(next) = self.addresses.iter().cycle().nth(place + 1)
        {
            wish.endpoint = *next;
        }
        self.actions.push_back(Action::Retrying(failure.clone()));
        wish.last_failure = Some(failure);
        let end = wish.since + self.limits.deadline;
        self.schedule(now, wish, end.min(now + delay));
    }

    fn give_up(&mut self, now: Instant, local: LocalId, mut failure: Failure) {
        let Some(wish) = self.discard(now, local) else { return };
        if let Some(last) = &wish.last_failure {
            failure.reason = format!("{failure}; the last attempt failed: {last}");
        }
        self.ended(Some(local), &wish, now, Err(failure));
    }

    fn discard(&mut self, now: Instant, local: LocalId) -> Option<Wish> {
        let opening = self.opening.remove(&local)?;
        self.deadlines.set(local, None);
        self.actions.push_back(Action::Rest(local));
        self.ids.release(now, local);
        Some(opening.wish)
    }

    fn ended(
        &mut self,
        local: Option<LocalId>,
        wish: &Wish,
        now: Instant,
        outcome: Result<(), Failure>,
    ) {
        let (token, remote) = (wish.token, wish.endpoint.remote);
        let replaces = wish.replaces.as_ref().map(|(old, _)| *old);
        let took = now.duration_since(wish.since);
        let ended = Ended { local, token, replaces, remote, took, outcome };
        self.actions.push_back(Action::Ended(ended));
    }
}

impl<C: ConnectEngine> Handshakes for Initiators<C> {
    fn begin(&mut self, now: Instant, start: Start) {
        match start {
            Start::Open(endpoint, token) => self.open(now, endpoint, token),
            Start::Replace(replacement) => self.replace(now, replacement),
            // A node that only opens has no cookie secrets: nothing could have judged this hello.
            Start::Answer(_) => self.actions.push_back(Action::Count(DropReason::UnknownId)),
        }
    }

    fn datagram(&mut self, now: Instant, local: LocalId, from: Endpoint, datagram: Vec<u8>) {
        if let Err(reason) = self.try_datagram(now, local, from, datagram) {
            self.actions.push_back(Action::Count(reason));
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(local) = self.ids.poll_rested(now) {
            self.actions.push_back(Action::Forget(local));
        }
        while let Some(local) = self.deadlines.pop_expired(now) {
            self.due(now, local);
        }
    }

    fn acknowledge(&mut self, now: Instant, local: LocalId) {
        if let Some(opening) = self.opening.remove(&local) {
            let works = opening.wish.endpoint;
            if let Some(place) = self.addresses.iter().position(|address| *address == works) {
                self.addresses.rotate_left(place);
            }
            self.ended(Some(local), &opening.wish, now, Ok(()));
        }
    }

    fn release(&mut self, now: Instant, local: LocalId) {
        self.opening.remove(&local);
        self.ids.release(now, local);
    }

    fn half_open(&self) -> usize {
        self.opening.len()
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        [self.deadlines.next(), self.ids.deadline()].into_iter().flatten().min()
    }
}

/// Where a responder leads that has proved who it is.
fn admit(
    identity: &PeerIdentity,
    own_key: Option<[u8; 32]>,
    policy: Option<&RoutePolicy>,
) -> Result<u16, Refusal> {
    if own_key == Some(identity.spki_sha256) {
        return Err(Refusal::OurOwn);
    }
    policy.map_or(Ok(0), |policy| policy(identity))
}

/// An attempt that brought nothing new. The alert may explain the whole failure, as a
/// server that refuses says so once and then keeps silent.
fn fell_silent(alert_seen: Option<u8>) -> Failure {
    FailureClass::Silent.because(match alert_seen {
        None => "the server fell silent".to_owned(),
        Some(alert) => {
            format!("the server fell silent; an unauthenticated alert {alert} was seen")
        }
    })
}

/// Whether a datagram of ours, without prefix, begins with a ClientHello.
fn is_client_hello(records: &[u8]) -> bool {
    let epoch_0_handshake =
        |header: &RecordHeader| header.epoch == 0 && header.content_type == content_type::HANDSHAKE;
    RecordHeader::parse(&mut SliceCursor::new(records))
        .is_ok_and(|header| epoch_0_handshake(&header))
        && records.get(HEADER_LEN) == Some(&CLIENT_HELLO)
}
