//! What is tested of packets that are watched.

use std::net::IpAddr;

use libtest_mimic::Failed;
use xdtls_common::Outcome;
use xdtls_common::cookie::mapped;
use xdtls_common::trace::{Fate, TraceEvent, TraceFilter};

use crate::cases::{Case, cases};
use crate::fixture::{ESTABLISHED, PEER};
use crate::hellos::Hello;
use crate::kernel::{Kernel, Seen, action};
use crate::trials::{mismatch, report, with_sockets};

/// The port that all frames come from.
const PORT: u16 = 40_000;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// By whom a packet is, and the name of what became of it.
type Told = ([u8; 16], u16, &'static str);

/// What the program tells of a frame.
fn told_of(kernel: &mut Kernel, frame: &[u8]) -> Result<Vec<Told>, Failed> {
    kernel.run(frame)?;
    let (events, _) = kernel.told()?;
    let name = |event: &TraceEvent| match Fate::from_code(event.fate) {
        Some(Fate::Dropped(reason)) => reason.as_str(),
        Some(Fate::Went(outcome)) => outcome.as_str(),
        None => "no fate",
    };
    Ok(events.iter().map(|event| (event.address, event.port, name(event))).collect())
}

/// Each filter lets through what it names, with what became of it, and nothing else.
pub(crate) fn told() -> Result<(), Failed> {
    let (mut kernel, _sockets) = with_sockets()?;
    let (v4, v6) = (address("192.0.2.1"), address("fd00::1"));
    let mut faults = Vec::new();
    for (filter, watched) in [
        (TraceFilter::OFF, None),
        (TraceFilter::host(v4), Some(("IPv4", v4))),
        (TraceFilter::host(v6), Some(("IPv6", v6))),
        (TraceFilter::peer(v6, PORT), Some(("IPv6", v6))),
        (TraceFilter::peer(v4, PORT + 1), None),
        (TraceFilter::host(address("192.0.2.2")), None),
    ] {
        kernel.watch(filter)?;
        let table = cases().into_iter();
        let table = table
            .map(|Case { name, frame, expected }| (name, frame, Seen::of(expected).counted[0].0));
        let answered = Outcome::HelloVerifyRequest.as_str();
        let hellos = [("IPv4 hello", Hello::v4()), ("IPv6 hello", Hello::v6())];
        let hellos = hellos.map(|(name, hello)| (name.to_owned(), hello.frame(), answered));
        for (name, frame, fate) in table.chain(hellos) {
            let told = watched
                .filter(|(family, _)| name.starts_with(family) && fate != "not_ours")
                .map(|(_, address)| (mapped(address), PORT, fate));
            let expected: Vec<_> = told.into_iter().collect();
            let name = format!("{filter:?}: {name}");
            faults.extend(mismatch(&name, &expected, &told_of(&mut kernel, &frame)?));
        }
    }
    let row = cases().into_iter().find(|case| case.name == "IPv4 untagged: an established id");
    let frame = row.ok_or("no row")?.frame;
    for (id, expected) in [(ESTABLISHED, 1), (PEER, 1), (PEER + 1, 0)] {
        kernel.watch(TraceFilter::id(id))?;
        kernel.run(&frame)?;
        let (events, _) = kernel.told()?;
        faults.extend(mismatch(&format!("{id:08x}"), &expected, &events.len()));
        for TraceEvent { sender, receiver, length, .. } in events {
            // The prefix, and a record of 30 bytes.
            faults.extend(mismatch(
                "its ids",
                &(PEER, ESTABLISHED, 51),
                &(sender, receiver, length),
            ));
        }
    }
    report(faults)
}

/// The ring keeps what it has room for; the rest is counted, and packets go on as ever.
pub(crate) fn full() -> Result<(), Failed> {
    const RUNS: usize = 5000;
    let (mut kernel, _sockets) = with_sockets()?;
    kernel.watch(TraceFilter::id(ESTABLISHED))?;
    let row = cases().into_iter().find(|case| case.name == "IPv4 untagged: an established id");
    let frame = row.ok_or("no row")?.frame;
    let (last, _) = kernel.repeat(&frame, RUNS as u32)?;
    let (events, lost) = kernel.told()?;
    println!("{} events kept, {lost} lost", events.len());
    let faults = [
        mismatch("the action", &action::REDIRECT, &last),
        mismatch("all", &RUNS, &(events.len() + lost as usize)),
        mismatch("room", &true, &(events.len() > 1000 && lost > 0)),
        mismatch("in order", &true, &events.is_sorted_by_key(|event| event.at_ns)),
    ];
    kernel.run(&frame)?;
    let again = mismatch("room again", &1, &kernel.told()?.0.len());
    report(faults.into_iter().flatten().chain(again))
}
