//! The XDP program of xdtls: steers each datagram to the AF_XDP socket of its association's
//! worker, drops what no association can want, and leaves all else to the kernel.
//!
//! What it decides is `xdtls_common::steering`, which the host's tests run too. Here stand only
//! the packet pointers ([`packet`]) and the maps ([`maps`]).
#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use xdtls_common::Outcome;
use xdtls_common::steering::{Steering, steer};

mod maps;
mod packet;

/// Some helpers are for programs under the GPL only; the kernel compares this very string.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Steers one frame.
#[xdp]
fn xdtls(context: XdpContext) -> u32 {
    let config = maps::CONFIG.load();
    match steer(packet::PacketCursor::new(&context), &config, &maps::Associations) {
        Steering::NotOurs => pass(Outcome::NotOurs),
        Steering::ClientHello => pass(Outcome::ClientHello),
        Steering::Handshake => pass(Outcome::Handshake),
        Steering::Worker(shard) => {
            let (action, outcome) =
                maps::redirect(config.socket_index(context.rx_queue_index(), shard));
            maps::count_outcome(outcome);
            action
        }
        Steering::Drop(reason) => {
            maps::count_drop(reason);
            XDP_DROP
        }
    }
}

/// Leaves the packet to the kernel.
#[inline(always)]
fn pass(outcome: Outcome) -> u32 {
    maps::count_outcome(outcome);
    XDP_PASS
}

/// The verifier proves that no path gets here; the compiler asks for it all the same.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
