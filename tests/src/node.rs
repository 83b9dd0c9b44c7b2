//! A running gateway or client.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use xdtls_netlab::{Finished, Line, Process, capture, program};

use crate::status::Status;
use crate::wait::{PATIENCE, eventually};

/// What nodes have logged, kept for the report of a test that fails.
pub(crate) type Journal = Arc<Mutex<Vec<String>>>;

/// A running gateway or client; dropping it kills it.
pub struct Node {
    name: String,
    /// `None` once it has ended.
    process: Option<Process>,
    socket: PathBuf,
    address: SocketAddr,
    journal: Journal,
}

impl Node {
    /// Starts it and waits until it answers on its admin socket.
    pub(crate) fn start(
        name: String,
        mut command: Command,
        socket: PathBuf,
        journal: Journal,
    ) -> Result<Self> {
        command.env("NO_COLOR", "1");
        let process = Process::spawn(&name, command)?;
        process.wait_for_line("ready", PATIENCE)?;
        let status = eventually("its admin socket", PATIENCE, || Ok(Status::ask(&socket).ok()))
            .context(name.clone())?;
        let address = status.address()?;
        Ok(Self { name, process: Some(process), socket, address, journal })
    }

    /// Its process id.
    pub fn id(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("it has ended")?.id())
    }

    /// Where it listens: a gateway's outside, a client's port for local programs.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted so far.
    pub fn status(&self) -> Result<Status> {
        Status::ask(&self.socket).with_context(|| self.name.clone())
    }

    /// What `xdtls` prints when it asks this node; an error if it fails, with what it says then.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(program("xdtls")?);
        command.args(arguments).arg("--socket").arg(&self.socket);
        capture(&mut command)
    }

    /// All that it has logged so far.
    pub fn logged(&self) -> String {
        let lines = self.process.iter().flat_map(Process::lines);
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// What it has logged from its `first` line on, counted from 0, and what to ask with next time.
    pub fn logged_from(&self, first: usize) -> (Vec<String>, usize) {
        let Some(process) = &self.process else { return (Vec::new(), first) };
        let (lines, next) = process.lines_from(first);
        (lines.into_iter().map(|line| line.text).collect(), next)
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.as_mut().context("it has ended")?.signal(signal)
    }

    /// Waits until its status fulfils a condition, and returns that status.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&Status) -> bool) -> Result<Status> {
        let mut last = None;
        let seen = eventually(what, PATIENCE, || {
            let status = self.status()?;
            let held = holds(&status);
            last = Some(status.clone());
            Ok(held.then_some(status))
        });
        let last = last.map_or_else(String::new, |status| status.to_string());
        seen.with_context(|| format!("{} has status {last}", self.name))
    }

    /// Waits until it has this many associations.
    pub fn wait_for_associations(&self, count: u64) -> Result<Status> {
        self.wait_until(&format!("{count} associations"), |status| status.associations() == count)
    }

    /// Waits until it lists this many associations. They work before they are listed, which another
    /// thread does.
    pub fn wait_until_listed(&self, count: usize) -> Result<()> {
        eventually(&format!("{count} associations in the list"), PATIENCE, || {
            let page = self.ask(&["associations", "list", "--json"])?;
            let page: serde_json::Value = serde_json::from_str(&page)?;
            Ok((page["total"] == count).then_some(()))
        })
    }

    /// Waits until it has counted this many of what a status calls so.
    pub fn wait_for_count(&self, name: &str, count: u64) -> Result<Status> {
        self.status()?.count(name)?;
        let counted = |status: &Status| status.count(name).is_ok_and(|counted| counted == count);
        self.wait_until(&format!("{name} is {count}"), counted)
    }

    /// Waits until it has logged a line with these words, at any time since its start.
    pub fn wait_for_log(&self, words: &str, patience: Duration) -> Result<String> {
        let process = self.process.as_ref().context("it has ended")?;
        process.wait_for_line(words, patience)
    }

    /// Ends it by SIGTERM; anything but a clean exit is an error.
    pub fn terminate(mut self) -> Result<()> {
        let finished = self.take()?.terminate(PATIENCE)?;
        self.log(&finished.lines);
        ensure!(finished.status.success(), "{}: {}", self.name, finished.status);
        Ok(())
    }

    /// Waits for its end, which must come by itself and be clean.
    pub fn ended(mut self) -> Result<()> {
        let finished = self.take()?.wait(PATIENCE)?;
        self.log(&finished.lines);
        ensure!(finished.status.success(), "{}: {}", self.name, finished.status);
        Ok(())
    }

    /// Ends it by SIGKILL: it cannot say goodbye to anybody.
    pub fn kill(mut self) -> Result<()> {
        let mut process = self.take()?;
        process.signal(Signal::KILL)?;
        let Finished { lines, .. } = process.wait(PATIENCE)?;
        self.log(&lines);
        Ok(())
    }

    fn take(&mut self) -> Result<Process> {
        self.process.take().context("it has ended")
    }

    fn log(&self, lines: &[Line]) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.push(format!("--- {} ---", self.name));
        journal.extend(lines.iter().map(Line::to_string));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            self.log(&process.lines());
        }
    }
}
