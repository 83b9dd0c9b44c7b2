//! AF_XDP: sockets that packets reach before the kernel's network stack, in memory of ours.
//!
//! An XDP program can redirect a packet only to a socket on the device *and queue* that it came
//! from. So each worker (shard) has a socket on each queue, and the program chooses by (queue,
//! shard). All sockets share one memory (UMEM); fill and completion rings exist once a queue:
//!
//! ```text
//!                    shard 0        shard 1
//!   queue 0         rx   tx        rx   tx        fill, completion ── any worker serves them
//!   queue 1         rx   tx        rx   tx        fill, completion
//!                    └── frames ────┴─── frames ─── one UMEM, one pool of free frames
//! ```
//!
//! A set may have sockets on several interfaces: a queue of each is one more row, so that a frame which
//! came in by one can leave by another.
//!
//! - [`XskSet::open`] makes the sockets, [`XskSet::take_shards`] gives each worker its own.
//! - A [`Frame`] owns its bytes; it is received, and then transmitted or returned.
//! - [`SimulatedNic`] takes the kernel's place in tests.
//!
//! Each file allows unsafe code for itself, and says at each place why it is sound.

mod accounting;
mod error;
mod frame;
mod kernel_ring;
mod mapping;
mod monitor;
mod options;
mod pool;
mod port;
mod queue;
mod ring;
mod set;
mod shard;
mod simulated;
mod socket;
mod umem;

#[cfg(test)]
mod tests;

pub use accounting::FrameAccount;
pub use error::{Place, Step, XskError};
pub use frame::{ChunkSize, Frame, HEADROOM, LINK_HEADER, lost_frames};
pub use monitor::{XskMonitor, XskReport};
pub use options::{HELD_FRAMES_MAX, XskOptions, ZeroCopy};
pub use set::{Nic, XskSet};
pub use shard::{RECEIVE_BATCH, RxPacket, ShardXsk};
pub use simulated::{Delivery, SimulatedNic};
