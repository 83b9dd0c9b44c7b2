//! What gateway and client have in common: threads, their queues, and an orderly end.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};
use xdtls_common::id::IdLayout;
use xdtls_proto::handshakes::Handshakes;
use xdtls_proto::ids::IdAllocator;
use xdtls_proto::shard::ShardConfig;

use crate::counters::{Counters, Totals};
use crate::datapath::socket::Channel;
use crate::datapath::xdp::{Program, XdpCounters};
use crate::handshake_pool::{self, Pool};
use crate::inside::Inside;
use crate::mailbox::{Mailbox, Postbox, mailbox};
use crate::messages::{ToHandshakes, ToWorker};
use crate::worker::{Parts, Worker};

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
            cached_keys: CACHED_KEYS.min(self.capacity as usize),
        }
    }
}

/// Expanded keys that one worker keeps at hand, in associations: about 1.1 KB each.
const CACHED_KEYS: usize = 4096;

/// How often the threads are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
        Ok(Self { workers, pool, worker_mail, handshake_mail, counters: Vec::new(), shape })
    }

    /// Counters for one more thread.
    pub fn new_counters(&mut self) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.counters.push(counters.clone());
        counters
    }

    /// Starts the handshake threads; `machine` makes one for a range of ids.
    pub fn start_handshakes<M: Handshakes + Send + 'static>(
        &mut self,
        channel: &Channel,
        program: Option<&Program>,
        mut machine: impl FnMut(IdAllocator) -> M,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let mailboxes = std::mem::take(&mut self.handshake_mail);
        let mut threads = Vec::new();
        for (index, mailbox) in mailboxes.into_iter().enumerate() {
            let ids = IdAllocator::new(self.shape.layout, self.pool.slots_of(index));
            let surroundings = handshake_pool::Surroundings {
                workers: self.workers.clone(),
                layout: self.shape.layout,
                channel: channel.clone(),
                counters: self.new_counters(),
                associations: program.map(Program::associations),
            };
            let name = format!("handshakes-{index}");
            threads.push(handshake_pool::spawn(name, machine(ids), mailbox, surroundings)?);
        }
        Ok(threads)
    }

    /// What is left once all threads run. The XDP program stays attached as long as it is kept.
    pub fn running(
        self,
        workers: Vec<JoinHandle<()>>,
        handshakes: Vec<JoinHandle<()>>,
        program: Option<Program>,
    ) -> Running {
        let Self { workers: postboxes, pool, counters, .. } = self;
        Running { postboxes, pool, counters: counters.into(), workers, handshakes, program }
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
    counters: Arc<[Arc<Counters>]>,
    program: Option<Arc<XdpCounters>>,
}

impl Handle {
    /// What the node has counted so far.
    pub fn totals(&self) -> Totals {
        Totals::of(self.counters.iter().map(|counters| &**counters), self.program.as_deref())
    }
}

/// All threads of a node.
pub struct Running {
    postboxes: Vec<Postbox<ToWorker>>,
    pool: Pool,
    counters: Arc<[Arc<Counters>]>,
    workers: Vec<JoinHandle<()>>,
    handshakes: Vec<JoinHandle<()>>,
    program: Option<Program>,
}

impl Running {
    /// A way to the threads for whoever looks into the node.
    pub fn handle(&self) -> Handle {
        let program = self.program.as_ref().map(Program::counters);
        Handle { counters: self.counters.clone(), program }
    }

    /// Waits for SIGTERM or SIGINT, or for a worker that has ended by itself, which is an error.
    pub async fn until_told_to_stop(&self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = look.tick() => if self.has_failed() { anyhow::bail!("a worker has stopped") },
            }
        }
        info!("stopping: closing all associations");
        Ok(())
    }

    /// Whether a worker has ended without being told to.
    fn has_failed(&self) -> bool {
        self.workers.iter().any(JoinHandle::is_finished)
    }

    /// Closes every association with close_notify and ends all threads.
    pub fn stop(self) {
        let handle = self.handle();
        let associations = handle.totals().associations;
        self.postboxes.iter().for_each(|worker| worker.post(ToWorker::Stop));
        for worker in self.workers {
            if worker.join().is_err() {
                error!("a worker has panicked");
            }
        }
        self.pool.stop();
        for handshakes in self.handshakes {
            if handshakes.join().is_err() {
                error!("a handshake thread has panicked");
            }
        }
        let totals = handle.totals();
        info!(closed = associations, opened = totals.opened, sealed = totals.sealed, "stopped");
    }
}
