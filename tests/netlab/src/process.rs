//! Child processes whose output is kept and that end with their owner.

use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::output::Output;

mod output;

pub use output::{Line, Stream};

/// How long output may still arrive once the process has ended. Only a grandchild that holds the
/// pipe open makes it matter.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);

/// A running child process; dropping it kills it.
///
/// What it prints is read line by line and kept for diagnosis.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
}

/// What is left of a process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub lines: Vec<Line>,
}

impl Finished {
    /// The last line of its standard output: where programs put their report.
    pub fn last_stdout_line(&self) -> Option<&str> {
        let line = self.lines.iter().rev().find(|line| line.stream == Stream::Stdout)?;
        Some(&line.text)
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        self.lines.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

impl Process {
    /// Starts a command, mostly one of [`crate::Netns::command`]. `name` stands in error messages.
    pub fn spawn(name: &str, mut command: Command) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn_from_lasting_thread(command)
            .with_context(|| format!("{name} could not be started"))?;
        let output = Output::collect(child.stdout.take(), child.stderr.take());
        Ok(Self { name: name.to_owned(), child, output })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, once, if the command was given a pipe for it.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// What it has printed so far.
    pub fn lines(&self) -> Vec<Line> {
        self.output.lines()
    }

    /// What it has printed from its `first` line on, counted from 0, and what to ask with next time.
    /// Of a process that prints very much the oldest lines are forgotten.
    pub fn lines_from(&self, first: usize) -> (Vec<Line>, usize) {
        self.output.lines_from(first)
    }

    /// Waits until it has printed a line that contains `pattern`, on either stream and at any time
    /// since its start, and returns the first such line.
    pub fn wait_for_line(&self, pattern: &str, timeout: Duration) -> Result<String> {
        self.output.wait_for_line(pattern, timeout).with_context(|| {
            format!("{} printed no line with {pattern:?}\n{}", self.name, self.transcript())
        })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        // As long as it has not been waited for, its id is not given to anybody else.
        ensure!(self.is_running()?, "{} has ended\n{}", self.name, self.transcript());
        kill_process(Pid::from_child(&self.child), signal)?;
        Ok(())
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self, timeout: Duration) -> Result<Finished> {
        match self.ended_within(timeout)? {
            Some(finished) => Ok(finished),
            None => bail!("{} still runs after {timeout:?}\n{}", self.name, self.transcript()),
        }
    }

    /// Asks it to end (SIGTERM), kills it (SIGKILL) when that has not helped within `patience`.
    pub fn terminate(mut self, patience: Duration) -> Result<Finished> {
        if self.is_running()? {
            self.signal(Signal::TERM)?;
        }
        if let Some(finished) = self.ended_within(patience)? {
            return Ok(finished);
        }
        self.child.kill()?;
        let status = self.child.wait()?;
        Ok(self.finished(status))
    }

    fn ended_within(&mut self, timeout: Duration) -> Result<Option<Finished>> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(self.finished(status)));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn finished(&self, status: ExitStatus) -> Finished {
        self.output.wait_for_end(OUTPUT_TIMEOUT);
        Finished { status, lines: self.lines() }
    }

    fn transcript(&self) -> String {
        let lines: Vec<_> = self.lines().iter().map(Line::to_string).collect();
        format!("--- output of {} ---\n{}", self.name, lines.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end and returns its standard output; its failure is an error.
pub fn capture(command: &mut Command) -> Result<String> {
    // Ctrl-C goes to the whole group: an `ip` that it ends leaves a namespace half made or removed.
    command.process_group(0);
    let output = command.output().with_context(|| format!("{command:?} could not be started"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where cargo has put a program of this workspace: beside the running program or, seen from a
/// test, one directory up.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).take(2).map(|directory| directory.join(name));
    found
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not built: `cargo build --bins` builds it"))
}

/// The signal that [`crate::Netns::command`] asks for at its parent's death is sent when the thread
/// dies that spawned the child. A test's thread may end before the lab that it has set up.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Request = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Request>> = LazyLock::new(|| {
        let (requests, received) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, reply) in received {
                // The asker waits for it below.
                let _ = reply.send(command.spawn());
            }
        });
        requests
    });
    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::other("the spawning thread has died");
    SPAWNER.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}
