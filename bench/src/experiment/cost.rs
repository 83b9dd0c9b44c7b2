//! What a flood of hellos costs the gateway: CPU of userspace, time in XDP, bytes, memory.

use anyhow::Result;
use serde::Serialize;

use super::{Bench, RunTimes, SLOTS, end};
use crate::numbers::ratio;
use crate::process_cost::{Memory, Runs, cpu_time, memory, program_runs};

/// Hellos before anything is measured.
const WARM_UP: u64 = 2 << 20;

/// Hellos that must leave no state; more than ten million.
const HELLOS: u64 = 10 << 20;

/// Hellos while the kernel measures its programs, which slows them.
const MEASURED: u64 = 1 << 20;

/// What it costs.
#[derive(Debug, Default, Serialize)]
pub struct Cost {
    /// Hellos after the warm-up.
    pub hellos: u64,
    /// Replies to them.
    pub replies: u64,
    /// How long they took, in seconds.
    pub seconds: f64,
    /// CPU time of the gateway's process meanwhile, in seconds.
    pub cpu_seconds: f64,
    /// Bytes of the hellos, Ethernet headers included.
    pub bytes_in: u64,
    /// Bytes of the replies.
    pub bytes_out: u64,
    /// Memory after the warm-up.
    pub memory_before: Memory,
    /// Memory after the hellos.
    pub memory_after: Memory,
    /// What the XDP program has done while it was measured.
    pub runs: Runs,
}

impl Cost {
    /// Measures a gateway with cookies in XDP.
    pub fn measure(bench: &Bench) -> Result<Self> {
        let lab = bench.lab;
        let gateway = lab.start_gateway(SLOTS)?;
        let pid = gateway.id();
        let senders = ["--senders", "1048576"];
        lab.flood("hello", WARM_UP, &senders)?;
        bench.interrupt.check()?;
        let (memory_before, cpu_before) = (memory(pid)?, cpu_time(pid)?);
        let report = lab.flood("hello", HELLOS, &senders)?;
        // What it does while the generator loads and waits for replies counts against it too.
        let cpu_seconds = (cpu_time(pid)? - cpu_before).as_secs_f64();
        let memory_after = memory(pid)?;
        bench.interrupt.check()?;
        let run_times = RunTimes::measure()?;
        let runs_before = program_runs(pid)?;
        lab.flood("hello", MEASURED, &senders)?;
        let runs_after = program_runs(pid)?;
        drop(run_times);
        end(gateway)?;
        Ok(Self {
            hellos: report.sent.frames,
            replies: report.replies.hello_verify_requests,
            seconds: report.sent.seconds,
            cpu_seconds,
            bytes_in: report.sent.bytes,
            bytes_out: report.replies.bytes,
            memory_before,
            memory_after,
            runs: Runs {
                count: runs_after.count - runs_before.count,
                nanoseconds: runs_after.nanoseconds - runs_before.nanoseconds,
            },
        })
    }

    /// How much of a core the gateway's process takes.
    pub fn cpu_share(&self) -> f64 {
        ratio(self.cpu_seconds, self.seconds)
    }

    /// Bytes by which the gateway has grown, for each hello.
    pub fn state_per_hello(&self) -> f64 {
        let grown = self.memory_after.total().saturating_sub(self.memory_before.total());
        ratio(grown as f64, self.hellos as f64)
    }

    /// Bytes out for each byte in.
    pub fn amplification(&self) -> f64 {
        ratio(self.bytes_out as f64, self.bytes_in as f64)
    }

    /// Time in the XDP program for each frame, in nanoseconds.
    pub fn nanoseconds_per_run(&self) -> f64 {
        ratio(self.runs.nanoseconds as f64, self.runs.count as f64)
    }
}
