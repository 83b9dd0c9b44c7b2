//! What is tested of addresses, lists of sources and odd frames, on the host and in the kernel.

use std::net::IpAddr;

use libtest_mimic::Failed;
use xdtls_common::DropReason;
use xdtls_common::access::AccessValue;
use xdtls_common::front::HelloVerdict;
use xdtls_common::steering::Steering;

use crate::fixture::{DENIED, Decision, HostFront, PORT, Slots, config, decide};
use crate::frames::{Family, Frame};
use crate::hello_trials::GENEROUS;
use crate::hellos::Hello;
use crate::kernel::{Kernel, Seen};
use crate::trials::{mismatch, report};

const SLOW: Decision = Decision::Hello(HelloVerdict::PassSlowly);
const NOT_OURS: Decision = Decision::Steered(Steering::NotOurs);

/// Frames that may be ClientHellos and that only the kernel can read, and some that cannot be.
fn odd_frames() -> Vec<(&'static str, Frame, Decision)> {
    let frame = |family, change: &dyn Fn(&mut Frame)| {
        let hello = if matches!(family, Family::V4) { Hello::v4() } else { Hello::v6() };
        let mut frame = Frame::new(family, hello.payload());
        change(&mut frame);
        frame
    };
    let v4 = |change: &dyn Fn(&mut Frame)| frame(Family::V4, change);
    let v6 = |next: u8, headers: &[u8]| {
        frame(Family::V6, &|f| (f.protocol, f.extensions) = (next, headers.to_vec()))
    };
    let options = [17, 0, 1, 4, 0, 0, 0, 0];
    vec![
        ("options", v4(&|f| f.options = vec![1; 4]), SLOW),
        ("the longest options", v4(&|f| f.options = vec![1; 40]), SLOW),
        ("a first fragment", v4(&|f| f.fragment = 0x2000), SLOW),
        ("a later fragment", v4(&|f| f.fragment = 0x2010), NOT_OURS),
        ("options, another port", v4(&|f| (f.options, f.port) = (vec![1; 4], PORT + 1)), NOT_OURS),
        ("options, TCP", v4(&|f| (f.options, f.protocol) = (vec![1; 4], 6)), NOT_OURS),
        ("two tags", v4(&|f| f.tags = vec![[0x88a8, 5], [0x8100, 6]]), SLOW),
        ("three tags", v4(&|f| f.tags = vec![[0x88a8, 5], [0x8100, 6], [0x8100, 7]]), NOT_OURS),
        ("a length beyond the frame", v4(&|f| f.ip_length_error = 1), SLOW),
        ("hop-by-hop options", v6(0, &options), SLOW),
        ("destination options", v6(60, &options), SLOW),
        ("a first fragment of IPv6", v6(44, &[17, 0, 0, 1, 0, 0, 0, 1]), SLOW),
        ("a later fragment of IPv6", v6(44, &[17, 0, 0, 9, 0, 0, 0, 1]), NOT_OURS),
        ("two headers", v6(0, &[60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0]), SLOW),
        ("a long header", v6(43, &[&[17, 1][..], &[0; 14]].concat()), SLOW),
        ("TCP behind a header", v6(0, &[6, 0, 1, 4, 0, 0, 0, 0]), NOT_OURS),
    ]
}

/// They are counted apart from what is not ours.
pub(crate) fn odd() -> Result<(), Failed> {
    let mut kernel = Kernel::load(&config(), &GENEROUS)?;
    let (slots, mut faults) = (Slots::new(), Vec::new());
    for (name, frame, expected) in odd_frames() {
        let frame = frame.encode();
        let decision = decide(&frame, &slots, &mut HostFront::new(GENEROUS));
        faults.extend(mismatch(name, &expected, &decision));
        faults.extend(mismatch(name, &Seen::of(expected), &kernel.run(&frame)?));
    }
    report(faults)
}

/// What is for another address than the one that is listened on is the kernel's.
pub(crate) fn addresses() -> Result<(), Failed> {
    let mut faults = Vec::new();
    for (listen, of_v4, of_v6) in [
        ("0.0.0.0", true, false),
        ("::", true, true),
        ("192.0.2.2", true, false),
        ("192.0.2.3", false, false),
        ("fd00::2", false, true),
        ("fd00::3", false, false),
    ] {
        let address: IpAddr = listen.parse()?;
        let slots = Slots { config: config().listening_on(address), ..Slots::new() };
        let mut kernel = Kernel::load(&slots.config, &GENEROUS)?;
        for (hello, ours) in [(Hello::v4(), of_v4), (Hello::v6(), of_v6)] {
            let frame = hello.frame();
            let decision = decide(&frame, &slots, &mut HostFront::new(GENEROUS));
            let name = format!("{} to {listen}", hello.destination);
            faults.extend(mismatch(&name, &ours, &(decision != NOT_OURS)));
            faults.extend(mismatch(&name, &Seen::of(decision), &kernel.run(&frame)?));
        }
    }
    report(faults)
}

/// The lists decide before anything else, and only as long as they have entries.
pub(crate) fn lists() -> Result<(), Failed> {
    let mut kernel = Kernel::load(&config(), &GENEROUS)?;
    kernel.deny([DENIED.into(), "fd00:bad::".parse()?])?;
    kernel.allow(["192.0.2.1".parse()?])?;
    let mut faults = Vec::new();
    for (denies, allows) in [(false, false), (true, false), (false, true), (true, true)] {
        let access = AccessValue::new(denies, allows);
        kernel.use_lists(access)?;
        let slots = Slots { access, ..Slots::new() };
        for (source, denied, allowed) in [
            (IpAddr::from([192, 0, 2, 1]), false, true),
            (DENIED.into(), true, false),
            (IpAddr::from([192, 0, 2, 9]), false, false),
        ] {
            let mut hello = Hello::v4();
            hello.source.set_ip(source);
            let frame = hello.frame();
            let refused = denies && denied || allows && !allowed;
            let decision = decide(&frame, &slots, &mut HostFront::new(GENEROUS));
            let reason = Decision::Steered(Steering::Drop(DropReason::AccessDenied));
            let name = format!("{source}, {access:?}");
            faults.extend(mismatch(&name, &refused, &(decision == reason)));
            faults.extend(mismatch(&name, &Seen::of(decision), &kernel.run(&frame)?));
        }
    }
    report(faults)
}
