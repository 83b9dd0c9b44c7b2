//! Ids of associations and the one function that owns their layout.
//!
//! A 32-bit id is a *slot* in its low bits (an array index, as many bits as the configured capacity
//! needs) and a random *generation* in the rest, so that a datagram for an association that is gone
//! does not reach the one that took its slot.

use core::fmt;

/// A node's own name for one of its associations. Never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalId(u32);

/// The other end's name for an association. Never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(u32);

macro_rules! id {
    ($name:ident) => {
        impl $name {
            /// The id with this value, unless it is 0, which on the wire means "not known yet".
            pub const fn new(value: u32) -> Option<Self> {
                if value == 0 { None } else { Some(Self(value)) }
            }

            /// The id as it stands on the wire.
            pub const fn value(self) -> u32 {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:08x})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:08x}", self.0)
            }
        }
    };
}

id!(LocalId);
id!(PeerId);

/// Where slot and generation stand in a local id, and which shard owns a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdLayout {
    slot_bits: u32,
    shards: u32,
}

impl IdLayout {
    /// The most slots that a layout can have: 12 bits are left for the generation.
    pub const MAX_SLOTS: u32 = 1 << 20;

    /// The layout with room for `capacity` slots spread over `shards` shards.
    ///
    /// `None` if either is 0 or the capacity is beyond [`IdLayout::MAX_SLOTS`].
    pub const fn for_capacity(capacity: u32, shards: u32) -> Option<Self> {
        if capacity == 0 || shards == 0 || capacity > Self::MAX_SLOTS {
            return None;
        }
        Some(Self { slot_bits: u32::BITS - (capacity - 1).leading_zeros(), shards })
    }

    /// The slot that an id on the wire names: an array index below 2^[`IdLayout::slot_bits`].
    pub const fn slot_of(self, id: u32) -> u32 {
        id & ((1 << self.slot_bits) - 1)
    }

    /// The generation of an id on the wire.
    pub const fn generation_of(self, id: u32) -> u32 {
        id >> self.slot_bits
    }

    /// How many low bits are the slot.
    pub const fn slot_bits(self) -> u32 {
        self.slot_bits
    }

    /// How many shards share the slots.
    pub const fn shards(self) -> u32 {
        self.shards
    }

    /// The id of `slot` in its `generation`; bits beyond the layout are cut off. `None` for 0.
    pub const fn id(self, slot: u32, generation: u32) -> Option<LocalId> {
        LocalId::new(generation << self.slot_bits | self.slot_of(slot))
    }

    /// The shard that owns the association with this id.
    pub const fn shard_of(self, id: u32) -> u32 {
        self.slot_of(id) % self.shards
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_and_generation_make_up_the_id() {
        let layout = IdLayout::for_capacity(1000, 3).unwrap();
        assert_eq!(layout.slot_bits(), 10);
        let id = layout.id(999, 0x2a_bcde).unwrap().value();
        assert_eq!((layout.slot_of(id), layout.generation_of(id)), (999, 0x2a_bcde));
        assert_eq!(layout.shard_of(id), 0);
        assert_eq!(layout.shard_of(layout.id(1, 7).unwrap().value()), 1);
    }

    #[test]
    fn zero_is_never_an_id() {
        let layout = IdLayout::for_capacity(1, 1).unwrap();
        assert_eq!(layout.slot_bits(), 0);
        assert_eq!(layout.id(0, 0), None);
        assert_eq!(LocalId::new(0), None);
    }

    #[test]
    fn bounds_are_kept() {
        assert_eq!(IdLayout::for_capacity(0, 1), None);
        assert_eq!(IdLayout::for_capacity(1, 0), None);
        assert_eq!(IdLayout::for_capacity(IdLayout::MAX_SLOTS + 1, 1), None);
        let largest = IdLayout::for_capacity(IdLayout::MAX_SLOTS, 2).unwrap();
        assert_eq!(largest.slot_bits(), 20);
    }
}
