//! Signals that end the demo, and bounded waiting that notices them.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

const SIGNALS: [(i32, &str); 2] = [(SIGINT, "SIGINT"), (SIGTERM, "SIGTERM")];

/// What a shell adds to the number of the signal that ended a program.
const EXIT_CODE_BASE: u8 = 128;

/// The pause between two looks at what is waited for.
const TICK: Duration = Duration::from_millis(10);

/// SIGINT and SIGTERM, which end the demo at once as long as there is nothing to clean up, and
/// are noted for [`Patience`] from then on.
pub(super) struct Interrupt {
    /// The last signal that has come; 0 for none.
    signal: Arc<AtomicUsize>,
    at_once: Arc<AtomicBool>,
}

impl Interrupt {
    /// Watches for the signals.
    pub(super) fn register() -> Result<Self> {
        let interrupt = Self { signal: Arc::default(), at_once: Arc::new(AtomicBool::new(true)) };
        for (signal, _) in SIGNALS {
            flag::register_conditional_default(signal, Arc::clone(&interrupt.at_once))?;
            flag::register_usize(signal, Arc::clone(&interrupt.signal), signal as usize)?;
        }
        Ok(interrupt)
    }

    /// Whether a signal ends us where we are. A build may be left so, a lab may not.
    pub(super) fn end_at_once(&self, at_once: bool) {
        self.at_once.store(at_once, Ordering::SeqCst);
    }

    /// Fails if a signal has come.
    pub(super) fn check(&self) -> Result<()> {
        if let Some((_, name)) = self.noted() {
            bail!("interrupted by {name}");
        }
        Ok(())
    }

    /// The exit code of a program that a signal has ended, if one has come.
    pub(super) fn exit_code(&self) -> Option<ExitCode> {
        let (signal, _) = self.noted()?;
        Some(ExitCode::from(EXIT_CODE_BASE + u8::try_from(signal).ok()?))
    }

    fn noted(&self) -> Option<(i32, &'static str)> {
        let noted = self.signal.load(Ordering::SeqCst);
        SIGNALS.into_iter().find(|(signal, _)| *signal as usize == noted)
    }
}

/// How long everything that is waited for may take altogether.
pub(super) struct Patience<'a> {
    interrupt: &'a Interrupt,
    deadline: Instant,
}

impl<'a> Patience<'a> {
    pub(super) fn new(interrupt: &'a Interrupt, limit: Duration) -> Self {
        Self { interrupt, deadline: Instant::now() + limit }
    }

    /// Asks until there is an answer, no time is left or a signal has come.
    pub(super) fn until<T>(
        &self,
        awaited: &str,
        mut ask: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        loop {
            self.interrupt.check()?;
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            ensure!(Instant::now() < self.deadline, "there is no time left to wait for {awaited}");
            thread::sleep(TICK);
        }
    }

    /// Waits for so long, whatever happens meanwhile.
    pub(super) fn rest(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        self.until("a rest", || Ok((Instant::now() >= end).then_some(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_an_answer_a_signal_or_the_time() {
        let interrupt = Interrupt { signal: Arc::default(), at_once: Arc::default() };
        let patience = Patience::new(&interrupt, Duration::from_millis(30));
        let mut asked = 0;
        let answer = patience.until("it", || {
            asked += 1;
            Ok((asked == 2).then_some(asked))
        });
        assert_eq!(answer.unwrap(), 2);
        let late = patience.until("Godot", || Ok(None::<()>)).unwrap_err();
        assert_eq!(late.to_string(), "there is no time left to wait for Godot");
        interrupt.signal.store(SIGTERM as usize, Ordering::SeqCst);
        let interrupted = patience.until("it", || Ok(Some(()))).unwrap_err();
        assert_eq!(interrupted.to_string(), "interrupted by SIGTERM");
        assert_eq!(interrupt.exit_code(), Some(ExitCode::from(143)));
    }
}
