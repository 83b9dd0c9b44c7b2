//! The maps: what the loader tells the program, and what the program counts.

use aya_ebpf::Global;
use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray, XskMap};
use xdtls_common::id::IdLayout;
use xdtls_common::map::{AssociationValue, ConfigValue, TagValue};
use xdtls_common::steering::Table;
use xdtls_common::{DropReason, Outcome};

/// Set by the loader before the program is verified, constant from then on.
#[unsafe(no_mangle)]
pub(crate) static CONFIG: Global<ConfigValue> = Global::new(ConfigValue::UNSET);

/// Which id each slot holds. The loader makes it as large as the configured capacity.
#[map]
static TAGS: Array<TagValue> = Array::with_max_entries(IdLayout::MAX_SLOTS, 0);

/// The association in each slot; as large as `TAGS`.
#[map]
static ASSOCIATIONS: Array<AssociationValue> = Array::with_max_entries(IdLayout::MAX_SLOTS, 0);

/// AF_XDP sockets by `ConfigValue::socket_index`.
#[map]
static SOCKETS: XskMap = XskMap::with_max_entries(1024, 0);

/// Dropped packets by `DropReason::as_index`.
#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(DropReason::COUNT as u32, 0);

/// Packets that were not dropped, by `Outcome::as_index`.
#[map]
static OUTCOMES: PerCpuArray<u64> = PerCpuArray::with_max_entries(Outcome::COUNT as u32, 0);

/// The associations as the maps hold them.
pub(crate) struct Associations;

impl Table for Associations {
    #[inline(always)]
    fn tag(&self, slot: u32) -> Option<TagValue> {
        let tag = TAGS.get_ptr(slot)?;
        // SAFETY: the map checked the index and keeps its elements for as long as it lives. The
        // control plane may write at the same time, so the read is volatile; every bit pattern
        // is a tag.
        Some(unsafe { tag.read_volatile() })
    }

    #[inline(always)]
    fn association(&self, slot: u32) -> Option<AssociationValue> {
        let association = ASSOCIATIONS.get_ptr(slot)?;
        // SAFETY: as above; a value that is written meanwhile is a mixture of two values, and
        // every bit pattern is one.
        Some(unsafe { association.read_volatile() })
    }
}

/// Hands the packet to a socket. Without one it goes to the kernel: the UDP socket takes what
/// XDP passes up, so an association whose worker has no socket here is slow and not dead.
#[inline(always)]
pub(crate) fn redirect(socket_index: u32) -> (u32, Outcome) {
    match SOCKETS.redirect(socket_index, u64::from(XDP_PASS)) {
        Ok(action) => (action, Outcome::Redirected),
        Err(fallback) => (fallback, Outcome::NoSocket),
    }
}

/// Counts a packet that goes on.
#[inline(always)]
pub(crate) fn count_outcome(outcome: Outcome) {
    count(&OUTCOMES, outcome.as_index() as u32);
}

/// Counts a packet that ends here.
#[inline(always)]
pub(crate) fn count_drop(reason: DropReason) {
    count(&DROPS, reason.as_index() as u32);
}

#[inline(always)]
fn count(counters: &PerCpuArray<u64>, index: u32) {
    if let Some(counter) = counters.get_ptr_mut(index) {
        // SAFETY: the map checked the index, and only this CPU, which runs one XDP program at a
        // time, writes its own element.
        unsafe { *counter += 1 };
    }
}
