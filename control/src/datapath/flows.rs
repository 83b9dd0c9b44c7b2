//! The inside's XDP program: loaded, attached, and told which backend flows are open.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{HashMap, MapData, MapError, XskMap};
use aya::{Ebpf, EbpfLoader};
use tracing::debug;
use xdtls_common::flow::{FlowKey, InsideValue};

use super::interface::Interface;
use super::options::XdpMode;
use super::xdp::{XdpError, attach, not_permitted_or, program, refused, take};

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
    ebpf: Ebpf,
    sockets: XskMap<MapData>,
    flows: Arc<OpenFlows>,
}

impl FlowProgram {
    /// Loads the program; it steers nothing before it is attached.
    pub fn load(room: Room) -> Result<Self, XdpError> {
        if OBJECT.is_empty() {
            return Err(XdpError::NoObject);
        }
        let config = InsideValue::new(room.shards, room.frame_max);
        let mut ebpf = EbpfLoader::new()
            .override_global("CONFIG", bytemuck::bytes_of(&config), true)
            .map_max_entries("FLOWS", room.flows)
            .map_max_entries("SOCKETS", room.queues * room.shards)
            .load(OBJECT)
            .map_err(not_permitted_or)?;
        program(&mut ebpf, PROGRAM)?.load().map_err(refused)?;
        let sockets = take(&mut ebpf, "SOCKETS", XskMap::try_from)?;
        let flows = OpenFlows(Mutex::new(take(&mut ebpf, "FLOWS", HashMap::try_from)?));
        Ok(Self { ebpf, sockets, flows: Arc::new(flows) })
    }

    /// Gives a worker's AF_XDP socket to the program.
    pub fn steer_to(&mut self, index: u32, socket: BorrowedFd<'_>) -> Result<(), XdpError> {
        self.sockets
            .set(index, socket.as_raw_fd(), 0)
            .map_err(|error| XdpError::Map("SOCKETS", error))
    }

    /// Attaches the program and says in which mode it runs.
    pub fn attach(
        &mut self,
        interface: &Interface,
        mode: XdpMode,
    ) -> Result<&'static str, XdpError> {
        attach(&mut self.ebpf, PROGRAM, interface, mode)
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
