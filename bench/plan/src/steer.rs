//! What the programs that steering is compared with know: which datagrams are theirs, what a map
//! holds of an association, and how the next of many associations is drawn.

use bytemuck::{Pod, Zeroable};

use crate::{IP_AT, PAYLOAD_AT, PREFIX_LEN, UDP_AT};

/// The UDP port that is steered.
pub const PORT: u16 = 4433;

/// What the peer calls each association.
pub const PEER: u32 = 0x5a5a_0001;

/// How much of a frame a bare parse looks at, in bytes: all up to the end of the prefix.
pub const HEAD_LEN: usize = PAYLOAD_AT + PREFIX_LEN;

/// An association as a map holds it: as large as the gateway's.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Held {
    /// Our id, by which a hash finds it; an array finds the slot.
    pub local: u32,
    /// The peer's.
    pub peer: u32,
    /// Whose it is.
    pub shard: u32,
    /// As large as the gateway's.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Held>() == 16);

/// How the next association is drawn: the one value of the map `DRAW` on each CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Draw {
    /// What the next one is drawn from.
    pub state: u64,
    /// The id of the association in slot 0; the others follow.
    pub first: u32,
    /// How many there are.
    pub count: u32,
    /// Which program is to see the frame.
    pub program: u32,
    /// The size of a map's value is a multiple of eight.
    pub reserved: u32,
}

impl Draw {
    /// The prefix of a datagram for any of the associations, all of them equally likely.
    #[inline(always)]
    pub fn prefix(&mut self) -> [u8; PREFIX_LEN] {
        self.state =
            self.state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let slot = ((self.state >> 32) * u64::from(self.count)) >> 32;
        prefix(self.first + slot as u32)
    }
}

/// The prefix of a datagram for this association.
#[inline(always)]
pub fn prefix(local: u32) -> [u8; PREFIX_LEN] {
    (u64::from(PEER) << 32 | u64::from(local)).to_be_bytes()
}

/// The receiver id of a plain IPv4 datagram to [`PORT`], and nothing else: the least that a program
/// has to find out before it can look anything up.
#[inline(always)]
pub fn receiver(head: &[u8; HEAD_LEN]) -> Option<u32> {
    let [ethertype @ .., version] = [head[12], head[13], head[IP_AT]];
    let fragment = u16::from_be_bytes([head[IP_AT + 6], head[IP_AT + 7]]) & !0x4000;
    let port = u16::from_be_bytes([head[UDP_AT + 2], head[UDP_AT + 3]]);
    if ethertype != [8, 0] || version != 0x45 || fragment != 0 || head[IP_AT + 9] != 17 {
        return None;
    }
    let [.., r0, r1, r2, r3] = *head;
    (port == PORT).then_some(u32::from_be_bytes([r0, r1, r2, r3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_association_is_drawn_and_no_other() {
        let mut draw = Draw { state: 1, first: 0x700, count: 5, program: 0, reserved: 0 };
        let mut drawn = [0; 5];
        for _ in 0..1_000 {
            let [p0, p1, p2, p3, r0, r1, r2, r3] = draw.prefix();
            assert_eq!(u32::from_be_bytes([p0, p1, p2, p3]), PEER);
            drawn[u32::from_be_bytes([r0, r1, r2, r3]) as usize - 0x700] += 1;
        }
        assert!(drawn.iter().all(|times| (150..250).contains(times)), "{drawn:?}");
    }

    #[test]
    fn only_plain_datagrams_to_the_port_have_a_receiver() {
        let mut head = [0; HEAD_LEN];
        head[12..15].copy_from_slice(&[8, 0, 0x45]);
        head[IP_AT + 9] = 17;
        head[UDP_AT + 2..UDP_AT + 4].copy_from_slice(&PORT.to_be_bytes());
        head[PAYLOAD_AT..].copy_from_slice(&prefix(0x0102_0304));
        assert_eq!(receiver(&head), Some(0x0102_0304));
        for at in [12, 13, IP_AT, IP_AT + 7, IP_AT + 9, UDP_AT + 3] {
            let mut other = head;
            other[at] ^= 1;
            assert_eq!(receiver(&other), None, "byte {at}");
        }
    }
}
