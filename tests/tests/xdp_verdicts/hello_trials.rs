//! What is tested of ClientHellos, on the host and in the kernel.

use libtest_mimic::Failed;
use xdtls_common::DropReason::{self, CookieExpired, CookieInvalid};
use xdtls_common::cookie::{CookieSecrets, Secret};
use xdtls_common::front::{FrontLimits, FrontValue, HelloVerdict};
use xdtls_common::steering::Steering;

use crate::fixture::{Decision, HostFront, SECRETS, Slots, config, decide, now_ns};
use crate::hello_cases::{Expected, HelloCase, hello_cases};
use crate::hellos::Hello;
use crate::kernel::{Kernel, Seen};
use crate::reply::cookie_of;
use crate::trials::report;

type Result<T = (), E = Failed> = std::result::Result<T, E>;

/// Limits that are kept but never reached.
pub(crate) const GENEROUS: FrontValue = FrontValue::new(FrontLimits {
    replies: 10_000_000,
    replies_per_source: 10_000_000,
    slow_hellos: 10_000_000,
});

/// The table holds on the host, and its replies are read by others.
pub(crate) fn host() -> Result {
    let (slots, mut front) = (Slots::new(), HostFront::new(GENEROUS));
    let cases = hello_cases();
    println!("{} rows", cases.len());
    report(cases.iter().filter_map(|case| {
        let decision = decide(&case.frame, &slots, &mut front);
        let fault = agrees(case, &decision).and_then(|()| match decision {
            Decision::Hello(HelloVerdict::Reply(reply)) => {
                let mut frame = case.frame.clone();
                reply.write(&mut frame[..]).map_err(|_| "it does not fit".to_owned())?;
                frame.truncate(reply.frame_len());
                cookie_of(&frame, &case.hello, case.frame.len()).map(drop)
            }
            _ => Ok(()),
        });
        fault.err().map(|fault| format!("{}: {fault}", case.name))
    }))
}

/// The table holds in the kernel, each frame moves its one counter, and what is no reply is left
/// as it was.
pub(crate) fn kernel() -> Result {
    let mut kernel = Kernel::load(&config(), &GENEROUS)?;
    let (slots, mut faults) = (Slots::new(), Vec::new());
    for case in hello_cases() {
        let wanted = decide(&case.frame, &slots, &mut HostFront::new(GENEROUS));
        let seen = kernel.run(&case.frame)?;
        let fault = if seen != Seen::of(wanted) {
            Err(format!("{seen:?} instead of {wanted:?}"))
        } else if case.expected == Expected::Reply {
            cookie_of(kernel.output(), &case.hello, case.frame.len()).map(drop)
        } else if kernel.output() != case.frame {
            Err("it was changed".to_owned())
        } else {
            agrees(&case, &wanted)
        };
        faults.extend(fault.err().map(|fault| format!("{}: {fault}", case.name)));
    }
    report(faults)
}

fn agrees(case: &HelloCase, decision: &Decision) -> Result<(), String> {
    let right = match (case.expected, decision) {
        (Expected::Reply, Decision::Hello(HelloVerdict::Reply(_))) => true,
        (Expected::PassSlowly, Decision::Hello(HelloVerdict::PassSlowly)) => true,
        (Expected::Drop(wanted), Decision::Steered(Steering::Drop(seen))) => wanted == *seen,
        _ => false,
    };
    if right { Ok(()) } else { Err(format!("{decision:?} instead of {:?}", case.expected)) }
}

/// The cookie that the kernel gives to a ClientHello.
fn answer(kernel: &mut Kernel, hello: &Hello) -> Result<Vec<u8>> {
    let frame = hello.frame();
    let seen = kernel.run(&frame)?;
    if seen.action != crate::kernel::action::TX {
        return Err(format!("no answer to {hello:?}: {seen:?}").into());
    }
    Ok(cookie_of(kernel.output(), hello, frame.len())?)
}

fn expect(kernel: &mut Kernel, what: &str, hello: &Hello, wanted: Decision) -> Result {
    let seen = kernel.run(&hello.frame())?;
    let wanted = Seen::of(wanted);
    if seen == wanted { Ok(()) } else { Err(format!("{what}: {seen:?}, not {wanted:?}").into()) }
}

const PASS: Decision = Decision::Hello(HelloVerdict::Pass);

const fn dropped(reason: DropReason) -> Decision {
    Decision::Steered(Steering::Drop(reason))
}

/// ClientHello 1, 1 again, then 2: the cookie is good for whoever got it and for nobody else.
pub(crate) fn cookies() -> Result {
    let mut kernel = Kernel::load(&config(), &GENEROUS)?;
    for first in [Hello::v4(), Hello::v6()] {
        answer(&mut kernel, &first)?;
        let again = Hello { sequence: first.sequence + 1, ..first.clone() };
        let cookie = answer(&mut kernel, &again)?;
        let second = again.with_cookie(&cookie);
        expect(&mut kernel, "with its cookie", &second, PASS)?;
        expect(&mut kernel, "with its cookie again", &second, PASS)?;
        let mut of_others = vec![
            ("another id", Hello { client_id: second.client_id + 1, ..second.clone() }),
            ("another session id", Hello { session_id: 8, ..second.clone() }),
            ("other suites", Hello { suites: 11, ..second.clone() }),
        ];
        let mut moved = |name, change: fn(&mut Hello)| {
            let mut hello = second.clone();
            change(&mut hello);
            of_others.push((name, hello));
        };
        moved("another port", |h| h.source.set_port(40_001));
        moved("another source", |h| match h.source.is_ipv4() {
            true => h.source.set_ip("192.0.2.9".parse().expect("an address")),
            false => h.source.set_ip("fd00::9".parse().expect("an address")),
        });
        moved("another destination", |h| match h.source.is_ipv4() {
            true => h.destination.set_ip("192.0.2.3".parse().expect("an address")),
            false => h.destination.set_ip("fd00::3".parse().expect("an address")),
        });
        for (name, hello) in of_others {
            expect(&mut kernel, name, &hello, dropped(CookieInvalid))?;
        }
        for at in 4..12 {
            let mut forged = cookie.clone();
            forged[at] ^= 1;
            let what = format!("byte {at} of the cookie");
            expect(&mut kernel, &what, &again.with_cookie(&forged), dropped(CookieInvalid))?;
        }
    }
    Ok(())
}

/// A ClientHello that claims to come from another gateway: what that gateway makes of the answer is
/// silence, whatever id the ClientHello had.
pub(crate) fn two_gateways() -> Result {
    let mut kernel = Kernel::load(&config(), &GENEROUS)?;
    for plain in [Hello::v4(), Hello::v6()] {
        for client_id in [1, 0x2a5a_5a05, u32::MAX] {
            let mut hello = Hello { client_id, ..plain.clone() };
            hello.source.set_port(hello.destination.port());
            answer(&mut kernel, &hello)?;
            let to_the_other = kernel.output().to_vec();
            let seen = kernel.run(&to_the_other)?;
            if seen != Seen::of(dropped(DropReason::UnknownId)) {
                return Err(format!("the answer to {hello:?}: {seen:?}").into());
            }
        }
    }
    Ok(())
}

/// The cookie that the host gave at another second of the clock.
fn cookie_at(hello: &Hello, now_s: u32) -> Result<Vec<u8>> {
    let mut front = HostFront::new(FrontValue::UNSET).at(now_s);
    match decide(&hello.frame(), &Slots::new(), &mut front) {
        Decision::Hello(HelloVerdict::Reply(reply)) => Ok(reply.cookie.to_vec()),
        other => Err(format!("{other:?}").into()),
    }
}

/// Cookies live for 120 seconds, whichever secret is renewed meanwhile, and no other clock counts.
pub(crate) fn rotation() -> Result {
    let now_s = (now_ns() / 1_000_000_000) as u32;
    if now_s < 400 {
        println!("this machine has just started: nothing can be 120 s old");
        return Ok(());
    }
    let hello = Hello::v4();
    let mut kernel = Kernel::load(&config(), &GENEROUS)?;
    let mut renewed = SECRETS.clone();
    renewed.0[CookieSecrets::index_to_renew(now_s)] = Secret::new([0x55; 2]);
    kernel.set_secrets(&renewed)?;
    for age in [0, 1, 59, 60, 61, 100, 110] {
        let second = hello.with_cookie(&cookie_at(&hello, now_s - age)?);
        expect(&mut kernel, &format!("{age} s old"), &second, PASS)?;
    }
    for age in [150, 180, 240, 300] {
        let second = hello.with_cookie(&cookie_at(&hello, now_s - age)?);
        expect(&mut kernel, &format!("{age} s old"), &second, dropped(CookieExpired))?;
    }
    for ahead in [30, 60, 100_000] {
        let second = hello.with_cookie(&cookie_at(&hello, now_s + ahead)?);
        expect(&mut kernel, &format!("{ahead} s ahead"), &second, dropped(CookieInvalid))?;
    }
    let second = hello.with_cookie(&cookie_at(&hello, now_s)?);
    kernel.set_secrets(&CookieSecrets::new([[9; 2]; 4]))?;
    expect(&mut kernel, "of another secret", &second, dropped(CookieInvalid))
}

/// What is beyond a limit is dropped under its reason, and only that.
pub(crate) fn limits() -> Result {
    const TRIES: usize = 200;
    let limited = |limits: FrontLimits, frame: &[u8], passes: &str, reason: DropReason| {
        let mut kernel = Kernel::load(&config(), &FrontValue::new(limits))?;
        let mut counts = [0; 2];
        for _ in 0..TRIES {
            let seen = kernel.run(frame)?;
            let names = [passes, reason.as_str()];
            let at = names.iter().position(|name| seen.counted == [(*name, 1)]);
            counts[at.ok_or_else(|| format!("{seen:?}"))?] += 1;
        }
        println!("{reason:?}: {counts:?}");
        // The clock goes on: a few more may be admitted, but never all.
        let right = counts[0] >= 11 && counts[1] > 0;
        if right { Ok(()) } else { Err(Failed::from(format!("{reason:?}: {counts:?}"))) }
    };
    let none = FrontLimits { replies: 0, replies_per_source: 0, slow_hellos: 0 };
    let (hello, reply) = (Hello::v4().frame(), "hello_verify_request");
    let mut wrong = hello.clone();
    wrong[40] ^= 1;
    limited(FrontLimits { replies: 10, ..none }, &hello, reply, DropReason::ReplyLimit)?;
    let of_source = FrontLimits { replies_per_source: 10, ..none };
    limited(of_source, &hello, reply, DropReason::SourceReplyLimit)?;
    let slow = FrontLimits { slow_hellos: 10, ..none };
    limited(slow, &wrong, "slow_hello", DropReason::SlowHelloLimit)
}
