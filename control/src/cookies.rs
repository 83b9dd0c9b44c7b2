//! The ring of cookie secrets that workers and the XDP program read and one timer renews.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::time::{ClockId, clock_gettime};
use tracing::warn;
use xdtls_common::cookie::{CookieSecrets, SECRETS};

use crate::datapath::xdp::{SecretsMap, XdpError};
use crate::random::random_u64;

/// The ring, shared. A secret is written only while it judges nothing, so that readers need no
/// lock.
pub struct SharedSecrets {
    ring: [[AtomicU64; 2]; SECRETS],
    /// The XDP program's copy, if it judges cookies too.
    mirror: OnceLock<Mutex<SecretsMap>>,
}

impl SharedSecrets {
    /// A ring of fresh secrets.
    pub fn new() -> Self {
        let ring = std::array::from_fn(|_| [random_u64().into(), random_u64().into()]);
        Self { ring, mirror: OnceLock::new() }
    }

    /// The secrets as they are, and the second in which they are to be used.
    pub fn snapshot(&self) -> (CookieSecrets, u32) {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let ring = std::array::from_fn(|index| self.ring[index].each_ref().map(load));
        (CookieSecrets(ring), coarse_seconds())
    }

    /// Copies all secrets to the XDP program, and from now on each new one.
    pub fn mirror_to(&self, mut map: SecretsMap) -> Result<(), XdpError> {
        for (index, secret) in self.snapshot().0.0.into_iter().enumerate() {
            map.write(index, secret)?;
        }
        // There is one program in a process; a second one would only not be renewed.
        let _ = self.mirror.set(Mutex::new(map));
        Ok(())
    }

    /// Writes a fresh secret for the next period. Where the XDP program cannot have it, the old one
    /// stays: program and workers must judge alike.
    pub fn renew(&self) {
        let index = CookieSecrets::index_to_renew(coarse_seconds());
        let secret = [random_u64(), random_u64()];
        if let Some(map) = self.mirror.get() {
            let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = map.write(index, secret) {
                return warn!(%error, "a cookie secret stays in use for longer than it should");
            }
        }
        for (word, value) in self.ring[index].iter().zip(secret) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

impl Default for SharedSecrets {
    fn default() -> Self {
        Self::new()
    }
}

/// Seconds of the coarse monotonic clock, which is the one that XDP programs read
/// (`bpf_ktime_get_coarse_ns`).
fn coarse_seconds() -> u32 {
    clock_gettime(ClockId::MonotonicCoarse).tv_sec as u32
}
