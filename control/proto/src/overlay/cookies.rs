//! Cookie secrets of an end that has no other thread to renew them.

use std::sync::Arc;
use std::time::Instant;

use xdtls_common::cookie::{CookieSecrets, PERIOD_S, SECRETS, Secret};

use crate::handshakes::Random;
use crate::shard::{Front, ReplyLimits};

/// Cookie secrets and their clock, which begins with them.
pub(super) struct Cookies {
    ring: Arc<CookieSecrets>,
    since: Instant,
    /// The last period in which the secret of the next one was drawn.
    period: u32,
    random: Random,
}

impl Cookies {
    pub(super) fn new(now: Instant, mut random: Random) -> Self {
        let ring = Arc::new(CookieSecrets(std::array::from_fn(|_| draw(&mut random))));
        Self { ring, since: now, period: 0, random }
    }

    /// What judges ClientHellos to `local_port` now.
    pub(super) fn front(&mut self, now: Instant, local_port: u16) -> Front {
        let now_s = now.saturating_duration_since(self.since).as_secs() as u32;
        let period = now_s / PERIOD_S;
        // Once for each period that has begun since, but no secret twice.
        let missed = (period - self.period).min(SECRETS as u32);
        for period in (period - missed..period).map(|before| before + 1) {
            let index = CookieSecrets::index_to_renew(period * PERIOD_S);
            Arc::make_mut(&mut self.ring).0[index] = draw(&mut self.random);
        }
        self.period = period;
        Front { secrets: self.ring.clone(), now_s, local_port, limits: ReplyLimits::NONE }
    }
}

fn draw(random: &mut Random) -> Secret {
    Secret::new(std::array::from_fn(|_| u64::from(random()) << 32 | u64::from(random())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_period_has_a_secret_of_its_own_that_is_kept_while_cookies_live() {
        let now = Instant::now();
        let mut count = 0;
        let mut cookies = Cookies::new(
            now,
            Box::new(move || {
                count += 1;
                count
            }),
        );
        let mut seen = Vec::new();
        for minute in 0..9 {
            let front = cookies.front(now + Duration::from_secs(60 * minute + 30), 1);
            assert_eq!(u64::from(front.now_s), 60 * minute + 30);
            let secret = |period: usize| front.secrets.0[period % SECRETS];
            seen.push(secret(minute as usize));
            // A cookie lives two periods, and so must what has made it.
            for (period, before) in seen.iter().enumerate().skip(seen.len().saturating_sub(3)) {
                assert!(secret(period) == *before, "{minute} {period}");
            }
        }
        for (period, secret) in seen.iter().enumerate() {
            assert!(!seen[..period].contains(secret), "{period}");
        }
        // Nobody has asked for long: no secret of then is left.
        let late = cookies.front(now + Duration::from_secs(60 * 1000), 1);
        assert!(late.secrets.0.iter().all(|secret| !seen.contains(secret)));
    }
}
