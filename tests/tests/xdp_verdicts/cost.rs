//! What a run costs on each path, in one table. Nothing is asserted: the machine decides.

use std::time::Duration;

use libtest_mimic::Failed;

use crate::cases::{Case, cases};
use crate::fixture::{Decision, HostFront, Slots, decide};
use crate::hello_trials::GENEROUS;
use crate::hellos::Hello;
use crate::kernel::{Kernel, Seen};
use crate::trials::{mismatch, report, with_sockets};

/// Runs of which the mean is taken.
const REPEAT: u32 = 300_000;

/// Runs of a reply. Each is a call of its own, because the next run would find the reply.
const REPLIES: u32 = 20_000;

/// Prints what a run costs on each path.
pub(crate) fn cost() -> Result<(), Failed> {
    let (mut kernel, _sockets) = with_sockets()?;
    for name in [
        "IPv4: ARP",
        "IPv4: another port",
        "IPv4 untagged: no receiver id",
        "IPv4 untagged: an id whose slot is free",
        "IPv4 untagged: established, a wrong peer",
        "IPv4 untagged: half-open, handshake",
        "IPv4 untagged: an established id",
        "IPv6 802.1Q: an established id",
        "IPv4 untagged: as many leading records as may be",
    ] {
        let case = cases().into_iter().find(|case| case.name == name);
        let Case { frame, expected, .. } = case.ok_or_else(|| format!("no row `{name}`"))?;
        let (action, time) = kernel.repeat(&frame, REPEAT)?;
        println!("{:4} ns  {name}", time.as_nanos());
        report(mismatch(name, &Seen::of(expected).action, &action))?;
    }
    for (family, hello) in [("IPv4", Hello::v4()), ("IPv6", Hello::v6())] {
        hellos(&mut kernel, family, &hello)?;
    }
    Ok(())
}

/// A ClientHello as long as that of OpenSSL 3.0's s_client, and what comes of it.
fn hellos(kernel: &mut Kernel, family: &str, plain: &Hello) -> Result<(), Failed> {
    let first = Hello { suites: 28, extension: Some(70), ..plain.clone() };
    let frame = first.frame();
    let bytes = frame.len();
    let (mut total, mut base) = (Duration::ZERO, Duration::ZERO);
    let arp = vec![0; 60];
    for _ in 0..REPLIES {
        total += kernel.repeat(&frame, 1)?.1;
        base += kernel.repeat(&arp, 1)?.1;
    }
    let mean = |time: Duration| time.as_nanos() / u128::from(REPLIES);
    println!(
        "{:4} ns  {family}: {bytes} bytes, answered, each run by itself (nothing: {} ns)",
        mean(total),
        mean(base)
    );
    let mut front = HostFront::new(GENEROUS);
    let Decision::Hello(reply) = decide(&frame, &Slots::new(), &mut front) else {
        return Err("no answer".into());
    };
    let xdtls_common::front::HelloVerdict::Reply(reply) = reply else {
        return Err(format!("{reply:?}").into());
    };
    let second = first.with_cookie(&reply.cookie).frame();
    let wrong = first.with_cookie(&[0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).frame();
    let mut unsummed = frame.clone();
    unsummed[bytes - 1] ^= 1;
    for (what, frame) in
        [("a good cookie", second), ("an expired cookie", wrong), ("a wrong checksum", unsummed)]
    {
        println!("{:4} ns  {family}: {what}", kernel.repeat(&frame, REPEAT)?.1.as_nanos());
    }
    Ok(())
}
