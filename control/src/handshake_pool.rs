//! The threads that run handshakes: few, niced, each the owner of a range of ids.
//!
//! A thread drives one of the sans-IO machines: messages in, the machine's actions out. Everything
//! about one association, from its ClientHello to its end, goes to the thread that owns its id.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tracing::{debug, info, warn};
use xdtls_common::DropReason;
use xdtls_common::id::{IdLayout, LocalId, PeerId};
use xdtls_common::verdict::Phase;
use xdtls_proto::association::CloseCause;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::failure::Failure;
use xdtls_proto::handshakes::initiators::Initiators;
use xdtls_proto::handshakes::peers::{OpenerSettings, Peers};
use xdtls_proto::handshakes::{
    Action, Ended, Handshakes, Hello, Installation, Limits, OverloadChange, Replacement,
    RoutePolicy, Start, source_of,
};

use crate::counters::Counters;
use crate::datapath::socket::Channel;
use crate::datapath::xdp::Associations;
use crate::handshake::{OpensslAcceptor, OpensslConnector};
use crate::mailbox::{Mailbox, Postbox, mailbox};
use crate::messages::{ToHandshakes, ToWorker};
use crate::registry::{Entry, Registry};
use crate::trace::{self, Trace, Watch};
use crate::wall_clock;

/// How much nicer than the workers the handshakes are, so that traffic goes first.
const NICE: i32 = 10;

/// Messages that are read before the timers are looked at.
const MESSAGES: usize = 256;

/// What a node's handshakes may be given anew while they run.
pub struct Settings {
    /// Certificates and trust.
    pub acceptor: OpensslAcceptor,
    /// Bounds of one thread.
    pub limits: Limits,
    /// Rules.
    pub policy: RoutePolicy,
    /// The same for what its links open.
    pub openers: OpenerSettings<OpensslConnector>,
}

/// A machine of handshakes that a thread drives.
pub trait Machine: Handshakes + Send + 'static {
    /// Uses other settings for handshakes that begin from now on.
    fn reconfigure(&mut self, settings: Settings);

    /// Begins no more handshakes.
    fn drain(&mut self);

    /// Gives up what was asked for with this number.
    fn cancel(&mut self, now: Instant, token: u64);

    /// How many sessions can be continued now; all threads of a node count the same ones.
    fn sessions(&self) -> usize;
}

impl Machine for Peers<OpensslAcceptor, OpensslConnector> {
    fn reconfigure(&mut self, settings: Settings) {
        let Settings { acceptor, limits, policy, openers } = settings;
        Self::reconfigure(self, acceptor, &limits, policy, openers);
    }

    fn drain(&mut self) {
        Self::drain(self);
    }

    fn cancel(&mut self, now: Instant, token: u64) {
        Self::cancel(self, now, token);
    }

    fn sessions(&self) -> usize {
        self.acceptor().sessions()
    }
}

/// A client begins what its local programs ask for, as long as it runs.
impl Machine for Initiators<OpensslConnector> {
    fn reconfigure(&mut self, _settings: Settings) {}

    fn drain(&mut self) {}

    fn cancel(&mut self, _now: Instant, _token: u64) {}

    fn sessions(&self) -> usize {
        0
    }
}

/// The way to all handshake threads.
#[derive(Clone)]
pub struct Pool {
    threads: Arc<[Postbox<ToHandshakes>]>,
    by_source: RandomState,
    layout: IdLayout,
    capacity: u32,
}

impl Pool {
    /// The way to `count` threads, and their mailboxes.
    pub fn new(
        count: usize,
        layout: IdLayout,
        capacity: u32,
    ) -> io::Result<(Self, Vec<Mailbox<ToHandshakes>>)> {
        let boxes: Vec<_> = (0..count).map(|_| mailbox()).collect::<Result<_, _>>()?;
        let (postboxes, mailboxes): (Vec<_>, Vec<_>) = boxes.into_iter().unzip();
        let by_source = RandomState::new();
        Ok((Self { threads: postboxes.into(), by_source, layout, capacity }, mailboxes))
    }

    /// The slots that a thread owns.
    pub fn slots_of(&self, thread: usize) -> Range<u32> {
        let bound = |thread: usize| {
            (u64::from(self.capacity) * thread as u64 / self.threads.len() as u64) as u32
        };
        bound(thread)..bound(thread + 1)
    }

    fn owner(&self, id: LocalId) -> &Postbox<ToHandshakes> {
        let slot = u64::from(self.layout.slot_of(id.value()));
        let threads = self.threads.len() as u64;
        // The inverse of `slots_of`.
        let thread = ((slot + 1) * threads - 1) / u64::from(self.capacity);
        &self.threads[thread.min(threads - 1) as usize]
    }

    /// Begins a handshake that we answer. All of one source's meet on one thread, which can so
    /// tell repeats and keep exact accounts of the source.
    pub fn hello(&self, hello: Hello) -> Result<(), DropReason> {
        let thread = self.thread_of(hello.from.remote.ip());
        let message = ToHandshakes::Begin(Instant::now(), Start::Answer(hello));
        self.threads[thread].offer(message).map_err(|_| DropReason::QueueFull)
    }

    /// The hash is keyed: nobody can choose sources that all meet on one thread.
    fn thread_of(&self, source: IpAddr) -> usize {
        self.by_source.hash_one(source_of(source)) as usize % self.threads.len()
    }

    /// Begins a handshake that we open, on the thread that would answer this peer: it sees where
    /// both ends open at once.
    pub fn open(&self, peer: Endpoint, token: u64) {
        let thread = self.thread_of(peer.remote.ip());
        let start = Start::Open(peer, token);
        self.threads[thread].post(ToHandshakes::Begin(Instant::now(), start));
    }

    /// Gives up what was asked for with this number.
    pub fn cancel(&self, peer: Endpoint, token: u64) {
        let thread = self.thread_of(peer.remote.ip());
        self.threads[thread].post(ToHandshakes::Cancel(token));
    }

    /// Begins a handshake for an association in the place of one of ours.
    pub fn replace(&self, replacement: Replacement) {
        let message = ToHandshakes::Begin(Instant::now(), Start::Replace(replacement));
        self.owner(replacement.old).post(message);
    }

    /// Passes a half-open association's datagram on.
    pub fn datagram(
        &self,
        id: LocalId,
        from: Endpoint,
        datagram: Vec<u8>,
    ) -> Result<(), DropReason> {
        let message = ToHandshakes::Datagram(id, from, datagram);
        self.owner(id).offer(message).map_err(|_| DropReason::QueueFull)
    }

    /// Acknowledges that a worker has installed the keys.
    pub fn installed(&self, id: LocalId) {
        self.owner(id).post(ToHandshakes::Installed(Instant::now(), id));
    }

    /// Tells that an association has ended.
    pub fn closed(&self, id: LocalId, cause: CloseCause) {
        self.owner(id).post(ToHandshakes::Closed(id, cause));
    }

    /// Gives every thread settings of its own.
    pub fn reconfigure(&self, settings: impl Fn() -> Settings) {
        for thread in &*self.threads {
            thread.post(ToHandshakes::Reconfigure(Box::new(settings())));
        }
    }

    /// Begins no more handshakes.
    pub fn drain(&self) {
        self.threads.iter().for_each(|thread| thread.post(ToHandshakes::Drain));
    }

    /// Ends all threads.
    pub fn stop(&self) {
        self.threads.iter().for_each(|thread| thread.post(ToHandshakes::Stop));
    }
}

/// Where the actions of a machine are carried out.
pub struct Surroundings {
    /// The workers, by shard.
    pub workers: Vec<Postbox<ToWorker>>,
    /// Which worker owns an id.
    pub layout: IdLayout,
    /// A socket of the outside to send through; the workers receive.
    pub channel: Channel,
    /// What the thread counts.
    pub counters: Arc<Counters>,
    /// The XDP program's table, if there is one.
    pub associations: Option<Arc<Associations>>,
    /// Whose associations are.
    pub registry: Arc<Registry>,
    /// Whom the operator watches.
    pub trace: Arc<Trace>,
}

/// Starts a thread that drives `machine`.
pub fn spawn(
    name: String,
    mut machine: impl Machine,
    mailbox: Mailbox<ToHandshakes>,
    surroundings: Surroundings,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(move || {
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            debug!(%error, "handshakes run at the workers' priority");
        }
        while let Some(first) = next(&mailbox, machine.deadline()) {
            // All mail is read before a new handshake may begin: what was begun goes first.
            let more = std::iter::from_fn(|| mailbox.take());
            for message in first.into_iter().chain(more).take(MESSAGES) {
                let observed = surroundings.observe(&message);
                if !surroundings.deliver(&mut machine, message) {
                    return;
                }
                surroundings.carry_out_all(&mut machine, observed);
            }
            machine.handle_timeout(Instant::now());
            surroundings.carry_out_all(&mut machine, None);
            surroundings.counters.half_open(machine.half_open());
            surroundings.counters.sessions(machine.sessions());
        }
    })
}

/// The next message, `Some(None)` when the deadline has come, `None` when nobody is left to post.
fn next(
    mailbox: &Mailbox<ToHandshakes>,
    deadline: Option<Instant>,
) -> Option<Option<ToHandshakes>> {
    match (mailbox.wait(deadline), deadline) {
        (Some(message), _) => Some(Some(message)),
        (None, Some(_)) => Some(None),
        (None, None) => None,
    }
}

/// A datagram of somebody whom the operator watches, and what is made of it.
struct Observed {
    watch: Watch,
    peer: SocketAddr,
    came: String,
    done: Vec<String>,
}

impl Observed {
    fn record(self, now: Instant) {
        let what = format!("{} → {}", self.came, self.done.join("; "));
        self.watch.record(now, "handshakes".to_owned(), self.peer, what);
    }
}

impl Surroundings {
    fn observe(&self, message: &ToHandshakes) -> Option<Observed> {
        let watch = self.trace.watch()?;
        let (peer, came, concerned) = match message {
            ToHandshakes::Begin(_, Start::Answer(hello)) => {
                let (peer, id) = (hello.from.remote, hello.client_id);
                let came = format!("ClientHello of {id:08x} with a good cookie");
                (peer, came, watch.concerns_association(id, peer))
            }
            ToHandshakes::Datagram(_, from, datagram) => {
                let concerned = watch.concerns(from.remote, datagram);
                (from.remote, trace::datagram(datagram), concerned)
            }
            _ => return None,
        };
        concerned.then(|| Observed { watch, peer, came, done: Vec::new() })
    }

    /// Gives a message to the machine; `false` if the thread is to end.
    fn deliver(&self, machine: &mut impl Machine, message: ToHandshakes) -> bool {
        match message {
            ToHandshakes::Begin(since, start) => machine.begin(since, start),
            ToHandshakes::Datagram(id, from, datagram) => {
                machine.datagram(Instant::now(), id, from, datagram);
            }
            ToHandshakes::Cancel(token) => machine.cancel(Instant::now(), token),
            ToHandshakes::Installed(at, id) => machine.acknowledge(at, id),
            ToHandshakes::Closed(id, cause) => {
                let now = Instant::now();
                self.registry.remove(now, id, cause);
                machine.release(now, id);
            }
            ToHandshakes::Reconfigure(settings) => machine.reconfigure(*settings),
            ToHandshakes::Drain => machine.drain(),
            ToHandshakes::Stop => return false,
        }
        true
    }

    fn carry_out_all(&self, machine: &mut impl Handshakes, mut observed: Option<Observed>) {
        let now = Instant::now();
        while let Some(action) = machine.poll_action() {
            if let Some(observed) = &mut observed {
                observed.done.extend(trace::action(&action));
            }
            self.carry_out(now, action);
        }
        if let Some(observed) = observed {
            observed.record(now);
        }
    }

    fn carry_out(&self, now: Instant, action: Action) {
        match action {
            Action::Overload(change) => self.overload(change),
            Action::Count(reason) => self.counters.dropped(reason),
            Action::Retrying(failure) => {
                info!(reason = failure.reason, "cannot open an association: trying again");
            }
            Action::Ended(ended) => self.ended(ended),
            Action::Transmit(to, datagram) => {
                if let Err(error) = self.channel.send(to.remote, to.local, &datagram) {
                    debug!(%error, "the outside did not take a handshake datagram");
                    self.counters.dropped(DropReason::OutsideSend);
                }
            }
            Action::Reserve(id, peer) => {
                self.post(id.value(), ToWorker::Reserve(id, peer));
                // A peer that is not known yet has no id.
                let phase = if peer.is_some() { Phase::HalfOpen } else { Phase::Opening };
                if let Some(associations) = &self.associations {
                    associations.set(id, phase, peer.map_or(0, PeerId::value));
                }
            }
            Action::Rest(id) => {
                if let Some(associations) = &self.associations {
                    associations.set(id, Phase::Resting, 0);
                }
                self.post(id.value(), ToWorker::Rest(id));
            }
            Action::Forget(id) => {
                if let Some(associations) = &self.associations {
                    associations.clear(id);
                }
                self.post(id.value(), ToWorker::Forget(id));
            }
            Action::Install(installation) => self.install(now, installation),
            Action::Forward(id, from, datagram) => {
                let message = ToWorker::Datagram(from, datagram);
                if self.worker(id.value()).offer(message).is_err() {
                    self.counters.dropped(DropReason::QueueFull);
                }
            }
        }
    }

    fn install(&self, now: Instant, installation: Box<Installation>) {
        let (id, entry) = (installation.local, Entry::new(now, &installation));
        if installation.taken_over.resumed {
            self.counters.handshake_resumed();
        }
        // Before it is entered: who judges it from then on posts behind this.
        self.post(id.value(), ToWorker::Install(installation));
        // The rules may have changed since this handshake asked them.
        if let Some(refusal) = self.registry.insert(id, entry, wall_clock::now_s()) {
            self.post(id.value(), ToWorker::Dismiss(vec![(id, refusal)]));
        }
    }

    fn overload(&self, change: OverloadChange) {
        self.counters.overload(matches!(change, OverloadChange::Began { .. }));
        match change {
            OverloadChange::Began { hello_age, worker_lag, waiting } => warn!(
                hello_age_ms = hello_age.as_millis() as u64,
                worker_lag_ms = worker_lag.as_millis() as u64,
                waiting,
                "overload: new handshakes give way to what is established and begun"
            ),
            OverloadChange::Ended { lasted, shed } => {
                info!(lasted_ms = lasted.as_millis() as u64, shed, "the overload is over");
            }
        }
    }

    fn worker(&self, id: u32) -> &Postbox<ToWorker> {
        &self.workers[self.layout.shard_of(id) as usize]
    }

    fn post(&self, id: u32, message: ToWorker) {
        self.worker(id).post(message);
    }

    fn ended(&self, ended: Ended) {
        let association = ended.local.map(|id| id.to_string()).unwrap_or_default();
        let milliseconds = ended.took.as_millis() as u64;
        // Who talks to us is nobody's business who reads logs of the usual level.
        debug!(%association, peer = %ended.remote, "a handshake has ended");
        match ended.outcome {
            Ok(()) => {
                self.counters.handshake_ok();
                info!(%association, milliseconds, "association established");
            }
            Err(Failure { class, reason }) => {
                self.counters.handshake_failed(class);
                let class = class.as_str();
                info!(%association, milliseconds, class, reason, "handshake failed");
                if let Some(old) = ended.replaces {
                    self.post(old.value(), ToWorker::RekeyFailed(old));
                }
                if let Some(token) = ended.token {
                    self.workers.iter().for_each(|worker| {
                        worker.post(ToWorker::Failed(token, reason.clone()));
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_one_thread_whatever_its_port_and_sources_are_spread() {
        let layout = IdLayout::for_capacity(64, 1).unwrap();
        let (pool, _mail) = Pool::new(4, layout, 64).unwrap();
        let of = |address: &str| pool.thread_of(address.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2:3:4:5"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        let mut met = [0; 4];
        (0..=255).for_each(|host| met[of(&format!("192.0.2.{host}"))] += 1);
        assert!(met.iter().all(|count| *count > 16), "{met:?}");
        let clone = pool.clone();
        assert_eq!(clone.thread_of([192, 0, 2, 7].into()), of("192.0.2.7"));
    }
}
