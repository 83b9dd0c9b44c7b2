//! The eBPF programs of the bench.
//!
//! `generate` runs in the kernel without an interface (`BPF_PROG_RUN` with live frames): it writes
//! the frames of a plan and sends them out of one interface. `replies` stands on that interface,
//! counts what comes back to the plan's addresses and keeps the cookies. `reflect` and `discard`
//! are what XDP can do at most: a gateway is measured against them. What its steering is compared
//! with is in [`contenders`].
#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_xdp_adjust_tail, bpf_xdp_store_bytes};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, DevMap, PerCpuArray};
use aya_ebpf::programs::XdpContext;
use xdtls_bench_plan::reply::{
    self, REPLY_ADDRESS_LEN, REPLY_COOKIE_AT, REPLY_KIND_LEN, Reply, Watched,
};
use xdtls_bench_plan::{COOKIE_LEN, FRAME_MAX, Frame, IDENTITIES_MAX, PAYLOAD_AT, Plan};

mod contenders;

/// How often the clock is read at most before a frame; each time takes some 20 ns.
const WAIT_ROUNDS: u32 = 4_096;

/// How much is made up for at most: as long as others may have had the CPU.
const LATE_NS: u64 = 100_000_000;

/// Some helpers are for programs under the GPL only; the kernel compares this very string.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The plan. One CPU at a time generates.
#[map]
static PLAN: Array<Plan> = Array::with_max_entries(1, 0);

/// The frame that belongs to it.
#[map]
static FRAME: Array<Frame> = Array::with_max_entries(1, 0);

/// The cookies by identity. The loader makes it as large as it needs.
#[map]
static COOKIES: Array<[u8; COOKIE_LEN]> = Array::with_max_entries(IDENTITIES_MAX, 0);

/// Whose replies are counted.
#[map]
static WATCHED: Array<Watched> = Array::with_max_entries(1, 0);

/// The interface that frames leave by.
#[map]
static INTERFACE: DevMap = DevMap::with_max_entries(1, 0);

/// Replies by `Reply`, and their bytes behind them.
#[map]
static REPLIES: PerCpuArray<u64> = PerCpuArray::with_max_entries(2 * Reply::COUNT, 0);

/// Writes the next frame of the plan and sends it.
#[xdp]
fn generate(context: XdpContext) -> u32 {
    let (Some(plan), Some(frame)) = (PLAN.get_ptr_mut(0), FRAME.get_ptr_mut(0)) else {
        return XDP_ABORTED;
    };
    // SAFETY: both maps keep their only value for as long as they live, and the one thread that
    // generates is the only one that touches them meanwhile.
    let (plan, frame) = unsafe { (&mut *plan, &mut *frame) };
    if plan.gap_ns != 0 {
        wait(plan);
    }
    let number = plan.next;
    plan.next += 1;
    let cookie = match plan.cookie_at {
        0 => None,
        _ => COOKIES.get(plan.identity_number(number)),
    };
    plan.write(frame, number, cookie);
    let length = plan.length;
    if length == 0 || length as usize > FRAME_MAX {
        return XDP_ABORTED;
    }
    // Pages come back as the receiver has left them. One that it made shorter stays so, unless the
    // program changes its end: what is handed in is one byte longer than the plan's frame.
    // SAFETY: the context is the one that the kernel has passed.
    if unsafe { bpf_xdp_adjust_tail(context.ctx, -1) } != 0 {
        return XDP_ABORTED;
    }
    // SAFETY: `frame` has FRAME_MAX bytes, and `length` is no more.
    let stored = unsafe { bpf_xdp_store_bytes(context.ctx, 0, frame.as_mut_ptr().cast(), length) };
    if stored != 0 {
        return XDP_ABORTED;
    }
    INTERFACE.redirect(0, u64::from(XDP_ABORTED)).unwrap_or(XDP_ABORTED)
}

/// Waits until the next frame is due. Frames that are late are sent at once, and those of more than
/// [`LATE_NS`] are forgotten.
#[inline(always)]
fn wait(plan: &mut Plan) {
    let mut now_ns = 0;
    for _ in 0..WAIT_ROUNDS {
        // SAFETY: the helper reads a clock.
        now_ns = unsafe { bpf_ktime_get_ns() };
        if now_ns >= plan.due_ns {
            break;
        }
    }
    let earliest_ns = if plan.due_ns == 0 { now_ns } else { now_ns.saturating_sub(LATE_NS) };
    plan.due_ns = plan.due_ns.max(earliest_ns) + plan.gap_ns;
}

/// Counts what comes back and ends it here; all else goes on.
#[xdp]
fn replies(context: XdpContext) -> u32 {
    let Some(watched) = WATCHED.get(0).copied() else { return XDP_PASS };
    let Watched { network, host_mask, prefix, keeps_cookies } = watched;
    let Some(head) = bytes_at::<REPLY_ADDRESS_LEN>(&context, 0) else { return XDP_PASS };
    let Some((source, destination)) = reply::addresses(head) else { return XDP_PASS };
    // What an XDP program merely sends back still has the sender's address as its source.
    if destination & !host_mask != network && source & !host_mask != network {
        return XDP_PASS;
    }
    let bytes = (context.data_end() - context.data()) as u64;
    let Some(payload) = bytes_at::<REPLY_KIND_LEN>(&context, PAYLOAD_AT) else {
        count(Reply::Other, bytes);
        return XDP_DROP;
    };
    let kind = reply::kind(payload, prefix != 0);
    count(kind, bytes);
    if kind == Reply::HelloVerifyRequest
        && keeps_cookies != 0
        && let Some(cookie) = bytes_at::<COOKIE_LEN>(&context, REPLY_COOKIE_AT)
        && let Some(kept) = COOKIES.get_ptr_mut(reply::identity(payload))
    {
        // SAFETY: the map checked the index; whoever reads waits until all replies are there.
        unsafe { *kept = *cookie };
    }
    XDP_DROP
}

/// Sends every frame back: the bound of replies.
#[xdp]
fn reflect(context: XdpContext) -> u32 {
    let (at, end) = (context.data(), context.data_end());
    if at + 12 > end {
        return XDP_PASS;
    }
    let addresses = at as *mut [u8; 12];
    // SAFETY: the twelve bytes lie before the end of the frame, which is this program's alone.
    unsafe {
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = addresses.read();
        addresses.write([s0, s1, s2, s3, s4, s5, d0, d1, d2, d3, d4, d5]);
    }
    XDP_TX
}

/// Leaves every frame to the kernel: what XDP sends to a veth arrives only if a program is there.
#[xdp]
fn pass(_context: XdpContext) -> u32 {
    XDP_PASS
}

/// Drops every frame: the bound of drops.
#[xdp]
fn discard(_context: XdpContext) -> u32 {
    XDP_DROP
}

/// Bytes of the frame, if it has so many.
#[inline(always)]
fn bytes_at<const N: usize>(context: &XdpContext, at: usize) -> Option<&[u8; N]> {
    let start = context.data() + at;
    if start + N > context.data_end() {
        return None;
    }
    // SAFETY: the bytes lie before the end of the frame, which lives as long as the context and
    // which this program alone touches.
    Some(unsafe { &*(start as *const [u8; N]) })
}

#[inline(always)]
fn count(kind: Reply, bytes: u64) {
    for (index, add) in [(kind as u32, 1), (kind as u32 + Reply::COUNT, bytes)] {
        if let Some(counter) = REPLIES.get_ptr_mut(index) {
            // SAFETY: the map checked the index, and only this CPU, which runs one XDP program at
            // a time, writes its own element.
            unsafe { *counter += add };
        }
    }
}

/// The verifier proves that no path gets here; the compiler asks for it all the same.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
