//! From a frame of the inside to the worker that owns the backend flow which it belongs to: all that
//! the inside's XDP program decides, and what it is told through maps.

use core::net::SocketAddr;

use bytemuck::{Pod, Zeroable};

use crate::cookie::mapped;
use crate::cursor::Cursor;
use crate::ends::Ends;
use crate::frame;

/// The two ends of a backend flow, IPv4 as mapped: a key of the map `FLOWS`, whose values are shards.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct FlowKey {
    local: [u8; 16],
    backend: [u8; 16],
    local_port: u16,
    backend_port: u16,
}

const _: () = assert!(size_of::<FlowKey>() == 36);

impl FlowKey {
    /// The flow between a socket of ours and a backend.
    pub fn new(local: SocketAddr, backend: SocketAddr) -> Self {
        Self {
            local: mapped(local.ip()),
            backend: mapped(backend.ip()),
            local_port: local.port(),
            backend_port: backend.port(),
        }
    }

    /// The flow of what a backend sends.
    #[inline(always)]
    pub const fn from_backend(ends: &Ends) -> Self {
        Self {
            local: ends.destination,
            backend: ends.source,
            local_port: ends.destination_port,
            backend_port: ends.source_port,
        }
    }
}

/// What the program must know before it starts: the global `CONFIG` of its object.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct InsideValue {
    shards: u32,
    frame_max: u32,
}

impl InsideValue {
    /// A program with this value lets every packet pass.
    pub const UNSET: Self = Self { shards: 0, frame_max: 0 };

    /// For so many shards, whose sockets take frames of so many bytes.
    pub const fn new(shards: u32, frame_max: u32) -> Self {
        Self { shards, frame_max }
    }

    /// Where the map of sockets has the socket of a shard on a receive queue.
    pub const fn socket_index(&self, queue: u32, shard: u32) -> u32 {
        queue.wrapping_mul(self.shards).wrapping_add(shard)
    }
}

/// The open flows, as the map holds them.
pub trait FlowTable {
    /// The shard whose worker owns the flow.
    fn shard(&self, flow: &FlowKey) -> Option<u32>;
}

/// The shard that a whole frame is for; `None` leaves it to the kernel.
///
/// The kernel gets what no socket would take, such as a run of datagrams that a virtual interface
/// has not cut, and what came through a VLAN: an address there may be another one's.
#[inline(always)]
pub fn steer(frame: impl Cursor, config: &InsideValue, flows: &impl FlowTable) -> Option<u32> {
    if frame.remaining() > config.frame_max as usize {
        return None;
    }
    let (headers, _) = frame::parse(frame.clone()).ok()?;
    let place = headers.place();
    if place.tagged {
        return None;
    }
    let ends = Ends::read(&place, frame).ok()?;
    flows.shard(&FlowKey::from_backend(&ends))
}
