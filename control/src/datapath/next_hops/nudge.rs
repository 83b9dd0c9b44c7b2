//! Tells the kernel which neighbours are in use, so that it makes sure of them.
//!
//! Only CAP_NET_ADMIN may do so. One thread that does nothing else keeps this one capability, so
//! that no thread which meets packets or handshakes has any.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Pid;
use rustix::thread::{CapabilitySet, capabilities};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::kernel;
use super::tables::Neighbour;
use crate::privileges;

/// Neighbours that wait to be told of; what is more is told of the next time.
const WAITING_MAX: usize = 256;

/// What the thread is there for.
const KEPT: CapabilitySet = CapabilitySet::NET_ADMIN;

/// The C library changes the user of all threads together, and ends the process if one cannot. So
/// the thread keeps these until whoever started it has given up its own.
const TO_CHANGE_USER: CapabilitySet = CapabilitySet::SETUID.union(CapabilitySet::SETGID);

/// How often the thread looks whether that has happened.
const SETTLE_EVERY: Duration = Duration::from_millis(10);

/// The way to the thread; it ends with the last of these.
pub(super) struct Nudger(mpsc::Sender<Neighbour>);

impl Nudger {
    /// Starts the thread, in the network namespace of the calling one.
    pub(super) fn start() -> Result<Self> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (done, kept) = std::sync::mpsc::sync_channel(1);
        let starter = rustix::thread::gettid();
        let run = move || {
            // Whoever starts the thread waits for this, so that it comes before a change of the user.
            let _ = done.send(privileges::keep_only(KEPT | TO_CHANGE_USER));
            if let Err(error) = runtime.block_on(nudge_all(receiver, starter)) {
                warn!("the kernel is not told which neighbours are in use: {error:#}");
            }
        };
        thread::Builder::new().name("neighbours".to_owned()).spawn(run)?;
        kept.recv()??;
        Ok(Self(sender))
    }

    /// Has the kernel make sure of a neighbour.
    pub(super) fn nudge(&self, neighbour: Neighbour) {
        if let Err(error) = self.0.try_send(neighbour) {
            debug!(%error, "a neighbour has to wait");
        }
    }
}

/// Nudges until nobody is left to ask for it. `starter` is the thread that started this one.
async fn nudge_all(mut neighbours: mpsc::Receiver<Neighbour>, starter: Pid) -> Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection().context("rtnetlink")?;
    let connection = tokio::spawn(connection);
    let mut settled = false;
    loop {
        if !settled && !capabilities(Some(starter))?.permitted.contains(KEPT) {
            privileges::keep_only(KEPT)?;
            settled = true;
        }
        let wait = if settled { Duration::MAX } else { SETTLE_EVERY };
        match timeout(wait, neighbours.recv()).await {
            Ok(Some(neighbour)) => kernel::nudge(&handle, &neighbour).await,
            Ok(None) => break,
            Err(_) => {}
        }
    }
    connection.abort();
    Ok(())
}
