//! The XDP program of xdtls: steers each datagram to the AF_XDP socket of its association's
//! worker, answers ClientHellos with cookies, drops what no association can want, and leaves all
//! else to the kernel.
//!
//! What it decides is `xdtls_common::steering`, which the host's tests run too. Here stand only
//! the packet pointers ([`packet`], [`rewrite`]), the maps ([`maps`]) and what is told of packets that are
//! watched ([`trace`]).
#![no_std]
#![no_main]
// Assembler for BPF is not stable in rustc yet; the build of `core` needs the same switch.
#![feature(asm_experimental_arch)]

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use xdtls_common::access::{Access, Entrance, enter};
use xdtls_common::frame::Place;
use xdtls_common::front::{HelloVerdict, judge_frame, pass_slowly};
use xdtls_common::odd::is_hello;
use xdtls_common::reply::HelloReply;
use xdtls_common::steering::{Steering, steer};
use xdtls_common::trace::Fate;
use xdtls_common::{DropReason, Outcome};

mod maps;
mod packet;
mod rewrite;
mod trace;

/// Some helpers are for programs under the GPL only; the kernel compares this very string.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Steers one frame.
#[xdp]
fn xdtls(context: XdpContext) -> u32 {
    let done = steered(&context);
    if trace::is_on() {
        trace::tell(&context, done.fate());
    }
    done.action()
}

#[inline(always)]
fn steered(context: &XdpContext) -> Done {
    let config = maps::CONFIG.load();
    if maps::Maps.lists().any() {
        match entrance(context) {
            Entrance::Open => {}
            Entrance::NotOurs => return pass(Outcome::NotOurs),
            Entrance::Denied => return drop(DropReason::AccessDenied),
        }
    }
    match steer(packet::PacketCursor::new(context), &config, &maps::Maps) {
        Steering::NotOurs => pass(Outcome::NotOurs),
        Steering::NotPlain => not_plain(context),
        Steering::ClientHello(Place { payload_at, payload_len, tagged, ipv6 }) => {
            client_hello(context, payload_at, payload_len, tagged, ipv6)
        }
        Steering::Handshake => pass(Outcome::Handshake),
        Steering::Worker(shard) => {
            let socket = config.socket_index(context.rx_queue_index(), shard);
            let (action, outcome) = maps::redirect(socket);
            went(action, outcome)
        }
        Steering::Drop(reason) => drop(reason),
    }
}

/// What became of a frame, and what the kernel is to do with it: one word, because a function in BPF
/// returns no more.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Done(u32);

impl Done {
    #[inline(always)]
    const fn new(action: u32, fate: Fate) -> Self {
        Self((fate.code() as u32) << 16 | action)
    }

    #[inline(always)]
    const fn action(self) -> u32 {
        self.0 & 0xffff
    }

    #[inline(always)]
    const fn fate(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

/// Looks at the addresses. A function of its own, as those below, so that what it keeps on the
/// stack costs no other packet anything.
#[inline(never)]
fn entrance(context: &XdpContext) -> Entrance {
    enter(packet::PacketCursor::new(context), &maps::CONFIG.load(), &maps::Maps)
}

/// Leaves what is no plain UDP to the kernel, ClientHellos at a strict rate.
#[inline(never)]
fn not_plain(context: &XdpContext) -> Done {
    if !is_hello(packet::PacketCursor::new(context), &maps::CONFIG.load()) {
        return pass(Outcome::NotOurs);
    }
    match pass_slowly(&mut maps::Maps) {
        Ok(()) => pass(Outcome::SlowHello),
        Err(reason) => drop(reason),
    }
}

/// Judges a ClientHello. A function in BPF gets numbers, and no more than five.
#[inline(never)]
fn client_hello(
    context: &XdpContext,
    payload_at: usize,
    payload_len: usize,
    tagged: bool,
    ipv6: bool,
) -> Done {
    let place = Place { payload_at, payload_len, tagged, ipv6 };
    match judge_frame(packet::PacketCursor::new(context), &place, &mut maps::Maps) {
        HelloVerdict::Reply(reply) => answer(context, &reply),
        HelloVerdict::Pass => pass(Outcome::ClientHello),
        HelloVerdict::PassSlowly => pass(Outcome::SlowHello),
        HelloVerdict::Drop(reason) => drop(reason),
    }
}

/// Leaves the packet to the kernel.
#[inline(always)]
fn pass(outcome: Outcome) -> Done {
    went(XDP_PASS, outcome)
}

/// Sends the frame back as a reply.
#[inline(always)]
fn answer(context: &XdpContext, reply: &HelloReply) -> Done {
    let written = reply.write(&mut rewrite::PacketMut::new(context));
    if written.is_err() || !rewrite::shorten(context, reply.frame_len()) {
        return drop(DropReason::OutsideSend);
    }
    went(XDP_TX, Outcome::HelloVerifyRequest)
}

/// Lets the packet go on.
#[inline(always)]
fn went(action: u32, outcome: Outcome) -> Done {
    maps::count_outcome(outcome);
    Done::new(action, Fate::Went(outcome))
}

/// Ends the packet here.
#[inline(always)]
fn drop(reason: DropReason) -> Done {
    maps::count_drop(reason);
    Done::new(XDP_DROP, Fate::Dropped(reason))
}

/// The verifier proves that no path gets here; the compiler asks for it all the same.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
