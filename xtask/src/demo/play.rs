//! The play itself: who starts when, what they send, and what is asked of them at the end.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Datapath;
use super::interrupt::{Interrupt, Patience};
use super::program::Program;
use super::report::{Report, drop_faults};
use super::stage::Stage;

/// How long everything may take that is waited for, the ends of the programs excepted.
const TIME_LIMIT: Duration = Duration::from_secs(45);

/// What is under way when the last program has ended may arrive for so long: a drop too many must
/// not be missed.
const REST: Duration = Duration::from_millis(200);

/// How long drops that are still missing then are waited for.
const DROPS_TIMEOUT: Duration = Duration::from_secs(3);

/// How many lines of each program a failure shows.
const LAST_LINES: usize = 15;

/// Plays from the first namespace to the last SIGTERM, and fills in the report on the way.
/// Everything is gone when this returns, except what went wrong: that is in the report.
pub(super) fn play(interrupt: &Interrupt, datapath: Datapath, report: &mut Report) {
    let begin = Instant::now();
    if let Err(error) = on_a_stage(interrupt, datapath, report) {
        // A signal may have hit what we called: then it is the better reason.
        let error = interrupt.check().err().unwrap_or(error);
        report.faults.insert(0, format!("{error:#}"));
    }
    report.elapsed = begin.elapsed();
}

fn on_a_stage(interrupt: &Interrupt, datapath: Datapath, report: &mut Report) -> Result<()> {
    let stage = Stage::new(datapath)?;
    // Made after the stage, so that the programs end before their namespaces go.
    let mut cast = Cast::new();
    let patience = Patience::new(interrupt, TIME_LIMIT);
    let outcome = perform(&stage, &patience, &mut cast, report);
    let failed = outcome.is_err() || !report.is_ok();
    if failed && interrupt.check().is_ok() {
        report.faults.extend(cast.last_words());
    }
    outcome
}

fn perform(
    stage: &Stage,
    patience: &Patience<'_>,
    cast: &mut Cast,
    report: &mut Report,
) -> Result<()> {
    cast.echo.start(stage.echo())?;
    cast.echo.line(patience, "listening on")?;
    cast.gateway.start(stage.gateway())?;
    cast.gateway.line(patience, "gateway is ready")?;
    let line = cast.gateway.line(patience, "datapath: ")?;
    report.chosen = Some(without_time(&line).to_owned());
    cast.client.start(stage.client())?;
    cast.client.line(patience, "ready: ")?;

    cast.probe.start(stage.probe(report.packets, report.programs))?;
    cast.garbage.start(stage.garbage())?;
    patience.until("the traffic to end", || {
        cast.ensure_served()?;
        Ok((cast.garbage.has_ended()? && cast.probe.has_ended()?).then_some(()))
    })?;
    cast.garbage.ensure_success()?;
    report.bad_packets = cast.garbage.report()?;
    report.probed = cast.probe.report()?;

    patience.rest(REST)?;
    let begin = Instant::now();
    report.status = patience.until("the gateway's counts", || {
        let status = stage.status()?;
        let complete = drop_faults(&report.bad_packets, &status.drops).is_empty();
        let done = complete || begin.elapsed() > DROPS_TIMEOUT;
        Ok(done.then_some(status))
    })?;
    cast.client.terminate()?;
    cast.gateway.terminate()?;
    cast.echo.terminate()?;
    report.echoed = cast.echo.report()?;
    report.judge();
    Ok(())
}

/// The line of a log without what stands before the message.
fn without_time(line: &str) -> &str {
    line.split_once("INFO ").map_or(line, |(_, message)| message).trim()
}

/// All programs, in the order of their entry. The last words of each are kept.
struct Cast {
    echo: Program,
    gateway: Program,
    client: Program,
    probe: Program,
    garbage: Program,
}

impl Cast {
    fn new() -> Self {
        Self {
            echo: Program::idle("udp-echo"),
            gateway: Program::idle("xdtls gateway"),
            client: Program::idle("xdtls connect"),
            probe: Program::idle("udp-probe"),
            garbage: Program::idle("udp-garbage"),
        }
    }

    /// Fails once one has ended that must not: it would take long until all datagrams are lost.
    fn ensure_served(&mut self) -> Result<()> {
        let Self { echo, gateway, client, .. } = self;
        [echo, gateway, client].into_iter().try_for_each(Program::ensure_running)
    }

    fn last_words(&self) -> Vec<String> {
        let Self { echo, gateway, client, probe, garbage } = self;
        let mut words = Vec::new();
        for program in [echo, gateway, client, probe, garbage] {
            let lines = program.last_lines(LAST_LINES);
            if !lines.is_empty() {
                words.push(format!(
                    "last lines of {}:\n    {}",
                    program.name(),
                    lines.join("\n    ")
                ));
            }
        }
        words
    }
}
