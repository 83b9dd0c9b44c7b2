//! What the control plane and the XDP program tell each other through maps.
//!
//! All of it is plain old data in the byte order of the machine: the loader opens the maps over
//! byte arrays and converts with `bytemuck`. Zeroed memory, which is what the kernel hands out,
//! means "no association" and "not configured".

use core::net::IpAddr;

use bytemuck::{Pod, Zeroable};

use crate::cookie::mapped;
use crate::id::{IdLayout, LocalId};
use crate::verdict::{Entry, Phase};

/// What the program must know before it starts: the global `CONFIG` of the object.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct ConfigValue {
    /// Upper and lower half of the address that is listened on, as a number.
    address: [u64; 2],
    udp_port: u32,
    slot_mask: u32,
    shards: u32,
    answers_hellos: u32,
    listens: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<ConfigValue>() == 40);

/// To which destination addresses datagrams are ours.
const ANYWHERE: u32 = 0;
const ANY_IPV4: u32 = 1;
const ONE_ADDRESS: u32 = 2;

impl ConfigValue {
    /// A program with this value lets every packet pass.
    pub const UNSET: Self = Self {
        udp_port: 0,
        slot_mask: 0,
        shards: 0,
        answers_hellos: 0,
        listens: ANYWHERE,
        address: [0; 2],
        reserved: 0,
    };

    /// Steers what comes to `udp_port` among associations whose ids have this layout.
    pub const fn new(udp_port: u16, layout: IdLayout) -> Self {
        Self {
            udp_port: udp_port as u32,
            slot_mask: layout.slot_of(u32::MAX),
            shards: layout.shards(),
            ..Self::UNSET
        }
    }

    /// The same where the socket is bound to this address: what is for others is not ours.
    #[must_use]
    pub const fn listening_on(self, address: IpAddr) -> Self {
        let listens = match address {
            IpAddr::V4(v4) if v4.is_unspecified() => ANY_IPV4,
            IpAddr::V6(v6) if v6.is_unspecified() => ANYWHERE,
            _ => ONE_ADDRESS,
        };
        let number = u128::from_be_bytes(mapped(address));
        Self { listens, address: [(number >> 64) as u64, number as u64], ..self }
    }

    /// The same for a gateway, which answers ClientHellos. Its secrets must be there first.
    #[must_use]
    pub const fn answering_hellos(self) -> Self {
        Self { answers_hellos: 1, ..self }
    }

    /// Whether ClientHellos are answered.
    pub const fn answers_hellos(&self) -> bool {
        self.answers_hellos != 0
    }

    /// Whether datagrams to this port are ours, if they are to our address.
    pub const fn is_ours(&self, udp_port: u16) -> bool {
        // Port 0 is nobody's, and unset.
        udp_port != 0 && udp_port as u32 == self.udp_port
    }

    /// Whether the destination address has to be looked at.
    pub const fn asks_for_address(&self) -> bool {
        self.listens != ANYWHERE
    }

    /// Whether datagrams to this address are ours, if they are to our port.
    #[inline(always)]
    pub fn listens_on(&self, address: [u8; 16]) -> bool {
        let number = u128::from_be_bytes(address);
        let [upper, lower] = self.address;
        match self.listens {
            ANYWHERE => true,
            ANY_IPV4 => number >> 32 == 0xffff,
            _ => (number >> 64) as u64 == upper && number as u64 == lower,
        }
    }

    /// The slot that an id on the wire names, as [`IdLayout::slot_of`] has it.
    pub const fn slot_of(&self, id: u32) -> u32 {
        id & self.slot_mask
    }

    /// Where the map of sockets has the socket of a shard on a receive queue.
    pub const fn socket_index(&self, queue: u32, shard: u32) -> u32 {
        queue.wrapping_mul(self.shards).wrapping_add(shard)
    }
}

/// What is looked at first of the id that a slot holds: eight bits of it, or 0 where there is none.
///
/// The tags stand apart from the associations because a cache line holds 64 of them: those of a
/// million slots fit a core's own cache, and of a flood of wrong ids all but one in 255 are turned
/// away without another look. What a tag lets through, the association itself decides.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Tag(u8);

impl Tag {
    /// The tag of a slot without association.
    pub const EMPTY: Self = Self(0);

    /// The tag of the slot that holds this id.
    pub const fn of(id: u32) -> Self {
        // The slot is part of every id that names it, so that only the generation, which is in the
        // upper bits, has to make a difference: the multiplication takes it there in each of its bits.
        let hash = (id.wrapping_mul(0x9e37_79b1) >> 24) as u8;
        Self(if hash == 0 { 1 } else { hash })
    }
}

/// Slots that share an element of the map `TAGS`.
pub const BLOCK_SLOTS: u32 = 64;

/// Tags of neighbouring slots: an element of the map `TAGS`. The kernel would round up the size of a
/// smaller one to eight bytes.
pub type TagBlock = [Tag; BLOCK_SLOTS as usize];

/// One association: an element of the map `ASSOCIATIONS`.
///
/// The kernel copies a value without a lock. To add an association write this before its tag, to
/// remove it clear the tag first: the tag is what makes it visible.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct AssociationValue {
    local_id: u32,
    peer_id: u32,
    shard: u32,
    phase: u32,
}

const _: () = assert!(size_of::<AssociationValue>() == 16);

const OPENING: u32 = 1;
const HALF_OPEN: u32 = 2;
const ESTABLISHED: u32 = 3;
const RESTING: u32 = 4;

impl AssociationValue {
    /// No association.
    pub const EMPTY: Self = Self { local_id: 0, peer_id: 0, shard: 0, phase: 0 };

    /// The association `id`, which belongs to the shard that `layout` gives it to.
    pub const fn new(layout: IdLayout, id: LocalId, entry: Entry) -> Self {
        let phase = match entry.phase {
            Phase::Opening => OPENING,
            Phase::HalfOpen => HALF_OPEN,
            Phase::Established => ESTABLISHED,
            Phase::Resting => RESTING,
        };
        let shard = layout.shard_of(id.value());
        Self { local_id: id.value(), peer_id: entry.peer_id, shard, phase }
    }

    /// What [`crate::verdict::verdict`] must know, if this is the association that `receiver`
    /// names.
    #[inline(always)]
    pub const fn entry(&self, receiver: u32) -> Option<Entry> {
        let phase = match self.phase {
            OPENING => Phase::Opening,
            HALF_OPEN => Phase::HalfOpen,
            ESTABLISHED => Phase::Established,
            RESTING => Phase::Resting,
            _ => return None,
        };
        // The slot may have been given to another association since its tag was read.
        if self.local_id != receiver {
            return None;
        }
        Some(Entry { phase, peer_id: self.peer_id })
    }

    /// The shard whose worker owns the association.
    pub const fn shard(&self) -> u32 {
        self.shard
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::*;

    const LAYOUT: IdLayout = IdLayout::for_capacity(1000, 3).unwrap();

    #[test]
    fn config_has_the_layout_of_ids() {
        let config = ConfigValue::new(4433, LAYOUT);
        for id in [0, 1, 999, 1023, 1024, 0xdead_beef, u32::MAX] {
            assert_eq!(config.slot_of(id), LAYOUT.slot_of(id));
        }
        assert_eq!(config.socket_index(4, 2), 14);
    }

    #[test]
    fn an_address_that_is_listened_on_is_compared() {
        let ours = |listen: &str, destination: &str| {
            let config = ConfigValue::new(4433, LAYOUT).listening_on(listen.parse().unwrap());
            let destination: SocketAddr = destination.parse().unwrap();
            config.is_ours(destination.port()) && config.listens_on(mapped(destination.ip()))
        };
        assert!(!ConfigValue::new(4433, LAYOUT).asks_for_address());
        for (listen, destination, expected) in [
            ("0.0.0.0", "192.0.2.1:4433", true),
            ("0.0.0.0", "192.0.2.1:4434", false),
            ("0.0.0.0", "[fd00::1]:4433", false),
            ("::", "[fd00::1]:4433", true),
            ("::", "192.0.2.1:4433", true),
            ("192.0.2.1", "192.0.2.1:4433", true),
            ("192.0.2.1", "192.0.2.2:4433", false),
            ("192.0.2.1", "[::c000:201]:4433", false),
            ("::ffff:192.0.2.1", "192.0.2.1:4433", true),
            ("fd00::1", "[fd00::1]:4433", true),
            ("fd00::1", "[fd00::2]:4433", false),
        ] {
            assert_eq!(ours(listen, destination), expected, "{listen} {destination}");
        }
    }

    #[test]
    fn zeroed_memory_is_nothing() {
        assert_eq!(ConfigValue::zeroed(), ConfigValue::UNSET);
        assert!((0..=u16::MAX).all(|port| !ConfigValue::UNSET.is_ours(port)));
        assert_eq!(Tag::zeroed(), Tag::EMPTY);
        assert_eq!(AssociationValue::zeroed(), AssociationValue::EMPTY);
        assert_eq!(AssociationValue::EMPTY.entry(0), None);
    }

    #[test]
    fn an_association_is_found_under_its_own_id_only() {
        let id = LAYOUT.id(5, 77).unwrap();
        for phase in [Phase::Opening, Phase::HalfOpen, Phase::Established, Phase::Resting] {
            let entry = Entry { phase, peer_id: 9 };
            let value = AssociationValue::new(LAYOUT, id, entry);
            assert_eq!(value.entry(id.value()), Some(entry));
            assert_eq!(value.entry(LAYOUT.id(5, 78).unwrap().value()), None);
            assert_eq!(value.shard(), LAYOUT.shard_of(id.value()));
        }
    }

    #[test]
    fn few_generations_of_a_slot_have_the_same_tag() {
        let layout = IdLayout::for_capacity(IdLayout::MAX_SLOTS, 1).unwrap();
        for slot in [0, 1, 0x5_5555, IdLayout::MAX_SLOTS - 1] {
            let tag = |generation| Tag::of(generation << layout.slot_bits() | slot);
            for generation in [0, 1, 0x7ff, 0xfff] {
                let same = (0..1_u32 << 12).filter(|other| tag(*other) == tag(generation)).count();
                assert!(same <= 64, "{same} of 4096 generations, 16 expected");
                assert_ne!(tag(generation), Tag::EMPTY);
            }
        }
    }
}
