//! A program of the demo: started once, watched, and its last words kept.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use xdtls_netlab::{Finished, Line, Process};

use super::interrupt::Patience;

/// How long a program that was asked to end may take before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// How long one look at a program's output takes.
const LOOK: Duration = Duration::from_millis(10);

/// One program of the demo. Dropping it kills what still runs.
pub(super) struct Program {
    name: &'static str,
    state: State,
}

enum State {
    Idle,
    Running(Process),
    Ended(Finished),
}

impl Program {
    /// A program that has not been started.
    pub(super) fn idle(name: &'static str) -> Self {
        Self { name, state: State::Idle }
    }

    /// What it is called in the report.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Starts it.
    pub(super) fn start(&mut self, mut command: Command) -> Result<()> {
        // What the user has set for his own runs must not hide the lines that we wait for.
        command.env("XDTLS_LOG", "info").env("NO_COLOR", "1");
        // The terminal sends Ctrl-C to our whole group. Who ends when is for us to decide.
        command.process_group(0);
        self.state = State::Running(Process::spawn(self.name, command)?);
        Ok(())
    }

    /// Waits for a line that contains `pattern`.
    pub(super) fn line(&mut self, patience: &Patience<'_>, pattern: &str) -> Result<String> {
        let name = self.name;
        let process = self.running()?;
        patience.until(&format!("{name} to say {pattern:?}"), || {
            if let Ok(line) = process.wait_for_line(pattern, LOOK) {
                return Ok(Some(line));
            }
            ensure!(process.is_running()?, "{name} has ended without saying {pattern:?}");
            Ok(None)
        })
    }

    /// Waits until it ends by itself, whatever its exit status.
    pub(super) fn wait(&mut self, patience: &Patience<'_>) -> Result<()> {
        let awaited = format!("{} to end", self.name);
        let process = self.running()?;
        patience.until(&awaited, || Ok((!process.is_running()?).then_some(())))?;
        self.stop()
    }

    /// Asks it to end by SIGTERM.
    pub(super) fn terminate(&mut self) -> Result<()> {
        ensure!(self.running()?.is_running()?, "{} has ended by itself", self.name);
        self.stop()?;
        self.ensure_success()
    }

    /// Fails unless it has ended with exit status 0.
    pub(super) fn ensure_success(&self) -> Result<()> {
        let status = self.finished()?.status;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }

    /// The JSON object that it has ended with.
    pub(super) fn report<T: DeserializeOwned>(&self) -> Result<T> {
        let finished = self.finished()?;
        let line = finished.last_stdout_line().with_context(|| {
            format!("{} ended with {} and no report", self.name, finished.status)
        })?;
        serde_json::from_str(line)
            .with_context(|| format!("the last line of {} is no report: {line}", self.name))
    }

    /// The last lines that it has printed.
    pub(super) fn last_lines(&self, count: usize) -> Vec<String> {
        let lines = match &self.state {
            State::Idle => Vec::new(),
            State::Running(process) => process.lines(),
            State::Ended(finished) => finished.lines.clone(),
        };
        lines.iter().skip(lines.len().saturating_sub(count)).map(Line::to_string).collect()
    }

    fn stop(&mut self) -> Result<()> {
        if let State::Running(process) = std::mem::replace(&mut self.state, State::Idle) {
            self.state = State::Ended(process.terminate(STOP_PATIENCE)?);
        }
        Ok(())
    }

    fn running(&mut self) -> Result<&mut Process> {
        match &mut self.state {
            State::Running(process) => Ok(process),
            _ => bail!("{} does not run", self.name),
        }
    }

    fn finished(&self) -> Result<&Finished> {
        match &self.state {
            State::Ended(finished) => Ok(finished),
            _ => bail!("{} has not ended", self.name),
        }
    }
}
