//! What can be seen of a set beside its workers: where its frames are, and what did not fit.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::sockopt;
use serde::{Deserialize, Serialize};

use super::accounting::FrameAccount;
use super::pool::Memory;
use super::queue::Queue;

/// Sees frames and rings of a set; it may be anybody's.
pub struct XskMonitor {
    memory: Arc<Memory>,
    queues: Vec<Arc<Queue>>,
    /// Each socket once more, with its queue.
    sockets: Vec<(u32, OwnedFd)>,
}

/// What a set's frames and rings look like at one moment. The numbers of frames are exact only
/// while no worker is working.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct XskReport {
    /// All frames that there are.
    pub frames: u64,
    /// Frames to be received into: in fill rings, or with the driver.
    pub receiving: i64,
    /// Frames to be sent: in tx rings, or with the driver.
    pub sending: i64,
    /// Frames in the hands of workers.
    pub held: i64,
    /// Frames that are nowhere. Always 0, or there is a fault.
    pub missing: i64,
    /// Packets that did not fit into the rx ring of their worker.
    pub rx_ring_full: u64,
    /// Packets that the kernel dropped for another reason, such as having no frame to copy into.
    pub rx_dropped: u64,
    /// How often the driver found no frame to receive into.
    pub fill_ring_empty: u64,
}

impl XskMonitor {
    pub(super) fn new(
        memory: Arc<Memory>,
        queues: Vec<Arc<Queue>>,
        sockets: Vec<(u32, OwnedFd)>,
    ) -> Self {
        Self { memory, queues, sockets }
    }

    /// Looks at frames and rings now.
    pub fn report(&self) -> XskReport {
        let account = FrameAccount::of(&self.memory, &self.queues);
        let frames = self.memory.umem.frames();
        let mut report = XskReport {
            frames: frames as u64,
            receiving: account.fill,
            sending: account.tx,
            held: account.held,
            missing: frames as i64 - account.total(),
            ..XskReport::default()
        };
        let mut counted = None;
        for (queue, socket) in &self.sockets {
            let Ok(statistics) = sockopt::xdp_statistics(socket) else { continue };
            report.rx_ring_full += statistics.rx_ring_full.unwrap_or(0);
            report.rx_dropped += statistics.rx_dropped;
            // All sockets of a queue report its fill ring.
            if counted.replace(*queue) != Some(*queue) {
                report.fill_ring_empty += statistics.rx_fill_ring_empty_descs.unwrap_or(0);
            }
        }
        report
    }
}
