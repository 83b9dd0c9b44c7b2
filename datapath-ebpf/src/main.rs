//! The XDP programs of xdtls.
//!
//! So far one program that lets every packet pass and counts it.
#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::XdpContext;

/// Some helpers are for programs under the GPL only; the kernel compares this very string.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Packets seen, one counter a CPU.
#[map]
static PACKETS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Counts the packet and leaves it to the kernel.
#[xdp]
fn xdtls_datapath(_context: XdpContext) -> u32 {
    if let Some(packets) = PACKETS.get_ptr_mut(0) {
        // SAFETY: the map checked the index, and only this CPU, which runs one XDP program at a
        // time, touches its own element.
        unsafe { *packets += 1 };
    }
    xdp_action::XDP_PASS
}

/// The verifier proves that no path gets here; the compiler asks for it all the same.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
