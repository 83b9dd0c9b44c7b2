//! Floods of every kind against a real gateway over veth: every frame is accounted for, by the
//! ring that it was lost at, the reason that it was dropped for, or what became of it.
//!
//! ```text
//!   world                                       gateway
//!   xdtls-bench flood                           xdtls gateway
//!   wan 192.0.2.1 ═════════════════════════════ outside 192.0.2.2:4433
//! ```
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use xdtls_bench::flood::Report;
use xdtls_bench::generator;
use xdtls_bench::lab::Lab;
use xdtls_netlab::program;

/// Frames of each flood.
const FRAMES: u64 = 20_000;

/// Cookies that floods are made from, and how many frames they are sent in.
const SENDERS: &str = "100";
const COOKIE_FRAMES: u64 = 1_000;

/// What a flood of one kind is to become: all of it is counted under one of these names.
struct Case {
    kind: &'static str,
    frames: u64,
    arguments: &'static [&'static str],
    /// Outcomes of the XDP program.
    outcomes: &'static [&'static str],
    /// Reasons of drops.
    drops: &'static [&'static str],
}

const CASES: [Case; 8] = [
    Case {
        kind: "hello",
        frames: FRAMES,
        arguments: &[],
        outcomes: &["hello_verify_request"],
        drops: &[],
    },
    Case {
        kind: "hello",
        frames: FRAMES,
        arguments: &["--size", "1200"],
        outcomes: &["hello_verify_request"],
        drops: &[],
    },
    Case {
        kind: "garbage",
        frames: FRAMES,
        arguments: &[],
        outcomes: &[],
        drops: &["not_a_client_hello", "malformed_client_hello"],
    },
    Case {
        kind: "unknown-id",
        frames: FRAMES,
        arguments: &[],
        outcomes: &[],
        drops: &["unknown_id"],
    },
    Case {
        kind: "wrong-generation",
        frames: FRAMES,
        arguments: &["--slot-bits", "10", "--generation", "5"],
        outcomes: &[],
        drops: &["unknown_id"],
    },
    Case {
        kind: "stolen-cookie",
        frames: COOKIE_FRAMES,
        arguments: &["--senders", SENDERS],
        outcomes: &[],
        drops: &["cookie_invalid"],
    },
    Case {
        kind: "valid-cookie",
        frames: 100,
        arguments: &["--senders", SENDERS],
        outcomes: &["client_hello"],
        drops: &[],
    },
    Case {
        kind: "replayed-cookie",
        frames: COOKIE_FRAMES,
        arguments: &["--senders", SENDERS],
        outcomes: &["client_hello"],
        drops: &[],
    },
];

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let name = "every_frame_of_every_flood_is_accounted_for";
    let obstacle = obstacle();
    if let (Some(reason), false) = (&obstacle, args.list) {
        println!("SKIP {name}: {reason}");
    }
    let trial = Trial::test(name, accounting).with_ignored_flag(obstacle.is_some());
    libtest_mimic::run(&args, vec![trial]).exit_code()
}

/// Why it cannot be tested here.
fn obstacle() -> Option<String> {
    if let Some(reason) = xdtls_netlab::missing() {
        return Some(reason);
    }
    let built = [program("xdtls"), program("xdtls-bench"), generator::object()];
    built.into_iter().find_map(Result::err).map(|error| format!("{error:#}"))
}

fn accounting() -> Result<(), Failed> {
    Ok(account().map_err(|error| format!("{error:#}"))?)
}

fn account() -> anyhow::Result<()> {
    let lab = Arc::new(Lab::new()?);
    let gateway = lab.start_gateway(1_024)?;
    for case in &CASES {
        let before = Counted::now(&lab)?;
        let report = lab.flood(case.kind, case.frames, case.arguments)?;
        let after = Counted::now(&lab)?;
        check(case, &report, &before, &after)?;
    }
    gateway.terminate(xdtls_bench::lab::PATIENCE)?;
    Ok(())
}

/// What everybody has counted at one moment.
struct Counted {
    status: Value,
    ring: BTreeMap<String, u64>,
}

impl Counted {
    fn now(lab: &Lab) -> anyhow::Result<Self> {
        Ok(Self { status: lab.status()?, ring: lab.sent()? })
    }

    fn status(&self, group: &str, name: &str) -> u64 {
        self.status[group][name].as_u64().unwrap_or(0)
    }

    fn lost_at_ring(&self) -> u64 {
        self.ring.get("tx_queue_0_xdp_xmit_errors").copied().unwrap_or(0)
    }
}

fn check(case: &Case, report: &Report, before: &Counted, after: &Counted) -> anyhow::Result<()> {
    let change = |group: &str, names: &[&str]| -> u64 {
        names.iter().map(|name| after.status(group, name) - before.status(group, name)).sum()
    };
    let lost = after.lost_at_ring() - before.lost_at_ring();
    let (mut passed, dropped) = (change("xdp", case.outcomes), change("drops", case.drops));
    let mut sent = report.sent.frames;
    // The hellos that cookies are had with are part of the sum.
    if let Some((hellos, replies)) = &report.collecting {
        sent += hellos.frames;
        passed += change("xdp", &["hello_verify_request"]);
        anyhow::ensure!(replies.hello_verify_requests >= 100, "{} without cookies", case.kind);
    }
    anyhow::ensure!(
        report.sent.frames == case.frames && sent == lost + passed + dropped,
        "{} {:?}: sent {sent}, {lost} lost at the ring, {passed} passed or answered, {dropped} \
         dropped\n{}\n{}",
        case.kind,
        case.arguments,
        before.status,
        after.status
    );
    if case.outcomes == ["hello_verify_request"] {
        let answered = report.replies.hello_verify_requests;
        anyhow::ensure!(answered == passed, "{passed} answered, {answered} have come back");
        anyhow::ensure!(report.replies.bytes < report.sent.bytes, "larger replies than requests");
    }
    Ok(())
}
