//! What is tested, on the host and in the kernel.

use aya::EbpfLoader;
use aya::programs::{ProgramError, Xdp};
use libtest_mimic::Failed;
use socket2::Socket;
use xdtls_common::Outcome;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::map::ConfigValue;
use xdtls_common::steering::{Steering, steer};

use crate::cases::{Case, cases};
use crate::fixture::{SHARDS, Slots, config};
use crate::kernel::{Kernel, Seen, action};
use crate::object;

/// The kernel takes no shorter frame for a test run.
const FRAME_MIN: usize = 14;

/// Damaged copies of the table's frames that kernel and host are compared on.
const DAMAGED: usize = 20_000;

const REPEAT: u32 = 300_000;

/// The table holds on the host.
pub(crate) fn host() -> Result<(), Failed> {
    let (config, slots) = (config(), Slots::new());
    let cases = cases();
    println!("{} rows", cases.len());
    report(cases.iter().filter_map(|case| {
        let steering = steer(SliceCursor::new(&case.frame), &config, &slots);
        mismatch(&case.name, &case.expected, &steering)
    }))
}

/// Every program of the object loads.
pub(crate) fn verifier() -> Result<(), Failed> {
    let mut ebpf = EbpfLoader::new()
        .override_global("CONFIG", bytemuck::bytes_of(&config()), true)
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

/// Whatever a frame is, kernel and host decide alike.
pub(crate) fn damaged() -> Result<(), Failed> {
    let (mut kernel, _sockets) = with_sockets()?;
    let (config, slots, cases) = (config(), Slots::new(), cases());
    let mut random = xorshift(0x9e37_79b9_7f4a_7c15);
    let mut mismatches = Vec::new();
    for round in 0..DAMAGED {
        let mut frame = cases[round % cases.len()].frame.clone();
        for _ in 0..random() % 4 {
            let at = random() % frame.len();
            frame[at] = random() as u8;
        }
        if random().is_multiple_of(4) {
            frame.truncate(FRAME_MIN.max(random() % frame.len()));
        }
        let steering = steer(SliceCursor::new(&frame), &config, &slots);
        let name = format!("{frame:02x?}");
        mismatches.extend(mismatch(&name, &Seen::of(steering), &kernel.run(&frame)?));
    }
    report(mismatches)
}

/// Only a shard that has a socket is redirected to; the rest takes the slow path.
pub(crate) fn fallback() -> Result<(), Failed> {
    let mut kernel = Kernel::load(&config())?;
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
    let mut kernel = Kernel::load(&ConfigValue::UNSET)?;
    let mut mismatches = Vec::new();
    for Case { name, frame, .. } in cases() {
        mismatches.extend(mismatch(&name, &Seen::of(Steering::NotOurs), &kernel.run(&frame)?));
    }
    report(mismatches)
}

/// Prints what a run costs on each path; the machine decides, so no bound is held.
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
    Ok(())
}

/// The program with a socket for every shard.
fn with_sockets() -> Result<(Kernel, Vec<Socket>), Failed> {
    let mut kernel = Kernel::load(&config())?;
    let sockets: Result<_, _> = (0..SHARDS).map(|shard| kernel.add_socket(shard)).collect();
    Ok((kernel, sockets?))
}

fn mismatch<T: PartialEq + std::fmt::Debug>(name: &str, wanted: &T, seen: &T) -> Option<String> {
    (wanted != seen).then(|| format!("{name}: {seen:?} instead of {wanted:?}"))
}

fn report(mismatches: impl IntoIterator<Item = String>) -> Result<(), Failed> {
    let all: Vec<_> = mismatches.into_iter().collect();
    if all.is_empty() { Ok(()) } else { Err(all.join("\n").into()) }
}

/// Numbers that are the same in every run.
fn xorshift(mut state: u64) -> impl FnMut() -> usize {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize
    }
}
