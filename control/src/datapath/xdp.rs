//! The outside's XDP program: told what to steer, and read.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aya::EbpfLoader;
use aya::maps::{Array, MapData, MapError, PerCpuArray};
use tracing::debug;
use xdtls_common::DropReason;
use xdtls_common::cookie::Secret;
use xdtls_common::front::{FrontLimits, FrontValue};
use xdtls_common::id::{IdLayout, LocalId};
use xdtls_common::map::{AssociationValue, BLOCK_SLOTS, ConfigValue, Tag, TagBlock};
use xdtls_common::outcome::Outcome;
use xdtls_common::verdict::{Entry, Phase};

use super::access_maps::AccessMaps;
use super::interface::Interface;
use super::trace_maps::TraceMaps;
use super::xdp_program::{XdpError, XdpProgram};
use crate::access::AccessList;
use crate::cookies::SharedSecrets;

#[cfg(xdp_object)]
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("XDTLS_XDP_OBJECT"));
#[cfg(not(xdp_object))]
static OBJECT: &[u8] = &[];

/// The program's name in the object.
const PROGRAM: &str = "xdtls";

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
    pub(super) xdp: XdpProgram,
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
        let (config, front) = globals(steered);
        let slots = 1 << steered.layout.slot_bits();
        let mut loader = EbpfLoader::new();
        loader
            .override_global("CONFIG", bytemuck::bytes_of(&config), true)
            .override_global("FRONT", bytemuck::bytes_of(&front), true)
            .map_max_entries("TAGS", blocks(slots))
            .map_max_entries("ASSOCIATIONS", slots)
            .map_max_entries("SOCKETS", steered.queues * steered.layout.shards());
        let mut xdp = XdpProgram::load(&mut loader, OBJECT, PROGRAM)?;
        let secrets = SecretsMap(xdp.map("COOKIE_SECRETS", Array::try_from)?);
        if let Some(answering) = &steered.answering {
            answering.secrets.mirror_to(secrets)?;
            answering.access.mirror_to(AccessMaps::take(&mut xdp)?)?;
        }
        let associations = Associations {
            layout: steered.layout,
            maps: Mutex::new(AssociationMaps {
                tags: xdp.map("TAGS", Array::try_from)?,
                associations: xdp.map("ASSOCIATIONS", Array::try_from)?,
            }),
        };
        let counters = XdpCounters {
            drops: xdp.map("DROPS", PerCpuArray::try_from)?,
            outcomes: xdp.map("OUTCOMES", PerCpuArray::try_from)?,
        };
        let (associations, counters) = (Arc::new(associations), Arc::new(counters));
        let trace = Some(TraceMaps::take(&mut xdp)?);
        Ok(Self { xdp, associations, counters, trace })
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
