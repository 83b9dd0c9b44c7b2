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
//! A [`Frame`] owns its bytes; it is received, and then transmitted or returned.
//!
//! Each file allows unsafe code for itself, and says at each place why it is sound.

mod frame;
mod mapping;
mod ring;
mod umem;

pub use frame::{ChunkSize, Frame, HEADROOM, lost_frames};
