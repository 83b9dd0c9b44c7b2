//! From a frame to where it goes: all that the XDP program decides, over any cursor and any
//! table, so that the same code runs on the host.

use crate::cursor::Cursor;
use crate::drop_reason::DropReason;
use crate::ends::Ends;
use crate::frame::{self, Place};
use crate::map::{AssociationValue, ConfigValue, Tag};
use crate::prefix::Prefix;
use crate::verdict::{Verdict, verdict};

/// The associations by slot, as the maps hold them.
pub trait Table {
    /// The tag of the id that the slot holds; `None` beyond the last slot.
    fn tag(&self, slot: u32) -> Option<Tag>;

    /// The association in the slot; `None` beyond the last slot.
    fn association(&self, slot: u32) -> Option<AssociationValue>;
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// To the kernel: it is none of our datagrams.
    NotOurs,
    /// To [`crate::odd::is_hello`], for it is no plain UDP.
    NotPlain,
    /// To [`crate::front::judge_frame`], which decides on a datagram without receiver id.
    ClientHello(Place),
    /// To the control plane, for an association that is being opened.
    Handshake,
    /// To the worker of this shard.
    Worker(u32),
    /// Nowhere.
    Drop(DropReason),
}

/// Decides on a whole frame, once [`crate::access::enter`] has let it in if any source is on a list.
#[inline(always)]
pub fn steer(frame: impl Cursor, config: &ConfigValue, table: &impl Table) -> Steering {
    let Ok((headers, mut payload)) = frame::parse(frame.clone()) else {
        return Steering::NotPlain;
    };
    let place = headers.place();
    if !config.is_ours(headers.destination.port()) || !listens_on(config, &place, frame) {
        return Steering::NotOurs;
    }
    let Ok(prefix) = Prefix::parse(&mut payload) else {
        return Steering::Drop(DropReason::TooShort);
    };
    let association = find(prefix.receiver, config, table);
    let entry = association.and_then(|found| found.entry(prefix.receiver));
    match (verdict(prefix, entry, &mut payload), association) {
        (Verdict::ClientHello, _) if config.answers_hellos() => Steering::ClientHello(place),
        (Verdict::ClientHello, _) => Steering::Drop(DropReason::UnknownId),
        (Verdict::Handshake, _) => Steering::Handshake,
        (Verdict::Worker, Some(found)) => Steering::Worker(found.shard()),
        (Verdict::Worker, None) => Steering::Drop(DropReason::UnknownId),
        (Verdict::Drop(reason), _) => Steering::Drop(reason),
    }
}

#[inline(always)]
fn listens_on(config: &ConfigValue, place: &Place, frame: impl Cursor) -> bool {
    let is_listened_on = |ends: Ends| config.listens_on(ends.destination);
    !config.asks_for_address() || Ends::read(place, frame).is_ok_and(is_listened_on)
}

/// The tag first: a flood of unknown ids ends there.
#[inline(always)]
fn find(receiver: u32, config: &ConfigValue, table: &impl Table) -> Option<AssociationValue> {
    let slot = config.slot_of(receiver);
    if receiver == 0 || table.tag(slot)? != Tag::of(receiver) {
        return None;
    }
    table.association(slot)
}
