//! Waiting for what happens soon, without asserting how soon.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// Far longer than anything but a time-out of xdtls itself takes on a machine that works.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long to sleep between two looks.
const TICK: Duration = Duration::from_millis(25);

/// Looks until there is something to be seen; gives up with `what` as the reason.
pub fn eventually<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        ensure!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::sleep(TICK);
    }
}
