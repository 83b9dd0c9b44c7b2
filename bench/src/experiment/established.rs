//! Traffic of established associations while a flood goes on.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use xdtls_netlab::{Process, program};

use super::{Bench, end};
use crate::client;
use crate::lab::{GATEWAY, PATIENCE};
use crate::numbers::ratio;

/// Where the client takes datagrams.
const LOCAL: &str = "127.0.0.1:5000";

/// Datagrams in each situation, how many a second, and from how many local programs.
const COUNT: &str = "10000";
const RATE: &str = "1000";
const PROGRAMS: &str = "4";

/// What became of datagrams to an echo behind the gateway.
#[derive(Debug, Default, Serialize)]
pub struct Traffic {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams of which the echo has not come back within five seconds.
    pub lost: u64,
    /// Datagrams of both directions that no program has seen, because a receive ring was full: those
    /// to the gateway, and those from it. Others' are among them.
    pub lost_at_rings: [u64; 2],
    /// Half of the others came back within this time, in microseconds.
    pub rtt_us_p50: u64,
    /// 99 of 100 did within this one.
    pub rtt_us_p99: u64,
}

impl Traffic {
    /// The share of those that were lost.
    pub fn loss(&self) -> f64 {
        ratio(self.lost as f64, self.sent as f64)
    }

    fn run(bench: &Bench) -> Result<Self> {
        let before = bench.lab.lost_at_rings()?;
        let mut probe = bench.lab.world.command(program("udp-probe")?);
        probe.args(["--target", LOCAL, "--json", "--sizes", "100-1200", "--count", COUNT]);
        probe.args(["--rate", RATE, "--sockets", PROGRAMS, "--window", "4096"]);
        let finished = Process::spawn("udp-probe", probe)?.wait(3 * PATIENCE)?;
        let line = finished.last_stdout_line().with_context(|| format!("no report: {finished}"))?;
        let report: Value = serde_json::from_str(line)?;
        let number =
            |name: &str| report[name].as_u64().with_context(|| format!("no {name}: {line}"));
        let after = bench.lab.lost_at_rings()?;
        let lost = |end: usize| after[end].saturating_sub(before[end]);
        Ok(Self {
            lost_at_rings: [lost(0), lost(1)],
            sent: number("sent")?,
            lost: number("lost")?,
            rtt_us_p50: number("rtt_us_p50")?,
            rtt_us_p99: number("rtt_us_p99")?,
        })
    }
}

/// The three situations.
#[derive(Debug, Default, Serialize)]
pub struct Established {
    /// Without a flood.
    pub quiet: Traffic,
    /// The flood comes in on another receive queue.
    pub other_queue: Traffic,
    /// The flood comes in on the same receive queue.
    pub same_queue: Traffic,
}

impl Established {
    /// Measures all of them, over the same associations.
    pub fn measure(bench: &Bench) -> Result<Self> {
        let lab = bench.lab;
        let (echo, gateway) = (lab.start_echo()?, lab.start_gateway(65_536)?);
        lab.own_core(true, false)?;
        lab.steer_sockets(1)?;
        let (pass, client) = (lab.start_pass()?, start_client(bench)?);
        bench.step("established traffic without a flood")?;
        let quiet = Traffic::run(bench)?;
        end(pass)?;
        bench.step("established traffic, the flood on another receive queue")?;
        let flood = bench.background_flood()?;
        let other_queue = Traffic::run(bench)?;
        lab.steer_sockets(0)?;
        bench.step("established traffic, the flood on the same receive queue")?;
        let same_queue = Traffic::run(bench)?;
        for process in [flood, client, echo] {
            end(process)?;
        }
        lab.own_core(false, false)?;
        end(gateway)?;
        Ok(Self { quiet, other_queue, same_queue })
    }
}

fn start_client(bench: &Bench) -> Result<Process> {
    let command = bench.lab.world.command(program("xdtls")?);
    client::start(command, (GATEWAY, LOCAL), |name| bench.lab.file(name))
}
