//! The inside's XDP program: told which backend flows are open.

use std::sync::{Arc, Mutex, PoisonError};

use aya::EbpfLoader;
use aya::maps::{HashMap, MapData, MapError};
use tracing::debug;
use xdtls_common::flow::{FlowKey, InsideValue};

use super::xdp_program::{XdpError, XdpProgram};

#[cfg(xdp_object)]
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("XDTLS_INSIDE_OBJECT"));
#[cfg(not(xdp_object))]
static OBJECT: &[u8] = &[];

/// The program's name in the object.
const PROGRAM: &str = "xdtls_inside";

/// How much the program has to have room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Receive queues of the interface.
    pub queues: u32,
    /// Workers.
    pub shards: u32,
    /// Flows that may be open at once; what is open beyond that takes the kernel's way.
    pub flows: u32,
    /// The longest packet that a socket takes, link header included, in bytes.
    pub frame_max: u32,
}

/// The program, loaded; it detaches when this is dropped, or when the process ends in any way.
pub struct FlowProgram {
    pub(super) xdp: XdpProgram,
    flows: Arc<OpenFlows>,
}

impl FlowProgram {
    /// Loads the program; it steers nothing before it is attached.
    pub fn load(room: Room) -> Result<Self, XdpError> {
        let config = InsideValue::new(room.shards, room.frame_max);
        let mut loader = EbpfLoader::new();
        loader
            .override_global("CONFIG", bytemuck::bytes_of(&config), true)
            .map_max_entries("FLOWS", room.flows)
            .map_max_entries("SOCKETS", room.queues * room.shards);
        let mut xdp = XdpProgram::load(&mut loader, OBJECT, PROGRAM)?;
        let flows = OpenFlows(Mutex::new(xdp.map("FLOWS", HashMap::try_from)?));
        Ok(Self { xdp, flows: Arc::new(flows) })
    }

    /// Where flows are made known.
    pub fn flows(&self) -> Arc<OpenFlows> {
        self.flows.clone()
    }
}

/// The flows that the program knows, each with the shard of its worker.
pub struct OpenFlows(Mutex<HashMap<MapData, [u8; size_of::<FlowKey>()], u32>>);

impl OpenFlows {
    /// Makes a flow known. One that cannot be takes the kernel's way.
    pub fn open(&self, flow: &FlowKey, shard: u32) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = map.insert(bytemuck::must_cast_ref(flow), shard, 0) {
            debug!(%error, "cannot tell the inside's XDP program of a flow: it stays slow");
        }
    }

    /// Forgets a flow.
    pub fn close(&self, flow: &FlowKey) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match map.remove(bytemuck::must_cast_ref(flow)) {
            // There was no room for it.
            Ok(()) | Err(MapError::KeyNotFound) => {}
            Err(error) => debug!(%error, "cannot tell the inside's XDP program of a flow's end"),
        }
    }
}
