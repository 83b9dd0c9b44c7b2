//! What the XDP program tells of packets that are watched.

use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use xdtls_common::trace::{TraceEvent, TraceFilter};

use super::xdp_program::{XdpError, XdpProgram};

/// The program's filter, and the ring that it writes events to. The ring's memory is mapped here,
/// while that is still permitted.
pub struct TraceMaps {
    filter: Array<MapData, [u8; 24]>,
    events: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
    lost_before: u64,
}

impl TraceMaps {
    /// Takes the maps of a program that has just been loaded.
    pub(super) fn take(program: &mut XdpProgram) -> Result<Self, XdpError> {
        Ok(Self {
            filter: program.map("TRACE_FILTER", Array::try_from)?,
            events: program.map("TRACE_EVENTS", RingBuf::try_from)?,
            lost: program.map("TRACE_LOST", PerCpuArray::try_from)?,
            lost_before: 0,
        })
    }

    /// Lets the program watch for this from now on.
    pub fn watch(&mut self, filter: TraceFilter) -> Result<(), XdpError> {
        self.filter
            .set(0, bytemuck::must_cast::<_, [u8; 24]>(filter), 0)
            .map_err(|error| XdpError::Map("TRACE_FILTER", error))
    }

    /// What was told since the last call, at most what the ring holds, and how many events did not
    /// fit in between.
    pub fn read(&mut self) -> (Vec<TraceEvent>, u64) {
        let mut events = Vec::new();
        // The program may write as fast as this reads.
        while events.len() < RING_EVENTS
            && let Some(entry) = self.events.next()
        {
            events.extend(bytemuck::try_pod_read_unaligned::<TraceEvent>(&entry).ok());
        }
        let lost = self.lost.get(&0, 0).map_or(self.lost_before, |values| values.iter().sum());
        let before = std::mem::replace(&mut self.lost_before, lost);
        (events, lost.saturating_sub(before))
    }
}

/// More events than the ring holds.
const RING_EVENTS: usize = 65_536 / size_of::<TraceEvent>();
