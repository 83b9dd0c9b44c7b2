//! The end of a node: what tells it to stop, the time in which its associations may end by
//! themselves, and the bound within which it is gone.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::info;

use crate::node::Running;

/// How often the threads are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a draining node looks whether it is empty.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(100);

/// Within which time all associations are closed and all threads have ended.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the place of what these signals do otherwise.
    pub fn listen() -> Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next of either.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for a signal. That a worker has ended by itself is an error, or that the interface is gone
    /// without which the node may not go on.
    pub async fn until_told_to_stop(&mut self, running: &Running) -> Result<()> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = self.next() => return Ok(()),
                error = running.lost() => return Err(error),
                _ = look.tick() => if running.has_failed() { bail!("a worker has stopped") },
            }
        }
    }

    /// Waits until there are no associations any more, for at most `time`, or the next signal.
    pub async fn drain(&mut self, running: &Running, time: Duration) {
        let empty = async {
            let mut look = tokio::time::interval(DRAIN_LOOK_EVERY);
            let handle = running.handle();
            loop {
                look.tick().await;
                let totals = handle.totals();
                if totals.associations + totals.half_open == 0 {
                    return;
                }
            }
        };
        if time.is_zero() {
            return;
        }
        info!(seconds = time.as_secs(), "draining: no new associations, the others may end");
        tokio::select! {
            () = empty => info!("all associations have ended"),
            () = tokio::time::sleep(time) => info!("the time for draining is over"),
            () = self.next() => info!("told to stop a second time"),
        }
    }

    /// Closes all associations with close_notify and ends all threads; a further signal ends the
    /// process at once.
    pub async fn stop(&mut self, running: Running) -> Result<()> {
        info!("stopping: closing all associations");
        let (stopped, ended) = oneshot::channel();
        std::thread::spawn(move || {
            running.stop();
            // Whoever does not wait any more has ended the process.
            let _ = stopped.send(());
        });
        tokio::select! {
            _ = ended => Ok(()),
            () = self.next() => bail!("told to stop again before all associations were closed"),
            () = tokio::time::sleep(STOP_WITHIN) => {
                bail!("the threads have not ended within {} s", STOP_WITHIN.as_secs())
            }
        }
    }
}
