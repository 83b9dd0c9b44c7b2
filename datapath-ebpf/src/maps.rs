//! The maps: what the loader tells the program, and what the program counts.

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, PerCpuArray, XskMap};
use xdtls_common::access::{Access, AccessValue, PREFIXES_MAX, PrefixKey};
use xdtls_common::budget::{SKETCH_CELLS, SKETCH_ROWS};
use xdtls_common::cookie::{SECRETS, Secret, Secrets};
use xdtls_common::front::{Front, FrontValue};
use xdtls_common::id::IdLayout;
use xdtls_common::map::{AssociationValue, BLOCK_SLOTS, ConfigValue, Tag, TagBlock};
use xdtls_common::steering::Table;
use xdtls_common::{DropReason, Outcome};

/// Set by the loader before the program is verified, constant from then on.
#[unsafe(no_mangle)]
pub(crate) static CONFIG: Global<ConfigValue> = Global::new(ConfigValue::UNSET);

/// The same for what happens to ClientHellos.
#[unsafe(no_mangle)]
pub(crate) static FRONT: Global<FrontValue> = Global::new(FrontValue::UNSET);

/// The tag of the id that each slot holds, in blocks. The loader makes it as large as the configured
/// capacity.
#[map]
static TAGS: Array<TagBlock> = Array::with_max_entries(IdLayout::MAX_SLOTS / BLOCK_SLOTS, 0);

/// The association in each slot; as many as `TAGS` has tags for.
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

/// The ring of cookie secrets. The control plane writes one while it judges nothing.
#[map]
static COOKIE_SECRETS: Array<Secret> = Array::with_max_entries(SECRETS as u32, 0);

/// Up to when a CPU's budgets are spent: of replies, and of ClientHellos on the slow path.
#[map]
static BUDGETS: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);
const REPLIES: u32 = 0;
const SLOW_HELLOS: u32 = 1;

/// A CPU's sketch of the sources that it has answered, by row.
#[map]
static SKETCH: PerCpuArray<[u64; SKETCH_CELLS]> =
    PerCpuArray::with_max_entries(SKETCH_ROWS as u32, 0);

/// Which of the two lists of sources have entries.
#[map]
static ACCESS: Array<AccessValue> = Array::with_max_entries(1, 0);

/// Prefixes that are denied.
#[map]
static DENIED: LpmTrie<PrefixKey, u8> = LpmTrie::with_max_entries(PREFIXES_MAX, BPF_F_NO_PREALLOC);

/// Prefixes that alone are allowed.
#[map]
static ALLOWED: LpmTrie<PrefixKey, u8> = LpmTrie::with_max_entries(PREFIXES_MAX, BPF_F_NO_PREALLOC);

/// All that the program knows from maps.
pub(crate) struct Maps;

impl Table for Maps {
    #[inline(always)]
    fn tag(&self, slot: u32) -> Option<Tag> {
        let block = TAGS.get_ptr(slot / BLOCK_SLOTS)?.cast::<Tag>();
        // SAFETY: the map checked the index and keeps its elements for as long as it lives; the
        // remainder is within one. The control plane may write at the same time, so the read is
        // volatile; every bit pattern is a tag.
        Some(unsafe { block.add((slot % BLOCK_SLOTS) as usize).read_volatile() })
    }

    #[inline(always)]
    fn association(&self, slot: u32) -> Option<AssociationValue> {
        let association = ASSOCIATIONS.get_ptr(slot)?;
        // SAFETY: as above; a value that is written meanwhile is a mixture of two values, and
        // every bit pattern is one.
        Some(unsafe { association.read_volatile() })
    }
}

impl Access for Maps {
    #[inline(always)]
    fn lists(&self) -> AccessValue {
        // SAFETY: as above.
        ACCESS
            .get_ptr(0)
            .map_or_else(AccessValue::default, |lists| unsafe { lists.read_volatile() })
    }

    #[inline(always)]
    fn is_denied(&self, source: PrefixKey) -> bool {
        DENIED.get(Key::new(128, source)).is_some()
    }

    #[inline(always)]
    fn is_allowed(&self, source: PrefixKey) -> bool {
        ALLOWED.get(Key::new(128, source)).is_some()
    }
}

impl Secrets for Maps {
    #[inline(always)]
    fn secret(&self, index: usize) -> Option<&Secret> {
        let secret = COOKIE_SECRETS.get_ptr(index as u32)?;
        // SAFETY: the map checked the index and keeps its elements. The control plane writes only
        // what judges nothing, long before and after; every bit pattern is a secret.
        Some(unsafe { &*secret })
    }
}

impl Front for Maps {
    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: the helper reads a clock.
        unsafe { bpf_ktime_get_coarse_ns() }
    }

    #[inline(always)]
    fn limits(&self) -> FrontValue {
        FRONT.load()
    }

    #[inline(always)]
    fn replies(&mut self) -> Option<&mut u64> {
        // SAFETY: the map checked the index, and only this CPU, which runs one XDP program at a
        // time, has the element.
        BUDGETS.get_ptr_mut(REPLIES).map(|budget| unsafe { &mut *budget })
    }

    #[inline(always)]
    fn slow_hellos(&mut self) -> Option<&mut u64> {
        // SAFETY: as above.
        BUDGETS.get_ptr_mut(SLOW_HELLOS).map(|budget| unsafe { &mut *budget })
    }

    #[inline(always)]
    fn cells(&mut self, [first, second]: [usize; SKETCH_ROWS]) -> Option<[&mut u64; SKETCH_ROWS]> {
        let (first_row, second_row) = (SKETCH.get_ptr_mut(0)?, SKETCH.get_ptr_mut(1)?);
        // SAFETY: as above; the rows are two elements, and the remainder is within each. It is
        // taken again because the verifier has to see it here.
        unsafe {
            let first = &mut (*first_row)[first % SKETCH_CELLS];
            Some([first, &mut (*second_row)[second % SKETCH_CELLS]])
        }
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
