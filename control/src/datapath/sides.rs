//! The AF_XDP sockets of a node: on the outside's interface, and on the inside's if one is named and
//! takes them.
//!
//! Both share one memory, so both are zero-copy or neither is. Where the inside cannot have what the
//! outside has, it stays on sockets, or that is an error if XDP is required.

use anyhow::{Context, Result, bail, ensure};
use tracing::warn;

use super::flows::{FlowProgram, Room};
use super::interface::Interface;
use super::next_hops::NextHops;
use super::options::{Datapath, DatapathOptions};
use super::xdp::Program;
use crate::xsk::{ChunkSize, Nic, ShardXsk, XskMonitor, XskOptions, XskSet};

/// The sockets' places in their set.
pub const OUTSIDE: usize = 0;
/// The same of the inside.
pub const INSIDE: usize = 1;

/// Where frames go by which side, if AF_XDP transmits there.
#[derive(Clone, Debug, Default)]
pub struct Transmits {
    /// To peers.
    pub outside: Option<NextHops>,
    /// To backends.
    pub inside: Option<NextHops>,
}

/// The inside as a node wants it.
#[derive(Clone, Copy, Debug)]
pub struct InsideWanted<'a> {
    /// The network interface towards the backends.
    pub interface: &'a str,
    /// Backend flows that may be open at once.
    pub flows: u32,
}

/// What one or both sides got.
pub(super) struct Sides {
    /// The workers' sockets, by shard.
    pub(super) shards: Vec<ShardXsk>,
    pub(super) monitor: XskMonitor,
    pub(super) zero_copy: bool,
    pub(super) chunk: ChunkSize,
    /// `None` where the inside is on sockets.
    pub(super) inside: Option<InsideSide>,
    /// Which way the inside takes, why, and what it costs; `None` where nobody asks.
    pub(super) inside_words: Option<String>,
}

/// The inside, with its program attached.
pub(super) struct InsideSide {
    pub(super) program: FlowProgram,
    pub(super) interface: Interface,
}

/// Opens the sockets. The outside's program is the caller's to attach.
pub(super) async fn open(
    options: &DatapathOptions,
    outside: &Interface,
    inside: Option<InsideWanted<'_>>,
    shards: u32,
) -> Result<Sides> {
    let Some(wanted) = inside else { return outside_alone(options, outside, shards) };
    let error = match both(options, outside, wanted, shards).await {
        Ok(sides) => return Ok(sides),
        Err(error) => error.context("forward.interface"),
    };
    if options.datapath == Datapath::Xdp {
        return Err(error);
    }
    // If it is the outside's fault, it is found again.
    let sides = outside_alone(options, outside, shards)?;
    warn!("the inside stays on sockets: {error:#}");
    let words = format!("sockets, because XDP cannot be had on {}", wanted.interface);
    Ok(Sides { inside_words: Some(words), ..sides })
}

fn outside_alone(options: &DatapathOptions, outside: &Interface, shards: u32) -> Result<Sides> {
    let chunk = outside.chunk()?;
    let mut set = open_set(options, &[outside], chunk, shards)
        .with_context(|| format!("cannot open AF_XDP sockets on {}", outside.name))?;
    Sides::new(&mut set, chunk, shards)
}

async fn both(
    options: &DatapathOptions,
    outside: &Interface,
    wanted: InsideWanted<'_>,
    shards: u32,
) -> Result<Sides> {
    let interface = Interface::find(wanted.interface).await?;
    if interface.index == outside.index {
        bail!(
            "{} is the outside's interface already, and there is one XDP program to an interface: \
             remove the line, and what backends send takes the kernel's way",
            interface.name
        );
    }
    if let Some(obstacle) = Program::obstacle(&interface) {
        return Err(obstacle.into());
    }
    let chunk = outside.chunk()?.max(interface.chunk()?);
    let mut set = open_set(options, &[outside, &interface], chunk, shards).with_context(|| {
        format!(
            "cannot open AF_XDP sockets on {} and {}, which share memory: if only one of them has \
                 zero-copy, zero_copy = \"off\" lets the kernel copy on both",
            outside.name, interface.name
        )
    })?;
    let mut sides = Sides::new(&mut set, chunk, shards)?;
    let (queues, flows) = (interface.queues, wanted.flows);
    let room = Room { queues, shards, flows, frame_max: chunk.capacity() as u32 };
    let mut program = FlowProgram::load(room)?;
    let sockets = sides.shards.iter().flat_map(|shard| shard.map_entries(INSIDE));
    let mode = program.xdp.steer_to(sockets, &interface, options.xdp_mode)?;
    let copies = if sides.zero_copy { "zero-copy" } else { "copy mode" };
    sides.inside_words = Some(format!(
        "what backends send comes in by XDP {mode} on {}, {queues} receive queues, {copies}",
        interface.name
    ));
    sides.inside = Some(InsideSide { program, interface });
    Ok(sides)
}

fn open_set(
    options: &DatapathOptions,
    interfaces: &[&Interface],
    chunk: ChunkSize,
    shards: u32,
) -> Result<XskSet> {
    let nic = |side: &&Interface| Nic { interface: side.index, queues: side.queues };
    let nics: Vec<_> = interfaces.iter().map(nic).collect();
    let sockets = XskOptions { chunk, zero_copy: options.zero_copy, ..XskOptions::default() };
    Ok(XskSet::open(&nics, shards, &sockets)?)
}

impl Sides {
    fn new(set: &mut XskSet, chunk: ChunkSize, count: u32) -> Result<Self> {
        let monitor = set.monitor().context("AF_XDP sockets")?;
        let shards = set.take_shards();
        ensure!(shards.len() == count as usize, "there are fewer AF_XDP sockets than workers");
        let zero_copy = set.is_zero_copy();
        Ok(Self { shards, monitor, zero_copy, chunk, inside: None, inside_words: None })
    }
}
