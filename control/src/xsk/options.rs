//! What a set is asked for.

use super::frame::ChunkSize;

pub use crate::datapath::options::ZeroCopy;

/// How a set is made. Ring sizes are entries, powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XskOptions {
    /// The size of the frames.
    pub chunk: ChunkSize,
    /// Zero-copy or not.
    pub zero_copy: ZeroCopy,
    /// Of each socket: packets that wait for its worker.
    pub rx_ring: u32,
    /// Of each socket: packets that wait for the driver.
    pub tx_ring: u32,
    /// Of each queue: frames to receive into.
    pub fill_ring: u32,
    /// Of each queue: frames that were sent.
    pub completion_ring: u32,
}

impl Default for XskOptions {
    fn default() -> Self {
        Self {
            chunk: ChunkSize::Small,
            zero_copy: ZeroCopy::Auto,
            rx_ring: 2048,
            tx_ring: 2048,
            fill_ring: 2048,
            completion_ring: 2048,
        }
    }
}

impl XskOptions {
    /// The memory that a set for so many queues and shards registers, in bytes.
    #[must_use]
    pub fn umem_bytes(&self, queues: u32, shards: u32) -> u64 {
        FrameDemand { queues, shards }.frames(self) as u64 * self.chunk.bytes() as u64
    }
}

/// The most frames that one worker can have at once, in its hands.
pub const HELD_FRAMES_MAX: usize = 512;

/// The most frames that a shard keeps for itself between two batches.
pub(super) const SPARE_FRAMES_MAX: usize = 256;

/// How many frames a set needs so that nobody can use up what another needs: whatever fills the rx,
/// tx and completion rings and all hands, enough are left to fill the fill rings.
///
/// What a zero-copy driver has taken from a fill ring into its own is missing in the sum, but then
/// it can receive into that.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameDemand {
    pub(super) queues: u32,
    pub(super) shards: u32,
}

impl FrameDemand {
    /// The sum of all rings.
    pub(super) fn ring_entries(self, options: &XskOptions) -> usize {
        let socket = options.rx_ring as usize + options.tx_ring as usize;
        let queue = options.fill_ring as usize + options.completion_ring as usize;
        self.queues as usize * (queue + self.shards as usize * socket)
    }

    /// The sum of all rings and of what is in the hands of shards and workers.
    pub(super) fn frames(self, options: &XskOptions) -> usize {
        self.ring_entries(options) + self.shards as usize * (HELD_FRAMES_MAX + SPARE_FRAMES_MAX)
    }

    /// Why the options cannot be met, if so.
    pub(super) fn objection(self, options: &XskOptions) -> Option<&'static str> {
        let rings = [options.rx_ring, options.tx_ring, options.fill_ring, options.completion_ring];
        if self.queues == 0 || self.shards == 0 {
            return Some("there has to be a queue and a shard");
        }
        // 32 is what the kernel sends in one call at least; above 2^16 it is a mistake.
        let size = |entries: &u32| entries.is_power_of_two() && (32..=1 << 16).contains(entries);
        (!rings.iter().all(size)).then_some("a ring has 32 to 65536 entries, a power of two")
    }
}
