//! Telling userspace of packets that are watched: off, one load for each packet.

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray, RingBuf};
use aya_ebpf::programs::XdpContext;
use xdtls_common::trace::{TraceEvent, TraceFilter};

use crate::packet::PacketCursor;

/// Whose packets are watched.
#[map]
static TRACE_FILTER: Array<TraceFilter> = Array::with_max_entries(1, 0);

/// Events that nobody has read yet. Its size bounds what a flood can make of a trace.
#[map]
static TRACE_EVENTS: RingBuf = RingBuf::with_byte_size(64 * 1024, 0);

/// Events that did not fit.
#[map]
static TRACE_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Whether anything is watched.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    // SAFETY: the map checked the index and keeps its element. The control plane may write at the
    // same time, so the read is volatile; the first word of a filter alone says whether it is off.
    TRACE_FILTER
        .get_ptr(0)
        .is_some_and(|filter| unsafe { filter.cast::<u32>().read_volatile() != 0 })
}

/// Tells what became of the packet, if it is watched. It is called from the bottom of the stack
/// only, where the judgement of a ClientHello has left its room again.
#[inline(never)]
pub(crate) fn tell(context: &XdpContext, fate: u16) {
    // Before the packet is looked at: the compiler would otherwise load the packet's ends in the
    // caller and pass them as plain numbers, which the verifier takes for no pointers.
    let Some(filter) = TRACE_FILTER.get_ptr(0) else { return };
    // SAFETY: as above; a filter that is written meanwhile is a mixture of two, and every bit
    // pattern is one.
    let filter = unsafe { filter.read_volatile() };
    let Some(event) = TraceEvent::of(PacketCursor::new(context), fate) else { return };
    if !filter.concerns(&event) {
        return;
    }
    let Some(mut entry) = TRACE_EVENTS.reserve::<TraceEvent>(0) else { return lose() };
    // SAFETY: the helper reads a clock.
    entry.write(TraceEvent { at_ns: unsafe { bpf_ktime_get_ns() }, ..event });
    // Whoever watches asks for events at times of its own.
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}

#[inline(always)]
fn lose() {
    if let Some(lost) = TRACE_LOST.get_ptr_mut(0) {
        // SAFETY: the map checked the index, and only this CPU, which runs one XDP program at a
        // time, writes its own element.
        unsafe { *lost += 1 };
    }
}
