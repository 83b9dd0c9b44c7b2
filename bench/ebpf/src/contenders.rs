//! What the gateway's steering is compared with: the same frames, less and less done with them.
//!
//! `parse` reads the receiver id; `parse_array`, `parse_hash` and `parse_lru` look it up as well, and
//! `parse_array_redirect` hands the frame to a socket. Whatever has been found is dropped, all else
//! passes, so that whoever runs them sees whether they did their work. `draw` writes the ids of
//! an association drawn at random and goes on with another program.

use aya_ebpf::Global;
use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, ProgramArray, XskMap};
use aya_ebpf::programs::XdpContext;
use xdtls_bench_plan::steer::{Draw, HEAD_LEN, Held, receiver};
use xdtls_bench_plan::{PAYLOAD_AT, PREFIX_LEN};

use crate::bytes_at;

/// Which bits of an id are its slot. Set by the loader before the programs are verified.
#[unsafe(no_mangle)]
static SLOT_MASK: Global<u32> = Global::new(0);

/// Associations by slot. The loader makes all three maps as large as it needs.
#[map]
static BY_SLOT: Array<Held> = Array::with_max_entries(1, 0);

/// Associations by id.
#[map]
static BY_ID: HashMap<u32, Held> = HashMap::with_max_entries(1, 0);

/// Associations by id; those that nobody asked for give way.
#[map]
static BY_ID_LRU: LruHashMap<u32, Held> = LruHashMap::with_max_entries(1, 0);

/// A socket for each shard.
#[map]
static SHARDS: XskMap = XskMap::with_max_entries(1, 0);

/// Which association comes next.
#[map]
static DRAW: PerCpuArray<Draw> = PerCpuArray::with_max_entries(1, 0);

/// The programs that `draw` can go on with.
#[map]
static PROGRAMS: ProgramArray = ProgramArray::with_max_entries(8, 0);

/// Reads the receiver id.
#[xdp]
fn parse(context: XdpContext) -> u32 {
    found(parsed(&context).filter(|id| *id != 0))
}

/// Finds the association in its slot.
#[xdp]
fn parse_array(context: XdpContext) -> u32 {
    found(by_slot(&context))
}

/// Finds the association in its slot and hands the frame to its shard's socket.
#[xdp]
fn parse_array_redirect(context: XdpContext) -> u32 {
    match by_slot(&context) {
        Some(held) => match SHARDS.redirect(held.shard, u64::from(XDP_PASS)) {
            Ok(action) | Err(action) => action,
        },
        None => XDP_PASS,
    }
}

/// Finds the association by its id.
#[xdp]
fn parse_hash(context: XdpContext) -> u32 {
    let held = parsed(&context).and_then(|id| BY_ID.get_ptr(id));
    found(held)
}

/// The same where associations give way to others.
#[xdp]
fn parse_lru(context: XdpContext) -> u32 {
    let held = parsed(&context).and_then(|id| BY_ID_LRU.get_ptr(id));
    found(held)
}

/// Writes the ids of an association drawn at random and goes on with the program that the draw names.
#[xdp]
fn draw(context: XdpContext) -> u32 {
    let Some(draw) = DRAW.get_ptr_mut(0) else { return XDP_ABORTED };
    // SAFETY: the map checked the index, and only this CPU, which runs one XDP program at a time, has
    // the element.
    let draw = unsafe { &mut *draw };
    let at = context.data() + PAYLOAD_AT;
    if at + PREFIX_LEN > context.data_end() {
        return XDP_ABORTED;
    }
    // SAFETY: the bytes lie before the end of the frame, which is this program's alone.
    unsafe { (at as *mut [u8; PREFIX_LEN]).write(draw.prefix()) };
    // SAFETY: nothing that was made here waits to be dropped.
    unsafe { PROGRAMS.tail_call(&context, draw.program) };
    XDP_ABORTED
}

#[inline(always)]
fn parsed(context: &XdpContext) -> Option<u32> {
    receiver(bytes_at::<HEAD_LEN>(context, 0)?)
}

#[inline(always)]
fn by_slot(context: &XdpContext) -> Option<Held> {
    let id = parsed(context)?;
    // SAFETY: the map checked the index and keeps its elements for as long as it lives; whoever writes
    // them has done so before the program runs.
    let held = unsafe { *BY_SLOT.get_ptr(id & SLOT_MASK.load())? };
    (held.local == id).then_some(held)
}

/// What a program does with what it was asked for.
#[inline(always)]
fn found<T>(what: Option<T>) -> u32 {
    if what.is_some() { XDP_DROP } else { XDP_PASS }
}
