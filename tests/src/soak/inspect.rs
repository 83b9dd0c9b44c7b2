//! What a running gateway takes of its host.

use anyhow::{Context, Result};
use aya::maps::{Array, HashMap, MapData};
use serde::Serialize;
use xdtls_bench::process_cost::{map, memory};
use xdtls_common::flow::FlowKey;
use xdtls_common::map::{AssociationValue, Tag, TagBlock};
use xdtls_common::verdict::Phase;

use crate::node::Node;

/// What a gateway has at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Resident memory in KiB, that which it shares with AF_XDP sockets included.
    pub resident_kib: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Ids of associations and backend flows that the XDP programs know.
    pub map_entries: u64,
    /// Ids that it knows and that rest, as each does for 120 s after its association.
    pub map_entries_resting: u64,
    /// Frames of AF_XDP sockets that are nowhere.
    pub frames_leaked: i64,
}

impl Resources {
    /// Those of a gateway; the frames are exact while no traffic flows.
    pub(super) fn of(gateway: &Node) -> Result<Self> {
        let pid = gateway.id()?;
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
        let resident_kib = memory(pid)?.resident / 1024;
        let mut resources = Self { resident_kib, descriptors, ..Self::default() };
        if let Some(leaked) = gateway.status()?.frames_missing() {
            resources.frames_leaked = leaked;
            resources.count_entries(pid)?;
        }
        Ok(resources)
    }

    /// Reads the maps of the XDP programs back from the kernel.
    fn count_entries(&mut self, pid: u32) -> Result<()> {
        self.map_entries += flows(pid)?;
        let tags: Array<MapData, [u8; size_of::<TagBlock>()]> = map(pid, "TAGS")?.try_into()?;
        let associations: Array<MapData, [u8; 16]> = map(pid, "ASSOCIATIONS")?.try_into()?;
        let mut blocks = Vec::new();
        for block in tags.iter() {
            blocks.push(bytemuck::must_cast::<_, TagBlock>(block?));
        }
        for (slot, tag) in (0..).zip(blocks.into_iter().flatten()) {
            if tag == Tag::EMPTY {
                continue;
            }
            let value = associations.get(&slot, 0)?;
            // An association begins with its id, which in the kernel's maps is a number of this machine.
            let id = u32::from_ne_bytes([value[0], value[1], value[2], value[3]]);
            let value: AssociationValue = bytemuck::must_cast(value);
            match value.entry(id).context("a tag without its association")?.phase {
                Phase::Resting => self.map_entries_resting += 1,
                _ => self.map_entries += 1,
            }
        }
        Ok(())
    }
}

/// How many backend flows the inside's XDP program of a gateway knows.
pub fn flows(gateway: u32) -> Result<u64> {
    let flows: HashMap<MapData, [u8; size_of::<FlowKey>()], u32> =
        map(gateway, "FLOWS")?.try_into()?;
    let mut count = 0;
    for flow in flows.keys() {
        flow?;
        count += 1;
    }
    Ok(count)
}
