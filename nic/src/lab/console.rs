//! The guest's console: what it prints is shown, what it asks for is answered.
//!
//! Lines that begin with `@` are for the host: `@wire` asks for the wire's counters, which go back
//! as one line of JSON; `@report JSON` and `@status N` are how the guest ends.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xdtls_bench::interrupt::Interrupt;

/// How often a signal is looked for.
const LOOK: Duration = Duration::from_millis(200);

/// What a guest has ended with.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// What it has reported, as JSON.
    pub(super) report: Option<String>,
    /// The exit status of its program.
    pub(super) status: Option<i32>,
}

/// A machine that runs; dropping it switches it off.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a machine to its end, for at most so long. `show` hears what it prints.
pub(super) fn attend(
    mut command: Command,
    patience: Duration,
    interrupt: &Interrupt,
    counters: impl Fn() -> Result<BTreeMap<String, u64>>,
    mut show: impl FnMut(&str),
) -> Result<Ended> {
    command.stdout(std::process::Stdio::piped());
    let child = command.spawn().with_context(|| format!("{command:?} could not be started"))?;
    let mut machine = Machine(child);
    let mut answers = machine.0.stdin.take().context("the console takes no input")?;
    let lines = lines_of(machine.0.stdout.take().context("the console has no output")?);
    let (deadline, mut ended) = (Instant::now() + patience, Ended::default());
    loop {
        interrupt.check()?;
        ensure!(Instant::now() < deadline, "the guest has not ended within {patience:?}");
        let line = match lines.recv_timeout(LOOK) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        match line.strip_prefix('@').and_then(|asked| asked.split_once(' ')) {
            Some(("report", report)) => ended.report = Some(report.to_owned()),
            Some(("status", status)) => ended.status = status.parse().ok(),
            _ if line == "@wire" => {
                let mut answer = serde_json::to_vec(&counters()?)?;
                answer.push(b'\n');
                answers.write_all(&answer).context("the guest takes no answer")?;
            }
            _ => show(&line),
        }
    }
    let status = machine.0.wait()?;
    if ended.status.is_none() {
        bail!("the guest has died ({status})");
    }
    Ok(ended)
}

/// Lines as they come; a thread reads them until the other end is closed.
fn lines_of(output: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut bytes = Vec::new();
        while matches!(output.read_until(b'\n', &mut bytes), Ok(1..)) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    lines
}
