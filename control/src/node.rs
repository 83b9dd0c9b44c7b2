//! What gateway and client have in common: threads, their queues, and an orderly end.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tracing::{error, info};
use xdtls_common::id::{IdLayout, LocalId};
use xdtls_proto::ids::IdAllocator;
use xdtls_proto::policy::Admission;
use xdtls_proto::rekey::RekeyLimits;
use xdtls_proto::shard::{AssociationView, ShardConfig};

use crate::counters::{Counters, Place, Totals};
use crate::datapath::fast_path::{FastView, Programs};
use crate::datapath::socket::Channel;
use crate::datapath::xdp::{Program, XdpCounters};
use crate::handshake_pool::{self, Machine, Pool, Settings};
use crate::inside::Inside;
use crate::mailbox::{Mailbox, Postbox, mailbox};
use crate::messages::{ToHandshakes, ToWorker, WorkerLimits};
use crate::registry::Registry;
use crate::trace::Trace;
use crate::wall_clock;
use crate::worker::{Parts, Worker};
use crate::xsk::XskReport;

/// Slots of associations and the threads that share them.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Slots of all shards together.
    pub capacity: u32,
    /// The layout of ids.
    pub layout: IdLayout,
    /// Handshake threads.
    pub handshake_threads: usize,
}

impl Shape {
    /// Fails with words where the numbers are impossible, which checked configuration is not.
    pub fn new(capacity: u32, shards: u32, handshake_threads: usize) -> io::Result<Self> {
        let layout = IdLayout::for_capacity(capacity, shards).ok_or_else(|| {
            io::Error::other("the number of associations or workers is impossible")
        })?;
        Ok(Self { capacity, layout, handshake_threads: handshake_threads.max(1) })
    }

    /// The configuration of one shard.
    pub fn shard(&self, index: u32, path_mtu: u16) -> ShardConfig {
        ShardConfig {
            capacity: self.capacity,
            layout: self.layout,
            index,
            path_mtu,
            idle_timeout: None,
            rekey: RekeyLimits::default(),
            cached_keys: CACHED_KEYS.min(self.capacity as usize),
        }
    }
}

/// Expanded keys that one worker keeps at hand, in associations: about 1.1 KB each.
pub const CACHED_KEYS: usize = 4096;

/// Associations that a worker looks at for one message, so that traffic does not wait for long.
const LOOK_AT_ONCE: usize = 64;

/// The queues between the threads, made before any of them.
pub struct Wiring {
    /// To the workers, by shard.
    pub workers: Vec<Postbox<ToWorker>>,
    /// To the handshakes.
    pub pool: Pool,
    /// The workers' mailboxes, by shard, until they are given away.
    pub worker_mail: Vec<Mailbox<ToWorker>>,
    handshake_mail: Vec<Mailbox<ToHandshakes>>,
    counters: Vec<Arc<Counters>>,
    registry: Arc<Registry>,
    /// Whom the operator watches.
    pub trace: Arc<Trace>,
    shape: Shape,
}

impl Wiring {
    /// Makes the queues.
    pub fn new(shape: Shape) -> io::Result<Self> {
        let boxes: Vec<_> =
            (0..shape.layout.shards()).map(|_| mailbox()).collect::<Result<_, _>>()?;
        let (workers, worker_mail) = boxes.into_iter().unzip();
        let (pool, handshake_mail) =
            Pool::new(shape.handshake_threads, shape.layout, shape.capacity)?;
        Ok(Self {
            workers,
            pool,
            worker_mail,
            handshake_mail,
            counters: Vec::new(),
            registry: Arc::default(),
            trace: Arc::default(),
            shape,
        })
    }

    /// Lets the registry judge by these rules whoever is installed.
    pub fn admit_by(&self, admission: Arc<Admission>) {
        let nobody = self.registry.admit_by(admission, &HashSet::new(), 0);
        debug_assert!(nobody.is_empty(), "the threads have not been started");
    }

    /// Counters for one more thread.
    pub fn new_counters(&mut self, place: Place) -> Arc<Counters> {
        let counters = Arc::new(Counters::new(place));
        self.counters.push(counters.clone());
        counters
    }

    /// Starts the handshake threads; `machine` makes one for a range of ids, which finds in the lookup
    /// what is kept of associations for those that replace them.
    pub fn start_handshakes<M: Machine>(
        &mut self,
        channel: &Channel,
        program: Option<&Program>,
        mut machine: impl FnMut(IdAllocator, &Arc<Registry>) -> M,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let mailboxes = std::mem::take(&mut self.handshake_mail);
        let mut threads = Vec::new();
        for (index, mailbox) in mailboxes.into_iter().enumerate() {
            let ids = IdAllocator::new(self.shape.layout, self.pool.slots_of(index));
            let surroundings = handshake_pool::Surroundings {
                workers: self.workers.clone(),
                layout: self.shape.layout,
                channel: channel.clone(),
                counters: self.new_counters(Place::Handshakes),
                associations: program.map(Program::associations),
                registry: self.registry.clone(),
                trace: self.trace.clone(),
            };
            let name = format!("handshakes-{index}");
            let machine = machine(ids, &self.registry);
            threads.push(handshake_pool::spawn(name, machine, mailbox, surroundings)?);
        }
        Ok(threads)
    }

    /// What is left once all threads run. The XDP programs stay attached as long as they are kept.
    pub fn running(
        self,
        workers: Vec<JoinHandle<()>>,
        handshakes: Vec<JoinHandle<()>>,
        mut programs: Option<Programs>,
        view: Option<FastView>,
    ) -> Running {
        if let Some(maps) = programs.as_mut().and_then(|programs| programs.outside.take_trace()) {
            self.trace.mirror_to(maps);
        }
        let handle = Handle {
            workers: self.workers.into(),
            pool: self.pool,
            counters: self.counters.into(),
            program: programs.as_ref().map(|programs| programs.outside.counters()),
            view,
            registry: self.registry,
            trace: self.trace,
            layout: self.shape.layout,
        };
        Running { handle, workers, handshakes, _programs: programs }
    }
}

/// Starts a worker's thread.
pub fn start_worker<I: Inside + Send + 'static>(
    index: usize,
    parts: Parts<I>,
) -> io::Result<JoinHandle<()>> {
    let worker = Worker::new(parts)?;
    std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        if let Err(error) = worker.work() {
            error!(%error, "worker {index} has stopped");
        }
    })
}

/// A way to a running node's threads.
#[derive(Clone)]
pub struct Handle {
    workers: Arc<[Postbox<ToWorker>]>,
    pool: Pool,
    counters: Arc<[Arc<Counters>]>,
    program: Option<Arc<XdpCounters>>,
    view: Option<FastView>,
    registry: Arc<Registry>,
    trace: Arc<Trace>,
    layout: IdLayout,
}

impl Handle {
    /// What the node has counted so far.
    pub fn totals(&self) -> Totals {
        Totals::of(self.counters.iter().map(|counters| &**counters), self.program.as_deref())
    }

    /// What is to be seen of its fast path, if it has one.
    pub fn fast_path(&self) -> Option<&FastView> {
        self.view.as_ref()
    }

    /// Whom the operator watches.
    pub fn trace(&self) -> &Arc<Trace> {
        &self.trace
    }

    /// Whose associations are.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    fn worker(&self, id: LocalId) -> &Postbox<ToWorker> {
        &self.workers[self.layout.shard_of(id.value()) as usize]
    }

    /// How these associations are doing, in the same order; their workers say so.
    pub async fn look(&self, ids: &[LocalId]) -> Vec<Option<AssociationView>> {
        let mut by_worker = vec![Vec::new(); self.workers.len()];
        for id in ids {
            by_worker[self.layout.shard_of(id.value()) as usize].push(*id);
        }
        let mut views = HashMap::new();
        for (worker, ids) in self.workers.iter().zip(by_worker) {
            for chunk in ids.chunks(LOOK_AT_ONCE) {
                let (answer, answered) = oneshot::channel();
                worker.post(ToWorker::Look(chunk.to_vec(), answer));
                // A worker that has ended has no associations.
                let found = answered.await.unwrap_or_default();
                views.extend(chunk.iter().copied().zip(found));
            }
        }
        ids.iter().map(|id| views.get(id).copied().flatten()).collect()
    }

    /// Closes an association with close_notify; `false` if there is none.
    pub async fn close(&self, id: LocalId) -> bool {
        let (answer, answered) = oneshot::channel();
        self.worker(id).post(ToWorker::Close(id, answer));
        answered.await.unwrap_or(false)
    }

    /// Lets all threads use other settings from now on.
    pub fn reconfigure(&self, settings: impl Fn() -> Settings, limits: WorkerLimits) {
        self.pool.reconfigure(settings);
        self.workers.iter().for_each(|worker| worker.post(ToWorker::Reconfigure(limits)));
    }

    /// Judges all associations by other rules, and closes those that they do not admit, among them
    /// those of the PSK identities in `gone`; how many. The handshakes must know the rules already.
    pub fn admit_by(&self, admission: Arc<Admission>, gone: &HashSet<String>) -> usize {
        let refused = self.registry.admit_by(admission, gone, wall_clock::now_s());
        let mut by_worker = vec![Vec::new(); self.workers.len()];
        for (id, refusal) in &refused {
            by_worker[self.layout.shard_of(id.value()) as usize].push((*id, *refusal));
        }
        for (worker, refused) in self.workers.iter().zip(by_worker) {
            for chunk in refused.chunks(LOOK_AT_ONCE) {
                worker.post(ToWorker::Dismiss(chunk.to_vec()));
            }
        }
        refused.len()
    }

    /// Lets all peers hear from us, because our own address has changed.
    pub fn announce(&self) {
        self.workers.iter().for_each(|worker| worker.post(ToWorker::Announce));
    }

    /// Begins no more handshakes.
    pub fn drain(&self) {
        self.pool.drain();
    }
}

/// All threads of a node.
pub struct Running {
    handle: Handle,
    workers: Vec<JoinHandle<()>>,
    handshakes: Vec<JoinHandle<()>>,
    /// They steer as long as they are kept.
    _programs: Option<Programs>,
}

impl Running {
    /// The error to end with once the node may not go on as it is; never if it may.
    pub async fn lost(&self) -> anyhow::Error {
        let inside = async |view: &FastView| match &view.inside {
            Some(link) => link.clone().lost().await,
            None => std::future::pending().await,
        };
        match self.handle.fast_path() {
            Some(view) => tokio::select! {
                error = view.link.clone().lost() => error,
                error = inside(view) => error,
            },
            None => std::future::pending().await,
        }
    }

    /// A way to the threads for whoever looks into the node.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Whether a worker has ended without being told to.
    pub fn has_failed(&self) -> bool {
        self.workers.iter().any(JoinHandle::is_finished)
    }

    /// Closes every association with close_notify and ends all threads.
    pub fn stop(self) {
        let handle = &self.handle;
        let associations = handle.totals().associations;
        handle.workers.iter().for_each(|worker| worker.post(ToWorker::Stop));
        for worker in self.workers {
            if worker.join().is_err() {
                error!("a worker has panicked");
            }
        }
        handle.pool.stop();
        for handshakes in self.handshakes {
            if handshakes.join().is_err() {
                error!("a handshake thread has panicked");
            }
        }
        if let Some(view) = handle.fast_path() {
            let XskReport { frames, missing, held, .. } = view.sockets.report();
            match missing + held {
                0 => info!(frames, "no AF_XDP frame is missing"),
                _ => error!(frames, missing, held, "AF_XDP frames are missing: please report this"),
            }
        }
        let totals = handle.totals();
        info!(closed = associations, opened = totals.opened, sealed = totals.sealed, "stopped");
    }
}
