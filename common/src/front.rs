//! What becomes of a ClientHello at the driver: answered, passed to the control plane, or dropped.
//!
//! Nothing is answered that the kernel might not have delivered: where only the kernel can tell
//! (a checksum that an offload may still have to finish, an address that routing decides on) the
//! ClientHello takes the slow path, where the same cookie code runs, and only at a strict rate.

use bytemuck::{Pod, Zeroable};

use crate::budget::{self, SKETCH_ROWS, cells_of, interval_ns};
use crate::checksum::Sum;
use crate::client_hello::{ClientHello, CookieField, HelloError};
use crate::cookie::{HelloPath, Judgement, Secrets, judge, ring_index};
use crate::cursor::{Bounded, Cursor, Truncated};
use crate::drop_reason::DropReason;
use crate::ends::{Ends, IPV4_PAIR_LEN, IPV6_PAIR_LEN};
use crate::frame::Place;
use crate::prefix::Prefix;
use crate::reply::HelloReply;

/// The longest ClientHello that is judged at the driver, in bytes of UDP payload.
pub const PAYLOAD_MAX: usize = 2048;

const UDP_LEN: usize = 8;
const IPV4_LEN: usize = 20;
const PROTOCOL_UDP: u8 = 17;
const NANOSECONDS: u64 = 1_000_000_000;

/// The limits of what happens before a good cookie: the global `FRONT` of the object.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct FrontValue {
    reply_interval_ns: u64,
    source_interval_ns: u64,
    slow_interval_ns: u64,
    leaves_replies: u64,
}

const _: () = assert!(size_of::<FrontValue>() == 32);

/// How often a second and CPU something may happen before a good cookie; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontLimits {
    /// HelloVerifyRequests.
    pub replies: u32,
    /// HelloVerifyRequests to one source prefix, /32 of IPv4 or /64 of IPv6.
    pub replies_per_source: u32,
    /// ClientHellos that only the kernel can judge.
    pub slow_hellos: u32,
}

impl FrontValue {
    /// No limits.
    pub const UNSET: Self = Self {
        reply_interval_ns: 0,
        source_interval_ns: 0,
        slow_interval_ns: 0,
        leaves_replies: 0,
    };

    /// These limits.
    pub const fn new(limits: FrontLimits) -> Self {
        Self {
            reply_interval_ns: interval_ns(limits.replies),
            source_interval_ns: interval_ns(limits.replies_per_source),
            slow_interval_ns: interval_ns(limits.slow_hellos),
            leaves_replies: 0,
        }
    }

    /// The same where a reply of the driver would not arrive: userspace replies instead.
    #[must_use]
    pub const fn leaving_replies(self) -> Self {
        Self { leaves_replies: 1, ..self }
    }
}

/// What a front keeps: budgets, and secrets that others renew.
pub trait Front: Secrets {
    /// A coarse monotonic clock, in nanoseconds.
    fn now_ns(&self) -> u64;

    /// The limits.
    fn limits(&self) -> FrontValue;

    /// Up to when the budget of all replies is spent.
    fn replies(&mut self) -> Option<&mut u64>;

    /// Up to when the budget of ClientHellos on the slow path is spent.
    fn slow_hellos(&mut self) -> Option<&mut u64>;

    /// These cells of the sketch of sources.
    fn cells(&mut self, cells: [usize; SKETCH_ROWS]) -> Option<[&mut u64; SKETCH_ROWS]>;
}

/// What becomes of a datagram without receiver id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloVerdict {
    /// Back to where it came from, as a HelloVerifyRequest.
    Reply(HelloReply),
    /// To the control plane, to open an association: its cookie is good.
    Pass,
    /// To the kernel, which alone can judge it, and then to the control plane.
    PassSlowly,
    /// Nowhere.
    Drop(DropReason),
}

/// Decides on a frame for which [`crate::steering::steer`] has found that it holds a datagram
/// without receiver id.
#[inline(always)]
pub fn judge_frame(frame: impl Cursor, place: &Place, front: &mut impl Front) -> HelloVerdict {
    match try_judge_frame(frame, place, front) {
        Ok(verdict) => verdict,
        Err(reason) => HelloVerdict::Drop(reason),
    }
}

#[inline(always)]
fn try_judge_frame(
    frame: impl Cursor,
    place: &Place,
    front: &mut impl Front,
) -> Result<HelloVerdict, DropReason> {
    // Long before it matters: all of the packet is on its way into the cache then, while the lengths
    // in the ClientHello would have it come piece by piece.
    let is_intact = place.payload_len <= PAYLOAD_MAX && is_intact(place, frame.clone());
    let records = payload(place, frame.clone());
    let mut records = records.map_err(|Truncated| DropReason::TooShort)?;
    let prefix = Prefix::parse(&mut records).map_err(|Truncated| DropReason::TooShort)?;
    if prefix.sender == 0 {
        return Err(DropReason::WrongPeerId);
    }
    let hello = ClientHello::parse(&mut records.clone()).map_err(HelloError::reason)?;
    let ends = Ends::read(place, frame.clone()).map_err(|Truncated| DropReason::TooShort)?;
    let path = HelloPath {
        peer_address: ends.source,
        peer_port: ends.source_port,
        local_address: ends.destination,
        local_port: ends.destination_port,
        client_id: prefix.sender,
    };
    if !path.may_be_answered() || path.is_to_many() || is_group(frame) {
        return Err(DropReason::ReplyForbidden);
    }
    let wants_reply = hello.cookie == CookieField::Empty;
    if wants_reply && front.limits().leaves_replies != 0 {
        return pass_slowly(front).map(|()| HelloVerdict::PassSlowly);
    }
    if path.is_within_host() || !is_intact {
        return pass_slowly(front).map(|()| HelloVerdict::PassSlowly);
    }
    let now_ns = front.now_ns();
    if wants_reply {
        spend(&path, now_ns, front)?;
    }
    let now_s = (now_ns / NANOSECONDS) as u32;
    match judge(front, now_s, &path, &hello, &mut records.into_inner()) {
        Judgement::Drop(reason) => Err(reason),
        Judgement::Accept => Ok(HelloVerdict::Pass),
        Judgement::Reply(cookie) => Ok(HelloVerdict::Reply(HelloReply {
            tagged: place.tagged,
            ipv6: place.ipv6,
            client_id: prefix.sender,
            record_sequence: hello.record_sequence,
            cookie,
        })),
    }
}

/// Lets the kernel judge, as often as is allowed.
#[inline(always)]
pub fn pass_slowly(front: &mut impl Front) -> Result<(), DropReason> {
    let (now_ns, interval_ns) = (front.now_ns(), front.limits().slow_interval_ns);
    let admitted =
        front.slow_hellos().is_some_and(|budget| budget::spend(budget, now_ns, interval_ns));
    if admitted { Ok(()) } else { Err(DropReason::SlowHelloLimit) }
}

/// Pays for a reply: the source first, lest one source spend what belongs to all.
#[inline(always)]
fn spend(path: &HelloPath, now_ns: u64, front: &mut impl Front) -> Result<(), DropReason> {
    let FrontValue { reply_interval_ns, source_interval_ns, .. } = front.limits();
    if source_interval_ns != 0 {
        let secret = front.secret(ring_index((now_ns / NANOSECONDS) as u32));
        let cells = secret.map(|secret| cells_of(path.peer_address, secret.sketch()));
        let cells = cells.and_then(|cells| front.cells(cells));
        let cells = cells.ok_or(DropReason::SourceReplyLimit)?;
        if !budget::spend_cells(cells, now_ns, source_interval_ns) {
            return Err(DropReason::SourceReplyLimit);
        }
    }
    let admitted =
        front.replies().is_some_and(|budget| budget::spend(budget, now_ns, reply_interval_ns));
    if admitted { Ok(()) } else { Err(DropReason::ReplyLimit) }
}

/// Whether the frame was sent to, or claims to be from, more than one station.
#[inline(always)]
fn is_group(mut frame: impl Cursor) -> bool {
    let group = |[destination, _, _, _, _, _, source, _]: [u8; 8]| (destination | source) & 1 != 0;
    frame.take().map_or(true, group)
}

/// The datagram's payload.
#[inline(always)]
fn payload<C: Cursor>(place: &Place, mut frame: C) -> Result<Bounded<C>, Truncated> {
    frame.skip(place.payload_at)?;
    Bounded::new(frame, place.payload_len)
}

/// Whether all checksums are there and right.
#[inline(always)]
fn is_intact(place: &Place, frame: impl Cursor) -> bool {
    let right = if place.ipv6 {
        udp_is_intact(place, frame, IPV6_PAIR_LEN)
    } else {
        ipv4_is_intact(place, frame.clone())
            .and_then(|ip| Ok(ip && udp_is_intact(place, frame, IPV4_PAIR_LEN)?))
    };
    right == Ok(true)
}

#[inline(always)]
fn ipv4_is_intact(place: &Place, mut frame: impl Cursor) -> Result<bool, Truncated> {
    frame.skip(place.payload_at - UDP_LEN - IPV4_LEN)?;
    let mut sum = Sum::default();
    sum.absorb(&mut frame, IPV4_LEN)?;
    Ok(sum.is_intact())
}

/// `addresses` bytes of addresses stand before the UDP header: a part of the pseudo-header.
#[inline(always)]
fn udp_is_intact(
    place: &Place,
    mut frame: impl Cursor,
    addresses: usize,
) -> Result<bool, Truncated> {
    let length = UDP_LEN + place.payload_len;
    let mut sum = Sum::default();
    sum.pair((length as u16).to_be_bytes());
    sum.pair([0, PROTOCOL_UDP]);
    frame.skip(place.payload_at - UDP_LEN - addresses)?;
    sum.absorb(&mut frame, addresses + length)?;
    Ok(sum.is_intact())
}
