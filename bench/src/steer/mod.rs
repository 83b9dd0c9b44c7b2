//! `xdtls-bench steer`: what the gateway's XDP program costs a packet of an established association,
//! beside programs that do less and less with it.
//!
//! The kernel runs each program on one frame in memory, many times in a call (`BPF_PROG_RUN`): no
//! driver, no delivery, and no cold cache but for the maps. Frames are for one association, or each for one drawn at random by a
//! program that then calls the one that is measured; that program's own cost is in all figures of
//! that kind, those of the empty program among them. All take turns within one loop; the figure of
//! a round is the median of its turns, and ratios are taken round by round.

mod programs;
mod report;

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use crate::cores::pin;
use crate::interrupt::Interrupt;
use crate::numbers::median;
use crate::outcome::{self, Options};
use programs::End;
pub(crate) use programs::{Contender, Programs, Spread};

/// How much is done: runs of one turn for one association and at random, and turns of one round.
struct Extent {
    associations: u32,
    hot: u32,
    random: u32,
    turns: usize,
}

const WHOLE: Extent =
    Extent { associations: 1_000_000, hot: 1_000_000, random: 200_000, turns: 15 };
const QUICK: Extent = Extent { associations: 1_000, hot: 10_000, random: 10_000, turns: 3 };

/// The CPU that everything runs on.
const CPU: usize = 0;

/// Nanoseconds a run of one program, round by round.
#[derive(Debug, Default, Serialize)]
pub struct Costs {
    /// All frames are for one association.
    pub hot: Vec<f64>,
    /// Each is for one drawn at random.
    pub random: Vec<f64>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Steered {
    /// How many associations there are.
    pub associations: u32,
    /// By the program's name.
    pub costs: BTreeMap<&'static str, Costs>,
    /// Nanoseconds a run of the gateway's program that ends early, by where, round by round.
    pub ends: BTreeMap<&'static str, Vec<f64>>,
}

/// Measures and reports.
pub fn run(options: &Options) -> Result<()> {
    let (begin, interrupt) = (Instant::now(), Interrupt::register()?);
    let extent = if options.quick { QUICK } else { WHOLE };
    let associations = extent.associations;
    pin(CPU)?;
    eprintln!("bench: {associations} associations in all maps");
    let mut programs = Programs::load(associations)?;
    let (costs, ends) = (BTreeMap::new(), BTreeMap::new());
    let mut steered = Steered { associations, costs, ends };
    for round in 1..=options.rounds() {
        eprintln!("bench: round {round} of {}", options.rounds());
        steered.round(&mut programs, &extent, &interrupt)?;
    }
    outcome::present(options, begin, &steered)
}

impl Steered {
    fn round(
        &mut self,
        programs: &mut Programs,
        extent: &Extent,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let mut turns = [const { (Vec::new(), Vec::new()) }; Contender::ALL.len()];
        let mut ends = [const { Vec::new() }; End::ALL.len()];
        for _ in 0..extent.turns {
            interrupt.check()?;
            for (end, costs) in End::ALL.into_iter().zip(&mut ends) {
                costs.push(programs.run_to(end, extent.hot)?);
            }
            for (contender, (hot, random)) in Contender::ALL.into_iter().zip(&mut turns) {
                hot.push(programs.run(contender, Spread::Hot, extent.hot)?);
                programs.choose(contender)?;
                random.push(programs.run(contender, Spread::Random, extent.random)?);
            }
        }
        for (contender, (hot, random)) in Contender::ALL.into_iter().zip(turns) {
            let costs = self.costs.entry(contender.name()).or_default();
            costs.hot.push(median(hot));
            costs.random.push(median(random));
        }
        for (end, costs) in End::ALL.into_iter().zip(ends) {
            self.ends.entry(end.name()).or_default().push(median(costs));
        }
        Ok(())
    }
}
