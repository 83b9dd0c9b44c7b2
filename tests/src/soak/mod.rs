//! The soak: traffic, churn and faults together, for as long as asked.
//!
//! ```text
//!   steady programs ────── xdtls connect ═══════════════╗
//!   steady programs ────── xdtls connect ── udp-relay ══╬═ xdtls gateway ── udp-echo
//!   programs that come ─── xdtls connect ═══════════════╝
//!   and go                      bad packets ────────────┘
//! ```
//!
//! Faults come one after the other or two at a time, as a seed decides. After each, every steady
//! program must have an answer again within 60 s; what comes back must be what was sent; no steady
//! association may end without a fault that explains it; and when all clients have gone, the
//! gateway must have nothing left of them.

mod fault;
mod inspect;
mod report;
mod stage;
mod traffic;
mod watch;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use fault::{Deck, Fault};
pub use inspect::{Resources, flows};
pub use report::{Report, Struck};
use stage::Stage;
use traffic::{Common, Steady, Visitor};
use watch::Watch;

use crate::lab::Lab;
use crate::node::Node;
use crate::wait::{PATIENCE, eventually};

/// Steady programs of the client on a clean road, and of the one behind the relay.
const NEAR_PROGRAMS: usize = 6;
const FAR_PROGRAMS: usize = 4;

/// How many programs come and go at a time.
const VISITORS: usize = 7;

/// Within which time every steady program must have an answer again.
const RECOVERY: Duration = Duration::from_secs(60);

/// How often answers are looked for.
const TICK: Duration = Duration::from_millis(50);

/// The most that undisturbed traffic is left alone before the next fault, in milliseconds.
const PAUSE_MS: u64 = 1_000;

/// How long ids rest, and somewhat longer.
const REST: Duration = Duration::from_secs(150);

/// What may be resident at the end beyond what is at work: allocators keep what a burst of handshakes
/// once needed, 80 KB each. Were as much lost with every tenth of ten thousand, it would show.
const RESIDENT_GROWTH_KIB: u64 = 64 << 10;

/// What a soak is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long faults come.
    pub duration: Duration,
    /// What decides on faults, their times and contents.
    pub seed: u64,
    /// Whether faults come, too, that clients need 30 s and more to get over, and whether the soak
    /// waits until all ids of the gateway have rested.
    pub thorough: bool,
}

/// Soaks. `tell` is told of each fault; `interrupted` ends the soak early, which is a failure.
pub fn run(
    lab: &Lab,
    plan: &Plan,
    interrupted: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(&str),
) -> Result<Report> {
    let mut report = Report { seed: plan.seed, ..Report::default() };
    let (stage, begin) = Stage::start(lab, plan.seed, Resources::of)?;
    report.begin = begin;
    let common = Common::new(plan.seed);
    let mut soak = Soak::start(lab, stage, &common)?;
    soak.recover("the start", common.begun)?;
    report.at_work = Resources::of(soak.stage.gateway()?)?;
    soak.go_on(plan, interrupted, tell, &mut report)?;
    report.seconds = common.begun.elapsed().as_secs_f64();
    tell("the last client goes");
    let gateway = soak.stop(&mut report)?;
    rest(&gateway, plan, &mut report)?;
    let status = gateway.status()?;
    report.datapath = status.text("datapath_reason").to_owned();
    gateway.terminate()?;
    judge(&mut report);
    Ok(report)
}

/// Everything while it runs.
struct Soak<'a> {
    stage: Stage<'a>,
    common: Arc<Common>,
    steady: Vec<Steady>,
    visitors: Vec<Visitor>,
    watch: Watch,
}

impl<'a> Soak<'a> {
    fn start(lab: &Lab, stage: Stage<'a>, common: &Arc<Common>) -> Result<Self> {
        let mut steady = Vec::new();
        for (client, count) in [(&stage.near, NEAR_PROGRAMS), (&stage.far, FAR_PROGRAMS)] {
            for _ in 0..count {
                steady.push(Steady::start(lab.bind_program(client)?, common)?);
            }
        }
        let visitor = |_| Visitor::start(lab.program_of(&stage.visitors), common);
        let visitors = (0..VISITORS).map(visitor).collect();
        Ok(Self { stage, common: common.clone(), steady, visitors, watch: Watch::default() })
    }

    /// Lets faults come until it is time to stop.
    fn go_on(
        &mut self,
        plan: &Plan,
        interrupted: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(&str),
        report: &mut Report,
    ) -> Result<()> {
        let mut deck = Deck::new(plan.seed, plan.thorough);
        let until = Instant::now() + plan.duration;
        while Instant::now() < until {
            if interrupted() {
                report.failures.push("interrupted".to_owned());
                break;
            }
            let (faults, lasts) = deck.draw();
            let took = self.strike(&faults, Duration::from_millis(lasts))?;
            let names: Vec<_> = faults.iter().map(|fault| fault.name()).collect();
            let names = names.join(" and ");
            for fault in &faults {
                let struck = report.faults.entry(fault.name()).or_default();
                struck.times += 1;
                let took = took.unwrap_or(RECOVERY).as_secs_f64();
                struck.slowest_recovery_s = struck.slowest_recovery_s.max(took);
            }
            let line = match took {
                Some(took) => format!("{names}, {lasts} ms; back after {} ms", took.as_millis()),
                None => format!("{names}, {lasts} ms; NOT BACK after {} s", RECOVERY.as_secs()),
            };
            tell(&self.progress(&line));
            if took.is_none() {
                report.failures.push(self.progress(&line));
                break;
            }
            self.wait(Duration::from_millis(lasts * 7919 % PAUSE_MS));
        }
        Ok(())
    }

    /// Lets faults begin and end, and says how long it took until every steady program had an
    /// answer again; `None` if that took too long.
    fn strike(&mut self, faults: &[Fault], lasts: Duration) -> Result<Option<Duration>> {
        for fault in faults {
            if fault.ends_associations() {
                self.watch.begin(Instant::now());
            }
            self.stage.begin(*fault)?;
        }
        self.wait(lasts);
        faults.iter().rev().try_for_each(|fault| self.stage.end(*fault))?;
        let over = Instant::now();
        self.watch.end(over);
        Ok(self.recover("a fault", over).ok().map(|()| over.elapsed()))
    }

    /// Waits until every steady program has had an answer since then.
    fn recover(&mut self, what: &str, since: Instant) -> Result<()> {
        let since = since.saturating_duration_since(self.common.begun);
        let deadline = Instant::now() + RECOVERY;
        while !self.steady.iter().all(|steady| steady.answered() > since) {
            ensure!(Instant::now() < deadline, "no recovery from {what}");
            self.wait(TICK);
        }
        Ok(())
    }

    /// Lets time pass and reads what clients log meanwhile.
    fn wait(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            self.watch.look([&self.stage.near, &self.stage.far]);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(TICK));
        }
    }

    fn progress(&self, what: &str) -> String {
        let tally = &self.common.tally;
        let (sent, back) = (tally.sent.load(Relaxed), tally.echoed.load(Relaxed));
        let visits = tally.visits.load(Relaxed);
        let seconds = self.common.begun.elapsed().as_secs_f64();
        format!("{seconds:7.1} s  {what}  ({back} of {sent} datagrams back, {visits} visits)")
    }

    /// Ends traffic and clients, and adds up what they have seen. The gateway is left.
    fn stop(mut self, report: &mut Report) -> Result<Node> {
        self.wait(TICK);
        self.common.stop.store(true, Relaxed);
        self.steady.into_iter().try_for_each(Steady::join)?;
        self.visitors.into_iter().try_for_each(Visitor::join)?;
        for client in [&self.stage.near, &self.stage.far, &self.stage.visitors] {
            let status = client.status()?;
            report.handshakes += status.count("handshakes_ok")?;
            report.handshakes_failed += status.count("handshakes_failed")?;
        }
        let tally = &self.common.tally;
        report.visits = tally.visits.load(Relaxed);
        report.packets_sent = tally.sent.load(Relaxed);
        report.packets_back = tally.echoed.load(Relaxed);
        report.bytes_altered = tally.altered_bytes.load(Relaxed);
        report.packets_doubled = tally.doubled.load(Relaxed);
        report.packets_strayed = tally.strayed.load(Relaxed);
        report.associations_ended_by_faults = self.watch.with_cause;
        report.associations_lost_without_cause = self.watch.without_cause.len() as u64;
        report.failures.append(&mut self.watch.without_cause);
        self.stage.end_clients()
    }
}

/// Waits until the gateway has nothing left of its clients, or as long as that may take.
fn rest(gateway: &Node, plan: &Plan, report: &mut Report) -> Result<()> {
    gateway.wait_until("nobody is left", |status| {
        status.associations() == 0 && status.half_open() == 0
    })?;
    let patience = if plan.thorough { REST } else { PATIENCE };
    let begin = report.begin;
    // What is not as it should be by then is judged later.
    let _ = eventually("everything is given back", patience, || {
        report.end = Resources::of(gateway)?;
        let Resources { descriptors, map_entries, map_entries_resting, .. } = report.end;
        let back = (descriptors, map_entries) == (begin.descriptors, begin.map_entries)
            && (!plan.thorough || map_entries_resting == 0);
        Ok(back.then_some(()))
    });
    report.frames_leaked = report.end.frames_leaked;
    Ok(())
}

/// Says what is wrong.
fn judge(report: &mut Report) {
    let Report { begin, at_work, end, .. } = *report;
    let mut wrong = |is: bool, what: String| {
        if is {
            report.failures.push(what);
        }
    };
    wrong(report.packets_back == 0, "no datagram came back".to_owned());
    wrong(report.bytes_altered > 0, format!("{} bytes were altered", report.bytes_altered));
    wrong(report.packets_doubled > 0, format!("{} came back twice", report.packets_doubled));
    wrong(report.packets_strayed > 0, format!("{} went astray", report.packets_strayed));
    wrong(end.frames_leaked != 0, format!("{} frames are missing", end.frames_leaked));
    let (before, after) = (begin.descriptors, end.descriptors);
    wrong(before != after, format!("{before} descriptors before, {after} after"));
    wrong(end.map_entries > 0, format!("{} map entries are left", end.map_entries));
    let (before, after) = (at_work.resident_kib, end.resident_kib);
    let grown = after > before + RESIDENT_GROWTH_KIB;
    wrong(grown, format!("{before} KiB resident at work, {after} after"));
    report.ok = report.failures.is_empty();
}
