//! Who may send to us at all: lists of source prefixes, as the XDP program's maps have them.

use bytemuck::{Pod, Zeroable};

use crate::cursor::Cursor;
use crate::ends::Ends;
use crate::frame;
use crate::map::ConfigValue;

/// A prefix as the kernel's LPM tries want it, IPv4 as mapped.
pub type PrefixKey = [u8; 16];

/// The most entries of each list.
pub const PREFIXES_MAX: u32 = 65_536;

/// Which lists have entries: the only element of the map `ACCESS`. While there are none, this is
/// all that is read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct AccessValue {
    denies: u32,
    allows: u32,
}

const _: () = assert!(size_of::<AccessValue>() == 8);

impl AccessValue {
    /// Whether sources are looked up in the list of those that are denied, and in the list of those
    /// that alone are allowed.
    pub const fn new(denies: bool, allows: bool) -> Self {
        Self { denies: denies as u32, allows: allows as u32 }
    }
}

/// The lists.
pub trait Access {
    /// Which lists have entries.
    fn lists(&self) -> AccessValue;

    /// Whether the source is on the list of those that are denied.
    fn is_denied(&self, source: PrefixKey) -> bool;

    /// Whether the source is on the list of those that are allowed.
    fn is_allowed(&self, source: PrefixKey) -> bool;
}

impl AccessValue {
    /// Whether any list has entries.
    #[inline(always)]
    pub const fn any(self) -> bool {
        self.denies != 0 || self.allows != 0
    }
}

/// Whether a source may send to us: it is not denied, and it is allowed if only some are.
#[inline(always)]
pub fn admits(access: &impl Access, source: PrefixKey) -> bool {
    let AccessValue { denies, allows } = access.lists();
    let denied = denies != 0 && access.is_denied(source);
    !denied && (allows == 0 || access.is_allowed(source))
}

/// Whether a frame goes on to [`crate::steering::steer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// It does.
    Open,
    /// It is to another address than the one that is listened on: it is the kernel's.
    NotOurs,
    /// Its source may not send to us.
    Denied,
}

/// Looks at the addresses of a frame. To be asked only where the source's matters: if
/// [`AccessValue::any`].
#[inline(always)]
pub fn enter(frame: impl Cursor, config: &ConfigValue, access: &impl Access) -> Entrance {
    let Ok((headers, _)) = frame::parse(frame.clone()) else { return Entrance::Open };
    let Ok(ends) = Ends::read(&headers.place(), frame) else { return Entrance::Open };
    if !config.is_ours(ends.destination_port) {
        Entrance::Open
    } else if !config.listens_on(ends.destination) {
        Entrance::NotOurs
    } else if !admits(access, ends.source) {
        Entrance::Denied
    } else {
        Entrance::Open
    }
}
