//! The eBPF programs of the bench.
//!
//! `generate` runs in the kernel without an interface (`BPF_PROG_RUN` with live frames): it writes
//! the frames of a plan and sends them out of one interface. `replies` stands on that interface,
//! counts what comes back to the plan's addresses and keeps the cookies. `reflect` and `discard`
//! are what XDP can do at most: a gateway is measured against them.
#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::helpers::generated::{bpf_xdp_adjust_tail, bpf_xdp_load_bytes, bpf_xdp_store_bytes};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, DevMap, PerCpuArray};
use aya_ebpf::programs::XdpContext;
use xdtls_bench_plan::reply::{self, REPLY_ADDRESS_LEN, REPLY_COOKIE_AT, REPLY_KIND_LEN, Reply};
use xdtls_bench_plan::{COOKIE_LEN, FRAME_MAX, IDENTITIES_MAX, PAYLOAD_AT, Plan};

/// Some helpers are for programs under the GPL only; the kernel compares this very string.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The plan. One CPU at a time generates.
#[map]
static PLAN: Array<Plan> = Array::with_max_entries(1, 0);

/// The cookies by identity. The loader makes it as large as it needs.
#[map]
static COOKIES: Array<[u8; COOKIE_LEN]> = Array::with_max_entries(IDENTITIES_MAX, 0);

/// The interface that frames leave by.
#[map]
static INTERFACE: DevMap = DevMap::with_max_entries(1, 0);

/// Replies by `Reply`, and their bytes behind them.
#[map]
static REPLIES: PerCpuArray<u64> = PerCpuArray::with_max_entries(2 * Reply::COUNT, 0);

/// Writes the next frame of the plan and sends it.
#[xdp]
fn generate(context: XdpContext) -> u32 {
    let Some(plan) = PLAN.get_ptr_mut(0) else { return XDP_ABORTED };
    // SAFETY: the map keeps its only value for as long as it lives, and the one thread that
    // generates is the only one that touches it meanwhile.
    let plan = unsafe { &mut *plan };
    let number = plan.next;
    plan.next += 1;
    let cookie = COOKIES.get(plan.identity_number(number));
    plan.write(number, cookie);
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
    let stored =
        unsafe { bpf_xdp_store_bytes(context.ctx, 0, plan.frame.as_mut_ptr().cast(), length) };
    if stored != 0 {
        return XDP_ABORTED;
    }
    INTERFACE.redirect(0, u64::from(XDP_ABORTED)).unwrap_or(XDP_ABORTED)
}

/// Counts what comes back and ends it here; all else goes on.
#[xdp]
fn replies(context: XdpContext) -> u32 {
    let Some(plan) = PLAN.get_ptr(0) else { return XDP_PASS };
    // SAFETY: these fields are written before the program is attached, and by nobody after that.
    let (network, mask, prefix) =
        unsafe { ((*plan).network, (*plan).host_mask, (*plan).prefix != 0) };
    let Some(head) = load::<REPLY_ADDRESS_LEN>(&context, 0) else { return XDP_PASS };
    if reply::destination(&head) & !mask != network {
        return XDP_PASS;
    }
    let bytes = (context.data_end() - context.data()) as u64;
    let Some(payload) = load::<REPLY_KIND_LEN>(&context, PAYLOAD_AT as u32) else {
        count(Reply::Other, bytes);
        return XDP_DROP;
    };
    let kind = reply::kind(&payload, prefix);
    count(kind, bytes);
    if kind == Reply::HelloVerifyRequest
        && prefix
        && let Some(cookie) = load::<COOKIE_LEN>(&context, REPLY_COOKIE_AT as u32)
        && let Some(kept) = COOKIES.get_ptr_mut(reply::identity(&payload))
    {
        // SAFETY: the map checked the index; whoever reads waits until all replies are there.
        unsafe { *kept = cookie };
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

/// Drops every frame: the bound of drops.
#[xdp]
fn discard(_context: XdpContext) -> u32 {
    XDP_DROP
}

/// Bytes of the frame, if it has so many.
#[inline(always)]
fn load<const N: usize>(context: &XdpContext, at: u32) -> Option<[u8; N]> {
    let mut bytes = [0_u8; N];
    // SAFETY: `bytes` has room for as many as are asked for.
    let loaded =
        unsafe { bpf_xdp_load_bytes(context.ctx, at, bytes.as_mut_ptr().cast(), N as u32) };
    (loaded == 0).then_some(bytes)
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
