//! Handshakes of unmodified `openssl s_client` while a flood goes on.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use xdtls_netlab::{Process, program};

use super::{Bench, end};
use crate::lab::{GATEWAY, PATIENCE};
use crate::numbers::{percentile, ratio};

/// Where the shim listens that adds the prefix for them.
const SHIM: &str = "127.0.0.1:4443";

/// Handshakes at a time.
const AT_ONCE: usize = 4;

/// How long a handshake may take: as long as the gateway gives it.
const DEADLINE: Duration = Duration::from_secs(15);

/// How often the clients are looked at.
const TICK: Duration = Duration::from_millis(2);

/// How handshakes went.
#[derive(Debug, Default, Serialize)]
pub struct Handshakes {
    /// How many were tried.
    pub tried: u64,
    /// How many succeeded, both certificates verified.
    pub succeeded: u64,
    /// How long those took, from the client's start to its end, in milliseconds, sorted.
    pub milliseconds: Vec<f64>,
}

impl Handshakes {
    /// The share of those that succeeded.
    pub fn share(&self) -> f64 {
        ratio(self.succeeded as f64, self.tried as f64)
    }

    /// The time below which this share of them took.
    pub fn milliseconds(&self, share: f64) -> f64 {
        percentile(&self.milliseconds, share)
    }

    /// Does `count` handshakes, `at_once` at a time.
    pub fn perform(bench: &Bench, count: usize, at_once: usize) -> Result<Self> {
        let mut shim = bench.lab.world.command(program("prefix-shim")?);
        shim.args(["--listen", SHIM, "--gateway", GATEWAY]);
        let shim = Process::spawn("prefix-shim", shim)?;
        shim.wait_for_line("listening on ", PATIENCE)?;
        let (mut result, mut started) = (Self::default(), 0);
        let mut running: Vec<(Process, Instant)> = Vec::new();
        while started < count || !running.is_empty() {
            bench.interrupt.check()?;
            while running.len() < at_once && started < count {
                running.push((Process::spawn("s_client", client(bench))?, Instant::now()));
                started += 1;
            }
            let mut remaining = Vec::new();
            for (mut process, begin) in running {
                let late = begin.elapsed() > DEADLINE;
                if process.is_running()? && !late {
                    remaining.push((process, begin));
                    continue;
                }
                result.tried += 1;
                if !late && succeeded(process)? {
                    result.succeeded += 1;
                    result.milliseconds.push(begin.elapsed().as_secs_f64() * 1e3);
                }
            }
            running = remaining;
            thread::sleep(TICK);
        }
        end(shim)?;
        result.milliseconds.sort_by(f64::total_cmp);
        Ok(result)
    }
}

/// The three situations.
#[derive(Debug, Default, Serialize)]
pub struct UnderFlood {
    /// Without a flood.
    pub quiet: Handshakes,
    /// The flood comes in on another receive queue.
    pub other_queue: Handshakes,
    /// The flood comes in on the same receive queue.
    pub same_queue: Handshakes,
    /// Hellos of the two floods that the gateway has answered.
    pub flood_replies: [u64; 2],
}

impl UnderFlood {
    /// Does all of them.
    pub fn measure(bench: &Bench) -> Result<Self> {
        let lab = bench.lab;
        let gateway = lab.start_gateway(65_536)?;
        lab.own_core(true, false)?;
        lab.steer_sockets(1)?;
        bench.step("handshakes without a flood")?;
        let pass = lab.start_pass()?;
        let quiet = Handshakes::perform(bench, 20, AT_ONCE)?;
        end(pass)?;
        bench.step("100 handshakes, the flood on another receive queue")?;
        let flood = bench.background_flood()?;
        let other_queue = Handshakes::perform(bench, 100, AT_ONCE)?;
        let first = replies(flood)?;
        lab.steer_sockets(0)?;
        bench.step("100 handshakes, the flood on the same receive queue")?;
        let flood = bench.background_flood()?;
        // Most of them wait for repetitions, so that more at once cost nothing but less time.
        let same_queue = Handshakes::perform(bench, 100, 25)?;
        let second = replies(flood)?;
        lab.own_core(false, false)?;
        end(gateway)?;
        Ok(Self { quiet, other_queue, same_queue, flood_replies: [first, second] })
    }
}

/// Ends a flood; how many hellos of it were answered.
fn replies(flood: Process) -> Result<u64> {
    let finished = flood.terminate(PATIENCE)?;
    let line = finished.last_stdout_line().with_context(|| format!("no report: {finished}"))?;
    let report: crate::flood::Report = serde_json::from_str(line)?;
    Ok(report.replies.hello_verify_requests)
}

fn client(bench: &Bench) -> Command {
    let mut command = bench.lab.world.command("openssl");
    command.args(["s_client", "-dtls1_2", "-connect", SHIM, "-verify_return_error"]);
    command.args(["-verify_hostname", "gateway"]);
    for (option, file) in [("-CAfile", "ca.pem"), ("-cert", "client.pem"), ("-key", "client.key")] {
        command.arg(option).arg(bench.lab.file(file));
    }
    command
}

/// Without input, a client says goodbye as soon as its handshake is over.
fn succeeded(client: Process) -> Result<bool> {
    let finished = client.wait(PATIENCE)?;
    let verified = finished.lines.iter().any(|line| line.text.contains("Verification: OK"));
    Ok(finished.status.success() && verified)
}
