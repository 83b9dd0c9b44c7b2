//! One socket of a shard, with its rings.

use std::io;
use std::sync::Arc;

use super::frame::Descriptor;
use super::queue::Queue;
use super::ring::{Consumer, Producer};
use super::socket::XskSocket;

/// One socket and its rings.
pub(super) struct Port {
    /// Which of the set's interfaces it is on.
    pub(super) nic: usize,
    pub(super) queue: Arc<Queue>,
    /// `None` without a kernel.
    pub(super) socket: Option<XskSocket>,
    pub(super) rx: Consumer<Descriptor>,
    pub(super) tx: Producer<Descriptor>,
}

impl Port {
    /// Has the kernel send what is in the ring. `Ok(true)` if something is left to be sent.
    pub(super) fn send(&mut self) -> io::Result<bool> {
        let Some(socket) = &self.socket else { return Ok(false) };
        let mut left = self.tx.unconsumed();
        while left > 0 && self.tx.needs_wakeup() {
            socket.wake_tx()?;
            if socket.zero_copy() {
                // The driver goes on by itself.
                return Ok(false);
            }
            let before = std::mem::replace(&mut left, self.tx.unconsumed());
            if left == before {
                break;
            }
        }
        Ok(left > 0 && !socket.zero_copy())
    }
}
