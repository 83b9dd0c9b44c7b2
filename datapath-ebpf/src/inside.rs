//! The XDP program of the inside's interface: hands what a backend sends to the AF_XDP socket of the
//! worker that owns the flow, and leaves all else to the kernel. It drops nothing.
//!
//! What it decides is `xdtls_common::flow`, which the host's tests run too.
#![no_std]
#![no_main]
// Assembler for BPF is not stable in rustc yet; the build of `core` needs the same switch.
#![feature(asm_experimental_arch)]

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{HashMap, XskMap};
use aya_ebpf::programs::XdpContext;
use xdtls_common::flow::{FlowKey, FlowTable, InsideValue, steer};

mod packet;

/// Some helpers are for programs under the GPL only; the kernel compares this very string.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Set by the loader before the program is verified, constant from then on.
#[unsafe(no_mangle)]
static CONFIG: Global<InsideValue> = Global::new(InsideValue::UNSET);

/// The shard of each open flow. The loader makes it as large as there may be flows; memory is taken
/// for those that there are.
#[map]
static FLOWS: HashMap<FlowKey, u32> = HashMap::with_max_entries(1 << 20, BPF_F_NO_PREALLOC);

/// AF_XDP sockets by `InsideValue::socket_index`.
#[map]
static SOCKETS: XskMap = XskMap::with_max_entries(1024, 0);

struct Flows;

impl FlowTable for Flows {
    #[inline(always)]
    fn shard(&self, flow: &FlowKey) -> Option<u32> {
        let shard = FLOWS.get_ptr(flow)?;
        // SAFETY: the kernel frees an element only after all programs have ended that may have found
        // it. The control plane writes a value once, before the element can be found.
        Some(unsafe { shard.read_volatile() })
    }
}

/// Steers one frame. Where a worker has no socket on the queue, the flow's UDP socket gets the datagram.
#[xdp]
fn xdtls_inside(context: XdpContext) -> u32 {
    let config = CONFIG.load();
    match steer(packet::PacketCursor::new(&context), &config, &Flows) {
        Some(shard) => {
            let socket = config.socket_index(context.rx_queue_index(), shard);
            let (Ok(action) | Err(action)) = SOCKETS.redirect(socket, u64::from(XDP_PASS));
            action
        }
        None => XDP_PASS,
    }
}

/// The verifier proves that no path gets here; the compiler asks for it all the same.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
