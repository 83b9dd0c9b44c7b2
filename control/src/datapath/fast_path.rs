//! The fast path as a whole: the XDP programs and the AF_XDP sockets that they steer to, or the
//! reason why packets take the socket path.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, bail};
use tracing::{info, warn};

use super::flows::FlowProgram;
use super::interface::Interface;
use super::link::{Link, Served};
use super::next_hops::{self, NextHops};
use super::options::{AnswerHellos, Datapath, DatapathOptions, Transmit, XdpMode};
use super::sides::{self, InsideSide, InsideWanted, OUTSIDE, Transmits};
use super::xdp::{Answering, Program, Steered};
use crate::node::Shape;
use crate::xsk::{ChunkSize, LINK_HEADER, ShardXsk, XskMonitor};

/// What a node wants of the fast path.
pub struct Wanted<'a> {
    /// What its operator has chosen.
    pub options: &'a DatapathOptions,
    /// Where its UDP socket is bound already.
    pub listen: SocketAddr,
    /// Its slots and threads.
    pub shape: &'a Shape,
    /// How ClientHellos are answered; clients do not.
    pub answering: Option<Answering>,
    /// The inside, if an interface is named for it.
    pub inside: Option<InsideWanted<'a>>,
}

/// The XDP programs of a node; they steer as long as they are kept.
pub struct Programs {
    /// The outside's.
    pub outside: Program,
    /// The inside's, if it has one.
    pub inside: Option<FlowProgram>,
}

/// The fast path of one node.
pub struct FastPath {
    /// Its XDP programs.
    pub programs: Programs,
    /// The workers' sockets, by shard.
    pub shards: Vec<ShardXsk>,
    /// How the program runs: native or generic.
    pub mode: &'static str,
    /// Whether the sockets share memory with the driver.
    pub zero_copy: bool,
    /// Where frames go, where the workers' sockets transmit, too.
    pub transmits: Transmits,
    /// What is to be seen of it while it is at work.
    pub view: FastView,
}

/// What is to be seen of a fast path while it is at work.
#[derive(Clone)]
pub struct FastView {
    /// Its frames and rings.
    pub sockets: Arc<XskMonitor>,
    /// The outside's interface, which may go down or away.
    pub link: Link,
    /// The inside's, if it has AF_XDP sockets.
    pub inside: Option<Link>,
}

/// What was chosen.
pub struct Chosen {
    /// `None` where packets take the socket path.
    pub fast_path: Option<FastPath>,
    /// Which it is, why, and what it costs, in words.
    pub words: String,
    /// The same of the inside, where an interface is named for it.
    pub inside_words: Option<String>,
}

/// Opens the fast path for a UDP socket that is bound already, or says once why there is none.
pub async fn open(wanted: Wanted<'_>) -> Result<Chosen> {
    let chosen = choose(wanted).await?;
    info!("datapath: {}", chosen.words);
    if let Some(words) = &chosen.inside_words {
        info!("inside: {words}");
    }
    Ok(chosen)
}

async fn choose(wanted: Wanted<'_>) -> Result<Chosen> {
    let (options, inside) = (wanted.options, wanted.inside);
    let why_not = match (options.datapath, &options.interface) {
        (Datapath::Socket, _) if options.transmit == Transmit::Xdp => {
            bail!("transmit xdp needs the datapath xdp: choose that, or transmit auto")
        }
        (Datapath::Socket, _) => "it was asked for".to_owned(),
        (Datapath::Xdp, None) => bail!("xdp needs the name of the outside's interface"),
        (Datapath::Auto, None) => "no interface is named for XDP".to_owned(),
        (required, Some(name)) => match try_open(wanted, name).await {
            Ok(chosen) => return Ok(chosen),
            Err(error) if required == Datapath::Xdp => return Err(error),
            Err(error) => {
                warn!("falling back to sockets: {error:#}");
                "XDP cannot be had".to_owned()
            }
        },
    };
    let words = format!(
        "sockets with UDP_GRO and UDP_SEGMENT, because {why_not}; every packet passes through the \
         kernel's network stack"
    );
    let inside_words = inside.map(|_| "sockets, because the outside has them, too".to_owned());
    Ok(Chosen { fast_path: None, words, inside_words })
}

async fn try_open(wanted: Wanted<'_>, name: &str) -> Result<Chosen> {
    let Wanted { options, listen, shape, answering, inside } = wanted;
    let interface = Interface::find(name).await?;
    if let Some(obstacle) = Program::obstacle(&interface) {
        return Err(obstacle.into());
    }
    let (shards, queues) = (shape.layout.shards(), interface.queues);
    let sides = sides::open(options, &interface, inside, shards).await?;
    let zero_copy = sides.zero_copy;
    let (leaves_replies, hellos) = leaves_replies(options, &interface, zero_copy);
    let hellos = if answering.is_some() { hellos } else { "" };
    let steered = Steered { listen, layout: shape.layout, queues, leaves_replies, answering };
    let mut program = Program::load(&steered)?;
    let sockets = sides.shards.iter().flat_map(|shard| shard.map_entries(OUTSIDE));
    let mode = program.xdp.steer_to(sockets, &interface, options.xdp_mode)?;
    let copies = match (zero_copy, mode) {
        (true, _) => "zero-copy: packets are written into our memory",
        (false, "native") => "copy mode, the driver has no zero-copy: one copy a packet",
        (false, _) => "copy mode behind the network stack: one allocation and one copy a packet",
    };
    let (outside_hops, way) = transmit(options.transmit, zero_copy, &interface).await?;
    let words = format!(
        "XDP {mode} on {name}, {queues} receive queues for {shards} workers; {copies}; transmit: \
         {way}{hellos}"
    );
    let (mut inside_hops, mut inside_words) = (None, sides.inside_words);
    if let (Some(InsideSide { interface, .. }), Some(words)) = (&sides.inside, &mut inside_words) {
        let (next_hops, way) = transmit(options.transmit, zero_copy, interface).await?;
        inside_hops = next_hops;
        *words += &format!("; transmit: {way}");
    }
    let required = options.datapath == Datapath::Xdp;
    let watched = |interface: &Interface| watch(interface, sides.chunk, required);
    let inside = sides.inside.as_ref().map(|InsideSide { interface, .. }| watched(interface));
    let (link, sockets) = (watched(&interface), Arc::new(sides.monitor));
    let fast_path = FastPath {
        programs: Programs { outside: program, inside: sides.inside.map(|inside| inside.program) },
        shards: sides.shards,
        mode,
        zero_copy,
        transmits: Transmits { outside: outside_hops, inside: inside_hops },
        view: FastView { sockets, link, inside },
    };
    Ok(Chosen { fast_path: Some(fast_path), words, inside_words })
}

fn watch(interface: &Interface, chunk: ChunkSize, required: bool) -> Link {
    let mtu_max = (interface.room(chunk) - LINK_HEADER) as u32;
    Link::watch(interface, Served { queues: interface.queues, mtu_max }, required)
}

/// Whether the XDP program leaves replies to ClientHellos to the workers, and why, in words.
///
/// Two drivers lose in silence what the program sends back. A veth device drops it unless the other
/// end runs a program as well (drivers/net/veth.c), and that may be in a namespace that cannot be
/// seen. virtio-net wants room for a header of its own before the packet, and a packet that zero-copy
/// received has none once the kernel has copied it to be sent (net/core/xdp.c,
/// `xdp_convert_zc_to_xdp_frame`).
fn leaves_replies(
    options: &DatapathOptions,
    interface: &Interface,
    zero_copy: bool,
) -> (bool, &'static str) {
    let on_veth = interface.kind.as_deref() == Some("veth") && options.xdp_mode != XdpMode::Generic;
    let on_virtio = interface.driver.as_deref() == Some("virtio_net") && zero_copy;
    match (options.answer_hellos, on_veth, on_virtio) {
        (AnswerHellos::Xdp, ..) | (AnswerHellos::Auto, false, false) => {
            (false, "; ClientHellos are answered in the driver")
        }
        (AnswerHellos::Auto, true, _) => (
            true,
            "; ClientHellos are answered by workers, because on veth the driver's replies arrive \
             only if the other end runs an XDP program, too: the limit limits.slow_hellos applies",
        ),
        (AnswerHellos::Auto, ..) => (
            true,
            "; ClientHellos are answered by workers, because virtio_net loses the driver's replies \
             in zero-copy mode (not with zero_copy = \"off\"): the limit limits.slow_hellos applies",
        ),
        (AnswerHellos::Socket, ..) => (
            true,
            "; ClientHellos are answered by workers, because it was asked for: the limit \
             limits.slow_hellos applies",
        ),
    }
}

/// Chooses how packets leave, and says in words what, why and what it costs.
async fn transmit(
    wanted: Transmit,
    zero_copy: bool,
    interface: &Interface,
) -> Result<(Option<NextHops>, &'static str)> {
    let words = match (wanted, zero_copy) {
        (Transmit::Auto | Transmit::Xdp, true) => {
            "AF_XDP zero-copy: packets are read from our memory; what the kernel knows no next hop \
             for leaves through sockets"
        }
        (Transmit::Xdp, false) => {
            "AF_XDP in copy mode, because it was asked for: one allocation and one copy a packet, \
             more than sockets with UDP_SEGMENT where datagrams come in runs"
        }
        (Transmit::Auto, false) => {
            "sockets with UDP_SEGMENT, because AF_XDP would copy: one system call for a run of \
             equal datagrams"
        }
        (Transmit::Socket, _) => {
            "sockets with UDP_SEGMENT, because it was asked for: one system call for a run of \
             equal datagrams"
        }
    };
    let by_xdp = wanted == Transmit::Xdp || wanted == Transmit::Auto && zero_copy;
    if !by_xdp {
        return Ok((None, words));
    }
    match next_hops::track(interface.index).await {
        Ok(next_hops) => Ok((Some(next_hops), words)),
        Err(error) if wanted == Transmit::Xdp => Err(error),
        Err(error) => {
            warn!("AF_XDP does not transmit: {error:#}");
            Ok((None, "sockets with UDP_SEGMENT, because next hops cannot be followed"))
        }
    }
}
