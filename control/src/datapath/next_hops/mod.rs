//! Next hops: where frames go that do not pass through the kernel's network stack.
//!
//! A task follows the kernel's tables and publishes a copy whenever they change; workers look for a
//! newer one once a round and never wait. Kernel documents: rtnetlink(7), ip-neighbour(8).

mod kernel;
pub mod tables;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{Stream, StreamExt};
use rtnetlink::Handle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{debug, warn};

use tables::{Hop, Tables};

/// The least time between two looks at the kernel's tables.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the kernel is asked to make sure of neighbours in use.
const NUDGE_EVERY: Duration = Duration::from_secs(5);

/// One published copy.
#[derive(Debug, Default)]
struct Snapshot {
    tables: Tables,
    /// Which neighbours workers have used since the last nudge, in the order of the tables.
    used: Box<[AtomicBool]>,
}

impl Snapshot {
    fn new(tables: Tables) -> Self {
        let used = tables.neighbours().iter().map(|_| AtomicBool::new(false)).collect();
        Self { tables, used }
    }
}

/// Where copies are published.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Published>);

#[derive(Debug, Default)]
struct Published {
    /// Counts the copies: a look at it says whether there is a newer one.
    generation: AtomicU64,
    /// Locked for exchanging the pointer and nothing else.
    newest: Mutex<Arc<Snapshot>>,
}

impl Board {
    pub(crate) fn publish(&self, tables: Tables) {
        *self.0.newest.lock().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(Snapshot::new(tables));
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    fn newest(&self) -> Arc<Snapshot> {
        self.0.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One worker's view of the next hops.
#[derive(Clone, Debug)]
pub struct NextHops {
    board: Board,
    generation: u64,
    snapshot: Arc<Snapshot>,
}

impl NextHops {
    /// What is published on a board.
    pub(crate) fn of(board: &Board) -> Self {
        let mut next_hops = Self { board: board.clone(), generation: 0, snapshot: Arc::default() };
        next_hops.refresh();
        next_hops
    }

    /// Takes the newest copy.
    pub fn refresh(&mut self) {
        let generation = self.board.0.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            self.snapshot = self.board.newest();
        }
    }

    /// The first hop from `local`, or from the address that the kernel would choose, to `remote`.
    /// `None` for what is left to the kernel.
    pub fn find(&self, remote: SocketAddr, local: Option<IpAddr>) -> Option<Hop> {
        let hop = self.snapshot.tables.find(remote, local)?;
        let used = &self.snapshot.used[hop.neighbour];
        if !used.load(Ordering::Relaxed) {
            used.store(true, Ordering::Relaxed);
        }
        Some(hop)
    }
}

/// Begins to follow the tables for an interface of the calling thread's network namespace. The task
/// lasts as long as the runtime.
pub async fn track(interface: u32) -> Result<NextHops> {
    let (connection, events) = kernel::events().context("cannot listen to rtnetlink")?;
    tokio::spawn(connection);
    let (connection, handle, _) = rtnetlink::new_connection().context("rtnetlink")?;
    tokio::spawn(connection);
    let board = Board::default();
    let tracker = Tracker { interface, handle, board: board.clone() };
    let tables = tracker.read().await.context("cannot read the routes and neighbours")?;
    board.publish(tables);
    tokio::spawn(tracker.follow(events));
    Ok(NextHops::of(&board))
}

struct Tracker {
    interface: u32,
    handle: Handle,
    board: Board,
}

impl Tracker {
    async fn read(&self) -> Result<Tables> {
        timeout(LOOK_TIMEOUT, kernel::read(&self.handle, self.interface)).await?
    }

    async fn follow(self, mut events: impl Stream<Item = kernel::Event> + Unpin) {
        let mut nudges = interval(NUDGE_EVERY);
        nudges.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_look = Instant::now();
        let mut due = false;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => due |= event.concerns(&self.board.newest().tables),
                    None => break,
                },
                () = sleep_until(next_look), if due => {
                    due = false;
                    next_look = Instant::now() + LOOK_EVERY;
                    self.look().await;
                }
                _ = nudges.tick() => self.nudge().await,
            }
        }
        warn!("rtnetlink has ended: transmitting through sockets from now on");
        self.board.publish(Tables::default());
    }

    /// Publishes the tables if they have changed. What cannot be read is not trusted any more.
    async fn look(&self) {
        let tables = self.read().await.unwrap_or_else(|error| {
            warn!("transmitting through sockets: cannot read routes and neighbours: {error:#}");
            Tables::default()
        });
        if tables != self.board.newest().tables {
            debug!(neighbours = tables.neighbours().len(), "routes or neighbours have changed");
            self.board.publish(tables);
        }
    }

    /// The kernel makes sure of a neighbour when it sends there. What AF_XDP sends it does not see,
    /// so it is told.
    async fn nudge(&self) {
        let snapshot = self.board.newest();
        for (neighbour, used) in snapshot.tables.neighbours().iter().zip(&snapshot.used) {
            if used.swap(false, Ordering::Relaxed) && neighbour.stale {
                kernel::nudge(&self.handle, neighbour).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
