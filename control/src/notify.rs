//! Telling a service manager how the node is: systemd's sd_notify protocol. Without a service
//! manager, nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// The node is ready for traffic.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The node reads its configuration anew; [`ready`] follows.
pub fn reloading() {
    // systemd of 253 and later insists on the time.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "cannot read the monotonic clock"),
    }
}

/// The node is about to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells for ever, as often as is asked for, that the node's main thread still turns. Without a
/// watchdog, waits for ever.
pub async fn watchdog() {
    let Some(patience) = watchdog_interval() else { return std::future::pending().await };
    // Twice as often as necessary: one late tick must not count as death.
    let mut timer = tokio::time::interval((patience / 2).max(Duration::from_millis(10)));
    loop {
        timer.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "the service manager cannot be told");
    }
}
