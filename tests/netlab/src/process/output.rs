//! What a child prints, collected line by line.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStderr, ChildStdout};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How many lines of a process are kept; the oldest go first.
const LINES_MAX: usize = 20_000;

/// A longer line is cut into pieces of this many bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Where a line was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line that a process has printed.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where it was printed.
    pub stream: Stream,
    /// The line without its end.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.stream == Stream::Stdout { '1' } else { '2' };
        write!(f, "{mark}| {}", self.text)
    }
}

/// The lines of one process, filled by one thread for each stream.
#[derive(Debug, Default)]
pub(super) struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Line>,
    dropped: usize,
    open_streams: usize,
}

impl Output {
    /// Begins to collect. The threads end with the streams.
    pub(super) fn collect(stdout: Option<ChildStdout>, stderr: Option<ChildStderr>) -> Arc<Self> {
        let output = Arc::new(Self::default());
        output.state().open_streams = usize::from(stdout.is_some()) + usize::from(stderr.is_some());
        if let Some(stdout) = stdout {
            Self::read(&output, Stream::Stdout, stdout);
        }
        if let Some(stderr) = stderr {
            Self::read(&output, Stream::Stderr, stderr);
        }
        output
    }

    fn read(output: &Arc<Self>, stream: Stream, source: impl Read + Send + 'static) {
        let output = Arc::clone(output);
        std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut bytes = Vec::new();
            while matches!(
                source.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes),
                Ok(1..)
            ) {
                let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).into();
                output.push(Line { stream, text });
                bytes.clear();
            }
            output.state().open_streams -= 1;
            output.changed.notify_all();
        });
    }

    fn push(&self, line: Line) {
        let mut state = self.state();
        if state.lines.len() == LINES_MAX {
            state.lines.pop_front();
            state.dropped += 1;
        }
        state.lines.push_back(line);
        self.changed.notify_all();
    }

    /// The lines so far.
    pub(super) fn lines(&self) -> Vec<Line> {
        self.state().lines.iter().cloned().collect()
    }

    /// The lines from this one on, and the number of the next.
    pub(super) fn lines_from(&self, first: usize) -> (Vec<Line>, usize) {
        let state = self.state();
        let lines = state.lines.iter().skip(first.saturating_sub(state.dropped)).cloned();
        (lines.collect(), state.dropped + state.lines.len())
    }

    /// The first line that contains `pattern`; fails when there is none in time or none can come.
    pub(super) fn wait_for_line(&self, pattern: &str, timeout: Duration) -> Result<String> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        // Lines are counted from the process's first, so that none is looked at twice.
        let mut looked_at = 0;
        loop {
            let skip = looked_at.max(state.dropped) - state.dropped;
            if let Some(line) = state.lines.iter().skip(skip).find(|l| l.text.contains(pattern)) {
                return Ok(line.text.clone());
            }
            looked_at = state.dropped + state.lines.len();
            if state.open_streams == 0 {
                bail!("its output has ended");
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                bail!("nothing within {timeout:?}");
            };
            state = self.wait(state, left);
        }
    }

    /// Waits until both streams have ended.
    pub(super) fn wait_for_end(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        while state.open_streams > 0 {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return };
            state = self.wait(state, left);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, timeout: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, timeout);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked here has left whole lines behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
