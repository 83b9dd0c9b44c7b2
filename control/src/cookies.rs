//! The ring of cookie secrets that workers and the XDP program read and one timer renews.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use rustix::time::{ClockId, clock_gettime};
use tracing::warn;
use xdtls_common::cookie::{CookieSecrets, Secret};

use crate::datapath::xdp::SecretsMap;
use crate::datapath::xdp_program::XdpError;
use crate::random::random_u64;

/// The ring, shared. Readers take it as it is; who renews a secret makes another ring.
pub struct SharedSecrets {
    ring: RwLock<Arc<CookieSecrets>>,
    /// The XDP program's copy, if it judges cookies too.
    mirror: OnceLock<Mutex<SecretsMap>>,
}

impl SharedSecrets {
    /// A ring of fresh secrets.
    pub fn new() -> Self {
        let ring = CookieSecrets(std::array::from_fn(|_| fresh()));
        Self { ring: RwLock::new(Arc::new(ring)), mirror: OnceLock::new() }
    }

    /// The secrets as they are, and the second in which they are to be used.
    pub fn snapshot(&self) -> (Arc<CookieSecrets>, u32) {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&ring), coarse_seconds())
    }

    /// Copies all secrets to the XDP program, and from now on each new one.
    pub fn mirror_to(&self, mut map: SecretsMap) -> Result<(), XdpError> {
        for (index, secret) in self.snapshot().0.0.iter().enumerate() {
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
        let secret = fresh();
        if let Some(map) = self.mirror.get() {
            let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = map.write(index, &secret) {
                return warn!(%error, "a cookie secret stays in use for longer than it should");
            }
        }
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let mut renewed = CookieSecrets::clone(&ring);
        renewed.0[index] = secret;
        *ring = Arc::new(renewed);
    }
}

impl Default for SharedSecrets {
    fn default() -> Self {
        Self::new()
    }
}

/// A secret that nobody knows.
fn fresh() -> Secret {
    Secret::new([random_u64(), random_u64()])
}

/// Seconds of the coarse monotonic clock, which is the one that XDP programs read
/// (`bpf_ktime_get_coarse_ns`).
fn coarse_seconds() -> u32 {
    clock_gettime(ClockId::MonotonicCoarse).tv_sec as u32
}
