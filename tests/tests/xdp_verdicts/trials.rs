//! What is tested, on the host and in the kernel.

use aya::EbpfLoader;
use aya::programs::{ProgramError, Xdp};
use libtest_mimic::Failed;
use socket2::Socket;
use xdtls_common::Outcome;
use xdtls_common::front::HelloVerdict;
use xdtls_common::map::ConfigValue;
use xdtls_common::reply::HelloReply;
use xdtls_common::steering::Steering;

use crate::cases::{Case, cases};
use crate::fixture::{Decision, HostFront, SHARDS, Slots, config, decide};
use crate::hello_cases::hello_cases;
use crate::hello_trials::GENEROUS;
use crate::hellos::Hello;
use crate::kernel::{Kernel, Seen, action};
use crate::object;

/// The kernel takes no shorter frame for a test run.
const FRAME_MIN: usize = 14;

/// Damaged copies of the table's frames that kernel and host are compared on.
const DAMAGED: usize = 20_000;

/// The table holds on the host.
pub(crate) fn host() -> Result<(), Failed> {
    let (slots, mut front) = (Slots::new(), HostFront::new(GENEROUS));
    let cases = cases();
    println!("{} rows", cases.len());
    report(cases.iter().filter_map(|case| {
        let decision = decide(&case.frame, &slots, &mut front);
        mismatch(&case.name, &Decision::from(case.expected), &decision)
    }))
}

/// Every program of the object loads.
pub(crate) fn verifier() -> Result<(), Failed> {
    let mut ebpf = EbpfLoader::new()
        .override_global("CONFIG", bytemuck::bytes_of(&config()), true)
        .override_global("FRONT", bytemuck::bytes_of(&GENEROUS), true)
        .load_file(object::path())
        .map_err(|error| object::chain(&error))?;
    let mut count = 0;
    for (name, program) in ebpf.programs_mut() {
        let xdp: Result<&mut Xdp, ProgramError> = program.try_into();
        let xdp = xdp.and_then(|xdp| xdp.load().map(|()| xdp));
        let xdp = xdp.map_err(|error| format!("{name}: {}", object::chain(&error)))?;
        let info = xdp.info()?;
        let walked = info.verified_instruction_count().unwrap_or(0);
        let loaded = info.size_translated().unwrap_or(0) / 8;
        println!("{name}: {walked} instructions verified, {loaded} loaded");
        count += 1;
    }
    if count == 0 { Err("the object holds no program".into()) } else { Ok(()) }
}

/// The table holds in the kernel, and each frame moves its one counter and no other.
pub(crate) fn table() -> Result<(), Failed> {
    let (mut kernel, _sockets) = with_sockets()?;
    let mut mismatches = Vec::new();
    for Case { name, frame, expected } in cases() {
        let seen = kernel.run(&frame)?;
        mismatches.extend(mismatch(&name, &Seen::of(expected), &seen));
    }
    report(mismatches)
}

/// Whatever a frame is, kernel and host decide alike, and answer alike.
pub(crate) fn damaged() -> Result<(), Failed> {
    let (mut kernel, _sockets) = with_sockets()?;
    let slots = Slots::new();
    let mut frames: Vec<_> = cases().into_iter().map(|case| case.frame).collect();
    frames.extend(hello_cases().into_iter().map(|case| case.frame));
    let mut random = xorshift(0x9e37_79b9_7f4a_7c15);
    let (mut mismatches, mut replies) = (Vec::new(), 0);
    for round in 0..DAMAGED {
        let frame = if round % 3 == 0 {
            damaged_hello(&mut random)
        } else {
            damage(frames[round % frames.len()].clone(), FRAME_MIN, &mut random)
        };
        let decision = decide(&frame, &slots, &mut HostFront::new(GENEROUS));
        let name = format!("{frame:02x?}");
        mismatches.extend(mismatch(&name, &Seen::of(decision), &kernel.run(&frame)?));
        if let Decision::Hello(HelloVerdict::Reply(reply)) = decision {
            replies += 1;
            let host = sans_cookie(&rewritten(&frame, &reply)?);
            mismatches.extend(mismatch(&name, &host, &sans_cookie(kernel.output())));
        }
    }
    println!("{replies} replies");
    report(mismatches)
}

/// A few bytes changed, and perhaps an end.
pub(crate) fn damage(
    mut bytes: Vec<u8>,
    least: usize,
    random: &mut impl FnMut() -> usize,
) -> Vec<u8> {
    for _ in 0..random() % 4 {
        let at = random() % bytes.len();
        bytes[at] = random() as u8;
    }
    if random().is_multiple_of(4) {
        bytes.truncate(least.max(random() % bytes.len()));
    }
    bytes
}

/// A damaged ClientHello under right checksums.
fn damaged_hello(random: &mut impl FnMut() -> usize) -> Vec<u8> {
    let family = if random().is_multiple_of(2) { Hello::v4() } else { Hello::v6() };
    let hello = Hello {
        vlan: random().is_multiple_of(2).then_some(7),
        session_id: random() % 33,
        suites: 1 + random() % 128,
        extension: random().is_multiple_of(2).then(|| random() % 400),
        ..family
    };
    hello.frame_of(&damage(hello.payload(), 1, random))
}

/// The frame of a reply as the host writes it, which is shorter than its request.
fn rewritten(frame: &[u8], reply: &HelloReply) -> Result<Vec<u8>, Failed> {
    let mut bytes = frame.to_vec();
    let written = reply.write(&mut bytes[..]).is_ok() && reply.frame_len() < frame.len();
    bytes.truncate(reply.frame_len());
    if written { Ok(bytes) } else { Err(format!("{frame:02x?}: no room for its answer").into()) }
}

/// All of a reply but the cookie and the UDP checksum, which tell the time.
fn sans_cookie(reply: &[u8]) -> Vec<u8> {
    let payload_at = reply.len().saturating_sub(48);
    let cookie_at = payload_at + 36;
    [&reply[..payload_at - 2], &reply[payload_at..cookie_at]].concat()
}

/// Only a shard that has a socket is redirected to; the rest takes the slow path.
pub(crate) fn fallback() -> Result<(), Failed> {
    let mut kernel = Kernel::load(&config(), &GENEROUS)?;
    let _socket = kernel.add_socket(1)?;
    let mut mismatches = Vec::new();
    for Case { name, frame, expected } in cases() {
        let wanted = match expected {
            Steering::Worker(0) => {
                Seen { action: action::PASS, counted: vec![(Outcome::NoSocket.as_str(), 1)] }
            }
            other => Seen::of(other),
        };
        mismatches.extend(mismatch(&name, &wanted, &kernel.run(&frame)?));
    }
    report(mismatches)
}

/// A program that was not told its port leaves all to the kernel.
pub(crate) fn unconfigured() -> Result<(), Failed> {
    let mut kernel = Kernel::load(&ConfigValue::UNSET, &GENEROUS)?;
    let mut mismatches = Vec::new();
    for Case { name, frame, .. } in cases() {
        mismatches.extend(mismatch(&name, &Seen::of(Steering::NotOurs), &kernel.run(&frame)?));
    }
    report(mismatches)
}

/// The program with a socket for every shard.
pub(crate) fn with_sockets() -> Result<(Kernel, Vec<Socket>), Failed> {
    let mut kernel = Kernel::load(&config(), &GENEROUS)?;
    let sockets: Result<_, _> = (0..SHARDS).map(|shard| kernel.add_socket(shard)).collect();
    Ok((kernel, sockets?))
}

pub(crate) fn mismatch<T: PartialEq + std::fmt::Debug>(
    name: &str,
    wanted: &T,
    seen: &T,
) -> Option<String> {
    (wanted != seen).then(|| format!("{name}: {seen:?} instead of {wanted:?}"))
}

pub(crate) fn report(mismatches: impl IntoIterator<Item = String>) -> Result<(), Failed> {
    let all: Vec<_> = mismatches.into_iter().collect();
    if all.is_empty() { Ok(()) } else { Err(all.join("\n").into()) }
}

/// Numbers that are the same in every run.
pub(crate) fn xorshift(mut state: u64) -> impl FnMut() -> usize {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize
    }
}
