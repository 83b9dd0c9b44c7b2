//! The outside's XDP program: loaded, told what to steer, attached, and read.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{Array, MapData, MapError, PerCpuArray, XskMap};
use aya::programs::{ProgramError, Xdp, xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use thiserror::Error;
use tracing::debug;
use xdtls_common::DropReason;
use xdtls_common::access::PREFIXES_MAX;
use xdtls_common::cookie::Secret;
use xdtls_common::front::{FrontLimits, FrontValue};
use xdtls_common::id::{IdLayout, LocalId};
use xdtls_common::map::{AssociationValue, BLOCK_SLOTS, ConfigValue, Tag, TagBlock};
use xdtls_common::outcome::Outcome;
use xdtls_common::verdict::{Entry, Phase};

use super::access_maps::AccessMaps;
use super::interface::Interface;
use super::options::XdpMode;
use super::trace_maps::TraceMaps;
use crate::access::AccessList;
use crate::cookies::SharedSecrets;

#[cfg(xdp_object)]
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("XDTLS_XDP_OBJECT"));
#[cfg(not(xdp_object))]
static OBJECT: &[u8] = &[];

/// The program's name in the object.
const PROGRAM: &str = "xdtls";

/// Why XDP cannot be had.
#[derive(Debug, Error)]
pub enum XdpError {
    /// The program was built by plain cargo.
    #[error("this xdtls carries no XDP program: build it with `cargo xtask build`")]
    NoObject,
    /// The kernel forbids it.
    #[error("the kernel does not permit XDP: {gate}")]
    NotPermitted {
        /// What is missing.
        gate: String,
    },
    /// Another program is attached.
    #[error(
        "{interface} has an XDP program already (id {id}): detach it, for instance with \
         `ip link set dev {interface} xdp off`, or choose another interface"
    )]
    Occupied {
        /// The interface.
        interface: String,
        /// The kernel's id of the program.
        id: u32,
    },
    /// The driver runs no XDP programs and native mode is required.
    #[error("{interface}: the driver cannot run XDP in {mode} mode: {source}")]
    Mode {
        /// The interface.
        interface: String,
        /// The mode that was tried last.
        mode: &'static str,
        /// What the kernel said.
        source: ProgramError,
    },
    /// The object does not load.
    #[error("the XDP program does not load")]
    Load(#[from] EbpfError),
    /// The verifier, or another step of loading, refuses.
    #[error("the XDP program does not load")]
    Program(#[from] ProgramError),
    /// A map is not what it should be.
    #[error("the XDP program's map {0} cannot be used: {1}")]
    Map(&'static str, MapError),
    /// The lists of sources are too long.
    #[error("{0} prefixes are more than the {max} that a list may have", max = PREFIXES_MAX)]
    TooManyPrefixes(usize),
    /// The object lacks a part.
    #[error("the XDP object has no {0}")]
    Missing(&'static str),
}

/// What the program is to steer.
#[derive(Clone)]
pub struct Steered {
    /// The address and UDP port that the socket is bound to.
    pub listen: SocketAddr,
    /// The layout of ids.
    pub layout: IdLayout,
    /// Receive queues of the interface.
    pub queues: u32,
    /// Whether the program leaves replies to ClientHellos to the workers.
    pub leaves_replies: bool,
    /// How ClientHellos are answered; clients do not.
    pub answering: Option<Answering>,
}

/// How the program answers ClientHellos.
#[derive(Clone)]
pub struct Answering {
    /// What judges cookies.
    pub secrets: Arc<SharedSecrets>,
    /// How often it may do what.
    pub limits: FrontLimits,
    /// Who may send to us.
    pub access: Arc<AccessList>,
}

/// The program, loaded; it detaches when this is dropped, or when the process ends in any way.
pub struct Program {
    ebpf: Ebpf,
    sockets: XskMap<MapData>,
    associations: Arc<Associations>,
    counters: Arc<XdpCounters>,
    trace: Option<TraceMaps>,
}

impl Program {
    /// Why the program cannot be had on an interface, as far as that is known before it is loaded.
    pub fn obstacle(interface: &Interface) -> Option<XdpError> {
        if let Some(id) = interface.xdp_program {
            return Some(XdpError::Occupied { interface: interface.name.clone(), id });
        }
        if OBJECT.is_empty() {
            return Some(XdpError::NoObject);
        }
        super::gate::missing().map(|gate| XdpError::NotPermitted { gate })
    }

    /// Loads the program; it steers nothing before it is attached.
    pub fn load(steered: &Steered) -> Result<Self, XdpError> {
        if OBJECT.is_empty() {
            return Err(XdpError::NoObject);
        }
        let (config, front) = globals(steered);
        let slots = 1 << steered.layout.slot_bits();
        let mut ebpf = EbpfLoader::new()
            .override_global("CONFIG", bytemuck::bytes_of(&config), true)
            .override_global("FRONT", bytemuck::bytes_of(&front), true)
            .map_max_entries("TAGS", blocks(slots))
            .map_max_entries("ASSOCIATIONS", slots)
            .map_max_entries("SOCKETS", steered.queues * steered.layout.shards())
            .load(OBJECT)
            .map_err(not_permitted_or)?;
        program(&mut ebpf, PROGRAM)?.load().map_err(refused)?;
        let sockets = take(&mut ebpf, "SOCKETS", XskMap::try_from)?;
        let secrets = SecretsMap(take(&mut ebpf, "COOKIE_SECRETS", Array::try_from)?);
        if let Some(answering) = &steered.answering {
            answering.secrets.mirror_to(secrets)?;
            answering.access.mirror_to(AccessMaps::take(&mut ebpf)?)?;
        }
        let associations = Associations {
            layout: steered.layout,
            maps: Mutex::new(AssociationMaps {
                tags: take(&mut ebpf, "TAGS", Array::try_from)?,
                associations: take(&mut ebpf, "ASSOCIATIONS", Array::try_from)?,
            }),
        };
        let counters = XdpCounters {
            drops: take(&mut ebpf, "DROPS", PerCpuArray::try_from)?,
            outcomes: take(&mut ebpf, "OUTCOMES", PerCpuArray::try_from)?,
        };
        let (associations, counters) = (Arc::new(associations), Arc::new(counters));
        let trace = Some(TraceMaps::take(&mut ebpf)?);
        Ok(Self { ebpf, sockets, associations, counters, trace })
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

    /// Where associations are made known.
    pub fn associations(&self) -> Arc<Associations> {
        self.associations.clone()
    }

    /// What it tells of packets that are watched; there is one who may ask.
    pub fn take_trace(&mut self) -> Option<TraceMaps> {
        self.trace.take()
    }

    /// What the program has counted.
    pub fn counters(&self) -> Arc<XdpCounters> {
        self.counters.clone()
    }
}

/// What is told once, before the program is verified.
fn globals(steered: &Steered) -> (ConfigValue, FrontValue) {
    let config = ConfigValue::new(steered.listen.port(), steered.layout);
    let config = config.listening_on(steered.listen.ip());
    match &steered.answering {
        Some(Answering { limits, .. }) => {
            let front = FrontValue::new(*limits);
            let front = if steered.leaves_replies { front.leaving_replies() } else { front };
            (config.answering_hellos(), front)
        }
        None => (config, FrontValue::UNSET),
    }
}

pub(super) fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, XdpError> {
    Ok(ebpf.program_mut(name).ok_or(XdpError::Missing("program"))?.try_into()?)
}

/// Attaches a program and says in which mode it runs.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    name: &str,
    interface: &Interface,
    mode: XdpMode,
) -> Result<&'static str, XdpError> {
    let modes: &[_] = match mode {
        XdpMode::Native => &[(xdp::XdpMode::Driver, "native")],
        XdpMode::Generic => &[(xdp::XdpMode::Skb, "generic")],
        XdpMode::Auto => &[(xdp::XdpMode::Driver, "native"), (xdp::XdpMode::Skb, "generic")],
    };
    let program = program(ebpf, name)?;
    let mut refused = None;
    for (kernel_mode, name) in modes {
        match program.attach_to_if_index(interface.index, *kernel_mode) {
            Ok(_) => return Ok(name),
            Err(source) => {
                debug!(%source, "cannot attach in {name} mode");
                let interface = interface.name.clone();
                refused = Some(XdpError::Mode { interface, mode: name, source });
            }
        }
    }
    Err(refused.unwrap_or(XdpError::Missing("mode")))
}

pub(super) fn take<T>(
    ebpf: &mut Ebpf,
    name: &'static str,
    convert: impl FnOnce(aya::maps::Map) -> Result<T, MapError>,
) -> Result<T, XdpError> {
    let map = ebpf.take_map(name).ok_or(XdpError::Missing(name))?;
    convert(map).map_err(|error| XdpError::Map(name, error))
}

/// Names the gate that is closed where the kernel only says EPERM.
pub(super) fn not_permitted_or(error: EbpfError) -> XdpError {
    let mut causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
    let forbidden = |text: String| {
        text.contains("Operation not permitted") || text.contains("Permission denied")
    };
    if causes.any(|cause| forbidden(cause.to_string())) {
        return XdpError::NotPermitted { gate: super::gate::closed() };
    }
    XdpError::Load(error)
}

/// The verifier refuses with the same code what is wrong and what is forbidden: only a capability
/// that is missing tells which.
pub(super) fn refused(error: ProgramError) -> XdpError {
    match super::gate::missing() {
        Some(gate) => XdpError::NotPermitted { gate },
        None => XdpError::Program(error),
    }
}

/// The program's ring of cookie secrets.
pub struct SecretsMap(Array<MapData, [u8; size_of::<Secret>()]>);

impl SecretsMap {
    /// Writes one secret, which must judge nothing meanwhile.
    pub fn write(&mut self, index: usize, secret: &Secret) -> Result<(), XdpError> {
        let bytes: &[u8; size_of::<Secret>()] = bytemuck::must_cast_ref(secret);
        self.0.set(index as u32, bytes, 0).map_err(|error| XdpError::Map("COOKIE_SECRETS", error))
    }
}

/// The associations that the program knows.
pub struct Associations {
    layout: IdLayout,
    maps: Mutex<AssociationMaps>,
}

struct AssociationMaps {
    tags: Array<MapData, [u8; size_of::<TagBlock>()]>,
    associations: Array<MapData, [u8; 16]>,
}

impl Associations {
    /// Makes an association known, or a new phase of it. The tag comes last: it is what the
    /// program looks at first.
    pub fn set(&self, id: LocalId, phase: Phase, peer_id: u32) {
        let slot = self.layout.slot_of(id.value());
        let value = AssociationValue::new(self.layout, id, Entry { phase, peer_id });
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        let association = bytemuck::must_cast::<_, [u8; 16]>(value);
        let written = maps.associations.set(slot, association, 0);
        if let Err(error) = written.and_then(|()| maps.set_tag(slot, Tag::of(id.value()))) {
            debug!(%error, "cannot tell the XDP program of an association: it stays slow");
        }
    }

    /// Forgets an association, unless its slot has another by now.
    pub fn clear(&self, id: LocalId) {
        let slot = self.layout.slot_of(id.value());
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        let own = maps.associations.get(&slot, 0).is_ok_and(|association| {
            bytemuck::must_cast::<_, AssociationValue>(association).entry(id.value()).is_some()
        });
        if own && let Err(error) = maps.set_tag(slot, Tag::EMPTY) {
            debug!(%error, "cannot tell the XDP program that an association has ended");
        }
    }
}

impl AssociationMaps {
    /// Writes a tag with its neighbours, which nobody else changes meanwhile.
    fn set_tag(&mut self, slot: u32, tag: Tag) -> Result<(), MapError> {
        let (block, at) = (slot / BLOCK_SLOTS, slot % BLOCK_SLOTS);
        let mut tags: TagBlock = bytemuck::must_cast(self.tags.get(&block, 0)?);
        tags[at as usize] = tag;
        self.tags.set(block, bytemuck::must_cast::<_, [u8; size_of::<TagBlock>()]>(tags), 0)
    }
}

/// How many blocks have a tag for each slot.
const fn blocks(slots: u32) -> u32 {
    slots.div_ceil(BLOCK_SLOTS)
}

/// What the program has counted, over all CPUs.
pub struct XdpCounters {
    drops: PerCpuArray<MapData, u64>,
    outcomes: PerCpuArray<MapData, u64>,
}

impl XdpCounters {
    /// Drops by reason.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|reason| (*reason, sum(&self.drops, reason.as_index())))
    }

    /// Packets that went on, by where to.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL.iter().map(|outcome| (*outcome, sum(&self.outcomes, outcome.as_index())))
    }
}

fn sum(counters: &PerCpuArray<MapData, u64>, index: usize) -> u64 {
    counters.get(&(index as u32), 0).map_or(0, |values| values.iter().sum())
}
