//! What the XDP program tells of packets that are watched: whose they are, and one event for each.
//!
//! Plain old data, as in [`crate::map`]. Zeroed memory is a filter that is off.

use core::net::IpAddr;

use bytemuck::{Pod, Zeroable};

use crate::cookie::mapped;
use crate::cursor::Cursor;
use crate::drop_reason::DropReason;
use crate::ends::Ends;
use crate::frame;
use crate::outcome::Outcome;
use crate::prefix::Prefix;

/// Whose packets are told of: the only element of the map `TRACE_FILTER`. While it is off, its first
/// word is all that is read.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct TraceFilter {
    kind: u32,
    /// An id or a port.
    number: u32,
    address: [u8; 16],
}

const _: () = assert!(size_of::<TraceFilter>() == 24);

const OFF: u32 = 0;
const ID: u32 = 1;
const HOST: u32 = 2;
const PEER: u32 = 3;

impl TraceFilter {
    /// Nobody's.
    pub const OFF: Self = Self { kind: OFF, number: 0, address: [0; 16] };

    /// Those with this id, the sender's or the receiver's, in the prefix.
    pub const fn id(id: u32) -> Self {
        Self { kind: ID, number: id, ..Self::OFF }
    }

    /// Those of this host.
    pub const fn host(address: IpAddr) -> Self {
        Self { kind: HOST, address: mapped(address), ..Self::OFF }
    }

    /// Those of this address and port.
    pub const fn peer(address: IpAddr, port: u16) -> Self {
        Self { kind: PEER, number: port as u32, address: mapped(address) }
    }

    /// Whether `event` is to be told.
    #[inline(always)]
    pub fn concerns(&self, event: &TraceEvent) -> bool {
        let address = || u128::from_be_bytes(self.address) == u128::from_be_bytes(event.address);
        match self.kind {
            ID => self.number == event.sender || self.number == event.receiver,
            HOST => address(),
            PEER => self.number == u32::from(event.port) && address(),
            _ => false,
        }
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It went on, or was answered.
    Went(Outcome),
    /// It ended in the XDP program.
    Dropped(DropReason),
}

/// Set where the rest is an index of drop reasons.
const DROPPED: u16 = 1 << 8;

const _: () = assert!(Outcome::COUNT < DROPPED as usize);
const _: () = assert!(DropReason::COUNT < DROPPED as usize);

impl Fate {
    /// The fate as a number.
    pub const fn code(self) -> u16 {
        match self {
            Self::Went(outcome) => outcome.as_index() as u16,
            Self::Dropped(reason) => reason.as_index() as u16 | DROPPED,
        }
    }

    /// The fate of this number; `None` if there is none.
    pub fn from_code(code: u16) -> Option<Self> {
        let index = usize::from(code & !DROPPED);
        if code & DROPPED == 0 {
            Outcome::ALL.get(index).copied().map(Self::Went)
        } else {
            DropReason::ALL.get(index).copied().map(Self::Dropped)
        }
    }
}

/// What became of one packet: an entry of the ring `TRACE_EVENTS`. Nothing of its payload is told.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct TraceEvent {
    /// When, by the monotonic clock, in nanoseconds.
    pub at_ns: u64,
    /// The peer's address, IPv4 as mapped.
    pub address: [u8; 16],
    /// The sender's id in the prefix; 0 where there is no prefix.
    pub sender: u32,
    /// The receiver's id in the prefix; 0 where there is no prefix.
    pub receiver: u32,
    /// Bytes of the UDP payload, prefix included.
    pub length: u32,
    /// The peer's port.
    pub port: u16,
    /// The [code](Fate::code) of what became of it.
    pub fate: u16,
}

const _: () = assert!(size_of::<TraceEvent>() == 40);

impl TraceEvent {
    /// What is to be told of a frame, whose time is not known here: `None` where it is not ours, and
    /// where only the kernel can read its headers.
    ///
    /// A frame that is answered has become its answer by now, which goes to the peer.
    #[inline(always)]
    pub fn of(frame: impl Cursor, fate: u16) -> Option<Self> {
        if fate == Fate::Went(Outcome::NotOurs).code() {
            return None;
        }
        let (headers, mut payload) = frame::parse(frame.clone()).ok()?;
        let prefix = Prefix::parse(&mut payload).unwrap_or(Prefix { sender: 0, receiver: 0 });
        let ends = Ends::read(&headers.place(), frame).ok()?;
        let answered = fate == Fate::Went(Outcome::HelloVerifyRequest).code();
        let (address, port) = if answered {
            (ends.destination, ends.destination_port)
        } else {
            (ends.source, ends.source_port)
        };
        let length = headers.payload_len as u32;
        let Prefix { sender, receiver } = prefix;
        Some(Self { at_ns: 0, address, sender, receiver, length, port, fate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(address: &str, port: u16) -> TraceEvent {
        let address = mapped(address.parse().unwrap());
        TraceEvent { address, port, sender: 7, receiver: 9, ..TraceEvent::zeroed() }
    }

    #[test]
    fn filters_know_hosts_ports_and_ids() {
        let host = |address: &str| TraceFilter::host(address.parse().unwrap());
        let peer = |address: &str, port| TraceFilter::peer(address.parse().unwrap(), port);
        for (filter, expected) in [
            (TraceFilter::OFF, false),
            (TraceFilter::id(7), true),
            (TraceFilter::id(9), true),
            (TraceFilter::id(5), false),
            (host("192.0.2.1"), true),
            (host("::ffff:192.0.2.1"), true),
            (host("192.0.2.2"), false),
            (host("fd00::1"), false),
            (peer("192.0.2.1", 5), true),
            (peer("192.0.2.1", 7), false),
            (peer("192.0.2.2", 5), false),
        ] {
            assert_eq!(filter.concerns(&event("192.0.2.1", 5)), expected, "{filter:?}");
        }
        assert!(host("fd00::1").concerns(&event("fd00::1", 5)));
        assert!(!TraceFilter::zeroed().concerns(&TraceEvent::zeroed()));
    }

    #[test]
    fn each_fate_has_a_number_of_its_own() {
        let went = Outcome::ALL.iter().copied().map(Fate::Went);
        let dropped = DropReason::ALL.iter().copied().map(Fate::Dropped);
        for fate in went.chain(dropped) {
            assert_eq!(Fate::from_code(fate.code()), Some(fate));
        }
        for code in [Outcome::COUNT as u16, DROPPED | DropReason::COUNT as u16, 1 << 9, u16::MAX] {
            assert_eq!(Fate::from_code(code), None, "{code}");
        }
    }
}
