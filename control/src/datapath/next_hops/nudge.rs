//! Tells the kernel which neighbours are in use, so that it makes sure of them.
//!
//! Only CAP_NET_ADMIN may do so. One thread that does nothing else keeps this one capability, so
//! that no thread which meets packets or handshakes has any.

use std::io;
use std::thread;

use anyhow::{Context, Result};
use rustix::thread::CapabilitySet;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::kernel;
use super::tables::Neighbour;
use crate::privileges;

/// Neighbours that wait to be told of; what is more is told of the next time.
const WAITING_MAX: usize = 256;

/// The way to the thread; it ends with the last of these.
pub(super) struct Nudger(mpsc::Sender<Neighbour>);

impl Nudger {
    /// Starts the thread, in the network namespace of the calling one.
    pub(super) fn start() -> Result<Self> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (done, kept) = std::sync::mpsc::sync_channel(1);
        let run = move || {
            // Whoever starts the thread waits for this, so that it comes before a change of the user.
            let _ = done.send(keep_net_admin());
            if let Err(error) = runtime.block_on(nudge_all(receiver)) {
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

async fn nudge_all(mut neighbours: mpsc::Receiver<Neighbour>) -> Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection().context("rtnetlink")?;
    let connection = tokio::spawn(connection);
    while let Some(neighbour) = neighbours.recv().await {
        // When the process becomes another user, what is permitted stays and what is effective goes.
        keep_net_admin()?;
        kernel::nudge(&handle, &neighbour).await;
    }
    connection.abort();
    Ok(())
}

fn keep_net_admin() -> io::Result<()> {
    privileges::keep_only(CapabilitySet::NET_ADMIN)
}
