//! The associations and the front that the tables are about, for the host and for the maps.

use std::net::IpAddr;

use rustix::time::{ClockId, clock_gettime};
use xdtls_common::DropReason;
use xdtls_common::access::{Access, AccessValue, Entrance, PrefixKey, enter};
use xdtls_common::budget::{SKETCH_CELLS, SKETCH_ROWS};
use xdtls_common::cookie::{CookieSecrets, Secret, Secrets, mapped};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::front::{Front, FrontValue, HelloVerdict, judge_frame, pass_slowly};
use xdtls_common::id::{IdLayout, LocalId};
use xdtls_common::map::{AssociationValue, ConfigValue, Tag};
use xdtls_common::odd::is_hello;
use xdtls_common::steering::Table;
use xdtls_common::steering::{Steering, steer};
use xdtls_common::verdict::{Entry, Phase};

/// The port of the gateway.
pub(crate) const PORT: u16 = 4433;

/// Slots of the tables.
pub(crate) const SLOTS: u32 = 64;

/// Shards of the gateway.
pub(crate) const SHARDS: u32 = 2;

/// The id of every association at its peer.
pub(crate) const PEER: u32 = 0xc0ff_ee01;

/// An established association of shard 1.
pub(crate) const ESTABLISHED: u32 = id(5);
/// An established association of shard 0.
pub(crate) const ESTABLISHED_TOO: u32 = id(6);
/// We are answering.
pub(crate) const HALF_OPEN: u32 = id(7);
/// We have opened it and do not know the peer's id.
pub(crate) const OPENING: u32 = id(8);
/// Its slot is free.
pub(crate) const FREE: u32 = id(9);
/// Its tag is there, and the slot's association is already another one.
pub(crate) const OVERWRITTEN: u32 = id(10);
/// Its tag is cleared, its association not yet.
pub(crate) const CLEARED: u32 = id(11);
/// Its association has ended a moment ago.
pub(crate) const RESTING: u32 = id(12);
/// The last slot.
pub(crate) const LAST: u32 = id(SLOTS - 1);

const LAYOUT: IdLayout = IdLayout::for_capacity(SLOTS, SHARDS).expect("both are in bounds");

const fn id(slot: u32) -> u32 {
    local(LAYOUT.id(slot, 0x2a_5a5a)).value()
}

const fn local(id: Option<LocalId>) -> LocalId {
    id.expect("no id of the fixture is 0")
}

/// The same slot in another generation.
pub(crate) const fn next_generation(id: u32) -> u32 {
    local(LAYOUT.id(LAYOUT.slot_of(id), LAYOUT.generation_of(id) + 1)).value()
}

/// What the loader tells the program.
pub(crate) fn config() -> ConfigValue {
    ConfigValue::new(PORT, LAYOUT).answering_hellos()
}

/// The content of the tables, by slot.
pub(crate) struct Slots {
    /// For the map `TAGS`.
    pub(crate) tags: Vec<Tag>,
    /// For the map `ASSOCIATIONS`.
    pub(crate) associations: Vec<AssociationValue>,
    /// Which lists of sources have entries.
    pub(crate) access: AccessValue,
    /// What the loader tells the program.
    pub(crate) config: ConfigValue,
}

impl Slots {
    /// All of the associations above.
    pub(crate) fn new() -> Self {
        let mut slots = Self {
            tags: vec![Tag::EMPTY; SLOTS as usize],
            associations: vec![AssociationValue::EMPTY; SLOTS as usize],
            access: AccessValue::default(),
            config: config(),
        };
        for (id, phase, peer_id) in [
            (ESTABLISHED, Phase::Established, PEER),
            (ESTABLISHED_TOO, Phase::Established, PEER),
            (HALF_OPEN, Phase::HalfOpen, PEER),
            (OPENING, Phase::Opening, 0),
            (next_generation(OVERWRITTEN), Phase::Established, PEER),
            (CLEARED, Phase::Established, PEER),
            (RESTING, Phase::Resting, 0),
            (LAST, Phase::Established, PEER),
        ] {
            slots.add(local(LocalId::new(id)), Entry { phase, peer_id });
        }
        slots.tags[LAYOUT.slot_of(OVERWRITTEN) as usize] = Tag::of(OVERWRITTEN);
        slots.tags[LAYOUT.slot_of(CLEARED) as usize] = Tag::EMPTY;
        slots
    }

    fn add(&mut self, id: LocalId, entry: Entry) {
        let slot = LAYOUT.slot_of(id.value()) as usize;
        self.tags[slot] = Tag::of(id.value());
        self.associations[slot] = AssociationValue::new(LAYOUT, id, entry);
    }
}

/// The source that the table's lists deny, once they are not empty.
pub(crate) const DENIED: [u8; 4] = [198, 51, 100, 7];

impl Access for Slots {
    fn lists(&self) -> AccessValue {
        self.access
    }

    fn is_denied(&self, source: PrefixKey) -> bool {
        source == mapped(IpAddr::from(DENIED))
    }

    fn is_allowed(&self, source: PrefixKey) -> bool {
        source == mapped(IpAddr::from([192, 0, 2, 1]))
    }
}

impl Table for Slots {
    fn tag(&self, slot: u32) -> Option<Tag> {
        self.tags.get(slot as usize).copied()
    }

    fn association(&self, slot: u32) -> Option<AssociationValue> {
        self.associations.get(slot as usize).copied()
    }
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is not the front's business.
    Steered(Steering),
    /// It is a ClientHello, or claims to be.
    Hello(HelloVerdict),
}

impl From<Steering> for Decision {
    fn from(steering: Steering) -> Self {
        Self::Steered(steering)
    }
}

/// What the host decides, in the order in which the XDP program does.
pub(crate) fn decide(frame: &[u8], slots: &Slots, front: &mut HostFront) -> Decision {
    let cursor = || SliceCursor::new(frame);
    match enter(cursor(), &slots.config, slots) {
        Entrance::Open => {}
        Entrance::NotOurs => return Steering::NotOurs.into(),
        Entrance::Denied => return Steering::Drop(DropReason::AccessDenied).into(),
    }
    match steer(cursor(), &slots.config, slots) {
        Steering::NotPlain if is_hello(cursor(), &slots.config) => match pass_slowly(front) {
            Ok(()) => Decision::Hello(HelloVerdict::PassSlowly),
            Err(reason) => Steering::Drop(reason).into(),
        },
        Steering::NotPlain => Steering::NotOurs.into(),
        Steering::ClientHello(place) => match judge_frame(cursor(), &place, front) {
            HelloVerdict::Drop(reason) => Decision::Steered(Steering::Drop(reason)),
            verdict => Decision::Hello(verdict),
        },
        steering => Decision::Steered(steering),
    }
}

/// The secrets that judge cookies.
pub(crate) static SECRETS: CookieSecrets =
    CookieSecrets::new([[1, 2], [0x1234_5678_9abc_def0, 4], [5, u64::MAX], [7, 8]]);

/// The host's front.
#[derive(Clone)]
pub(crate) struct HostFront {
    /// The clock.
    pub(crate) now_ns: u64,
    limits: FrontValue,
    budgets: [u64; 2],
    rows: Box<[[u64; SKETCH_CELLS]; SKETCH_ROWS]>,
}

impl HostFront {
    /// A front with these limits, now.
    pub(crate) fn new(limits: FrontValue) -> Self {
        let rows = Box::new([[0; SKETCH_CELLS]; SKETCH_ROWS]);
        Self { now_ns: now_ns(), limits, budgets: [0; 2], rows }
    }

    /// The same front at another second.
    pub(crate) fn at(&self, now_s: u32) -> Self {
        Self { now_ns: u64::from(now_s) * 1_000_000_000, ..self.clone() }
    }
}

/// The clock of the XDP program.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Secrets for HostFront {
    fn secret(&self, index: usize) -> Option<&Secret> {
        SECRETS.secret(index)
    }
}

impl Front for HostFront {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn limits(&self) -> FrontValue {
        self.limits
    }

    fn replies(&mut self) -> Option<&mut u64> {
        self.budgets.first_mut()
    }

    fn slow_hellos(&mut self) -> Option<&mut u64> {
        self.budgets.last_mut()
    }

    fn cells(&mut self, [first, second]: [usize; SKETCH_ROWS]) -> Option<[&mut u64; SKETCH_ROWS]> {
        let [first_row, second_row] = &mut *self.rows;
        Some([&mut first_row[first], &mut second_row[second]])
    }
}
