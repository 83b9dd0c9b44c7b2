//! SIGINT and SIGTERM, noted so that what was made can be taken away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether a signal has come.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Watches for the signals; a second one ends the process at once.
    pub fn register() -> Result<Self> {
        let noted = Self::default();
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, Arc::clone(&noted.0))?;
            flag::register(signal, Arc::clone(&noted.0))?;
        }
        Ok(noted)
    }

    /// Whether a signal has come.
    pub fn has_come(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Fails if a signal has come.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.has_come(), "interrupted");
        Ok(())
    }
}
