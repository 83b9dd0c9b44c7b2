//! The ring of cookie secrets that workers read and one timer renews.

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use xdtls_common::cookie::{CookieSecrets, SECRETS};

use crate::random::random_u64;

/// The ring, shared. A secret is written only while it judges nothing, so that readers need no
/// lock.
pub struct SharedSecrets([[AtomicU64; 2]; SECRETS]);

impl SharedSecrets {
    /// A ring of fresh secrets.
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| [random_u64().into(), random_u64().into()]))
    }

    /// The secrets as they are, and the second in which they are to be used.
    pub fn snapshot(&self) -> (CookieSecrets, u32) {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let ring = std::array::from_fn(|index| self.0[index].each_ref().map(load));
        (CookieSecrets(ring), coarse_seconds())
    }

    /// Writes a fresh secret for the next period.
    pub fn renew(&self) {
        for word in &self.0[CookieSecrets::index_to_renew(coarse_seconds())] {
            word.store(random_u64(), Ordering::Relaxed);
        }
    }
}

impl Default for SharedSecrets {
    fn default() -> Self {
        Self::new()
    }
}

/// Seconds of the coarse monotonic clock, which XDP programs can read as well.
fn coarse_seconds() -> u32 {
    clock_gettime(ClockId::MonotonicCoarse).tv_sec as u32
}
