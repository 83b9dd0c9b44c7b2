//! `xdtls-bench scale`: what becomes of throughput as workers and associations grow.
//!
//! Records: each worker is a thread with a core and associations of its own, as in a gateway. Both
//! ends of each association are there, so that every record is sealed by one shard and opened by
//! another, and nothing else is done. That touches twice the memory that a gateway would, and no
//! socket, ring or route at all. Steering: the gateway's XDP program, run by the kernel on as many
//! cores on frames for associations drawn at random.
//!
//! One worker has all associations, or several have equal shares of them; both take turns round by
//! round, and ratios are taken round by round.

mod report;
mod worker;

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::Serialize;

use crate::cores::pin;
use crate::interrupt::Interrupt;
use crate::outcome::{self, Options};
use crate::report::Machine;
use crate::steer::{Contender, Programs, Spread};
use worker::Worker;

/// Workers at a time; as many as there are cores at most.
const WORKERS: [usize; 2] = [1, 2];

/// Lengths of plaintext in bytes.
const SIZES: [usize; 2] = [64, 1400];

/// How much is done.
struct Extent {
    /// Associations of all workers together.
    counts: &'static [u32],
    /// How long records are passed, each time: less than an association's keys last.
    window: Duration,
    /// Frames that each core steers, each time.
    frames: u32,
}

const WHOLE: Extent = Extent {
    counts: &[1, 1_000, 100_000, 1_000_000],
    window: Duration::from_millis(300),
    frames: 2_000_000,
};
const QUICK: Extent =
    Extent { counts: &[1, 1_000], window: Duration::from_millis(20), frames: 20_000 };

/// What so many workers do with so many associations, all of them together, round by round.
#[derive(Debug, Default, Serialize)]
pub struct Cell {
    /// Associations altogether; a worker has at least one.
    pub associations: u32,
    /// Workers, each with a core.
    pub workers: usize,
    /// Records sealed and opened a second, by the length of their plaintext as in `sizes`.
    pub records: [Vec<f64>; SIZES.len()],
    /// Frames that the XDP program steers a second; none where it cannot be loaded.
    pub frames: Vec<f64>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Scaled {
    /// Lengths of plaintext in bytes.
    pub sizes: [usize; SIZES.len()],
    /// All numbers of associations, each with all numbers of workers.
    pub cells: Vec<Cell>,
    /// Why steering was not measured, if it was not.
    pub steering_skipped: Option<String>,
}

/// Measures and reports.
pub fn run(options: &Options) -> Result<()> {
    let (begin, interrupt) = (Instant::now(), Interrupt::register()?);
    let extent = if options.quick { QUICK } else { WHOLE };
    let mut scaled = Scaled { sizes: SIZES, cells: Vec::new(), steering_skipped: None };
    for &count in extent.counts {
        interrupt.check()?;
        eprintln!("bench: {count} associations");
        let mut crews = crews(count)?;
        let mut programs = match Programs::load(count) {
            Ok(programs) => Some(programs),
            Err(error) => {
                let reason = format!("{error:#}");
                eprintln!("bench: SKIP steering: {reason}");
                scaled.steering_skipped = Some(reason);
                None
            }
        };
        if let Some(programs) = &mut programs {
            programs.choose(Contender::Live)?;
        }
        let first = scaled.cells.len();
        scaled.cells.extend(crews.iter().map(|crew| Cell {
            associations: count,
            workers: crew.len(),
            ..Cell::default()
        }));
        for _ in 0..options.rounds() {
            interrupt.check()?;
            for (crew, cell) in crews.iter_mut().zip(&mut scaled.cells[first..]) {
                cell.round(crew, programs.as_ref(), &extent)?;
            }
        }
    }
    outcome::present(options, begin, &scaled)
}

/// For each number of workers, as many with equal shares of `count` associations.
fn crews(count: u32) -> Result<Vec<Vec<Worker>>> {
    let cores = Machine::this().cores;
    let sizes = WORKERS.iter().filter(|workers| **workers <= cores);
    let crew = |workers: &usize| {
        let share = (count / *workers as u32).max(1);
        at_once(vec![(); *workers].iter_mut(), |index, ()| Worker::new(index as u64, share))
    };
    sizes.map(crew).collect()
}

impl Cell {
    fn round(
        &mut self,
        crew: &mut [Worker],
        programs: Option<&Programs>,
        extent: &Extent,
    ) -> Result<()> {
        for (records, size) in self.records.iter_mut().zip(SIZES) {
            let rates = at_once(crew.iter_mut(), |_, worker| worker.run(size, extent.window))?;
            records.push(rates.iter().sum());
        }
        if let Some(programs) = programs {
            let costs = at_once(crew.iter_mut(), |_, _| {
                programs.run(Contender::Live, Spread::Random, extent.frames)
            })?;
            self.frames.push(costs.iter().map(|ns| 1e9 / ns).sum());
        }
        Ok(())
    }
}

/// Does a piece of work in as many threads as there are items, each on a core of its own; all begin
/// at once.
fn at_once<'a, I: Send + 'a, T: Send>(
    items: impl ExactSizeIterator<Item = &'a mut I>,
    work: impl Fn(usize, &mut I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let (start, work) = (Barrier::new(items.len()), &work);
    thread::scope(|scope| {
        let threads: Vec<_> = items
            .enumerate()
            .map(|(index, item)| {
                let start = &start;
                scope.spawn(move || {
                    let pinned = pin(index);
                    start.wait();
                    pinned?;
                    work(index, item)
                })
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<T>>| {
            thread.join().map_err(|_| anyhow!("a thread has panicked"))?
        };
        threads.into_iter().map(join).collect()
    })
}
