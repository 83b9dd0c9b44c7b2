//! The trials, in their order. Each says what it has seen, or fails.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::clients::Client;
use super::stage::{CARDS, CLIENTS, GATEWAY, LOOK, PATIENCE};
use super::{Lab, kernel_log, wire};
use crate::lab::driver::{Driver, QUEUES};
use crate::lab::report::Probed;
use crate::pktgen;

/// A trial: its name, and what it does.
type Named = (&'static str, fn(&mut Lab) -> Result<String>);

/// All trials.
pub(super) const ALL: [Named; 10] = [
    ("load, zero-copy", load),
    ("handshakes and datagrams", datagrams),
    ("garbage by pktgen", garbage),
    ("ClientHellos", hellos),
    ("records by a client", records),
    ("link down and up", link_reset),
    ("frames at rest", frames),
    ("unload", unload),
    ("replies by the driver without zero-copy", replies_in_copy_mode),
    ("kernel log", kernel_warnings),
];

/// Datagrams of all clients together.
const DATAGRAMS: u64 = 10_000;

/// Local programs of each client, and so associations.
const PROGRAMS: u32 = 2;

/// Packets of the kernel's pktgen.
const GARBAGE: u64 = 100_000;

/// ClientHellos: few enough for the limits of one CPU.
const HELLOS: u64 = 1_000;

/// Records of one association.
const RECORDS: u64 = 5_000;

fn number(status: &Value, path: &[&str]) -> u64 {
    path.iter().fold(status, |value, name| &value[*name]).as_u64().unwrap_or(0)
}

/// Loads the gateway; it must run natively, zero-copy in both directions, on all queues.
fn load(lab: &mut Lab) -> Result<String> {
    let begin = Instant::now();
    lab.stage.load("zero_copy = \"require\"\nxdp_mode = \"native\"")?;
    lab.stage.wait_for_carriers()?;
    let status = lab.stage.status()?;
    let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    lab.report.xdp_mode = text("xdp_mode");
    lab.report.zero_copy = status["zero_copy"] == true;
    lab.report.transmit = text("transmit");
    lab.report.queues = lab.stage.queue_packets(lab.driver)?.len() as u32;
    let found = (&*lab.report.xdp_mode, lab.report.zero_copy, &*lab.report.transmit);
    ensure!(found == ("native", true, "xdp"), "{found:?}");
    ensure!(lab.report.queues == QUEUES, "{} receive queues", lab.report.queues);
    let (queues, seconds) = (lab.report.queues, begin.elapsed().as_secs_f64());
    Ok(format!("native, zero-copy, transmit by AF_XDP, {queues} queues, after {seconds:.1} s"))
}

/// Handshakes, and datagrams byte for byte. Clients take turns, so that the card's counters tell
/// which queue each has come by.
fn datagrams(lab: &mut Lab) -> Result<String> {
    let lost_before = wire::lost()?;
    let mut by_queue = vec![0; QUEUES as usize];
    let mut sum = Probed::default();
    for number in 0..CLIENTS {
        let client = Client::start(&lab.stage, number)?;
        let before = (lab.stage.queue_packets(lab.driver)?, opened(lab)?);
        let done = client.probe(&lab.stage, DATAGRAMS / u64::from(CLIENTS), PROGRAMS)?;
        let after = (lab.stage.queue_packets(lab.driver)?, opened(lab)?);
        let packets = after.0.iter().zip(&before.0).map(|(after, before)| after - before);
        let busiest = packets.enumerate().max_by_key(|(_, count)| *count);
        let (queue, _) = busiest.context("the card has no queues")?;
        by_queue[queue] += after.1 - before.1;
        sum.sent += done.sent;
        sum.echoed += done.echoed;
        sum.lost += done.lost;
        sum.altered += done.altered;
        sum.unexpected += done.unexpected;
        client.stop()?;
    }
    lab.report.datagrams = sum;
    lab.report.opened_by_queue.clone_from(&by_queue);
    let status = lab.stage.status()?;
    lab.report.handshakes = number(&status, &["handshakes_ok"]);
    ensure!(lab.report.handshakes >= u64::from(CLIENTS * PROGRAMS), "too few handshakes");
    ensure!(sum.altered == 0 && sum.unexpected == 0, "{sum:?}");
    if sum.lost > 0 {
        explain(&status, &lost_before).with_context(|| format!("{sum:?}"))?;
    }
    ensure!(by_queue.iter().all(|count| *count > 0), "a queue carried nothing: {by_queue:?}");
    check_steering(&status)?;
    let sent_by_xdp = number(&status, &["fast_path_sent"]);
    ensure!(sent_by_xdp >= sum.echoed, "AF_XDP has sent only {sent_by_xdp}");
    let Probed { echoed, lost, .. } = sum;
    Ok(format!(
        "{} handshakes, {echoed} of {} datagrams came back unaltered, {lost} lost, opened by \
         queue: {by_queue:?}, {sent_by_xdp} sent by AF_XDP",
        lab.report.handshakes, sum.sent
    ))
}

fn opened(lab: &Lab) -> Result<u64> {
    Ok(number(&lab.stage.status()?, &["opened"]))
}

/// What the program handed to workers has reached them, on each queue, and nobody else's worker.
fn check_steering(status: &Value) -> Result<()> {
    let lost =
        number(status, &["af_xdp", "rx_ring_full"]) + number(status, &["af_xdp", "rx_dropped"]);
    let (redirected, received) =
        (number(status, &["xdp", "redirected"]), number(status, &["fast_path"]));
    ensure!(redirected == received + lost, "{redirected} redirected, {received} received");
    ensure!(number(status, &["xdp", "no_socket"]) == 0, "a queue has no socket");
    for reason in ["not_authentic", "unknown_id", "wrong_peer_id", "malformed_record"] {
        let dropped = number(status, &["drops", reason]);
        ensure!(dropped == 0, "{dropped} dropped as {reason}");
    }
    Ok(())
}

/// A loss must have been counted by somebody.
fn explain(status: &Value, before: &BTreeMap<String, u64>) -> Result<()> {
    let wire = wire::lost()?;
    let on_wire = wire.iter().any(|(name, count)| before.get(name) != Some(count));
    let dropped = status["drops"].as_object().is_some_and(|drops| !drops.is_empty());
    let rings = number(status, &["af_xdp", "rx_ring_full"]) > 0;
    ensure!(on_wire || dropped || rings, "lost, and nobody has counted it");
    Ok(())
}

/// Runs `pktgen` in the world; what the wire has lost joins the sum.
fn run_pktgen(lab: &Lab, profile: &str, count: u64, more: &[&str]) -> Result<pktgen::Report> {
    lab.stage.wait_for_carriers()?;
    let (before, missed_before) = (wire::lost()?, missed(lab)?);
    let mut command = lab.stage.own(&lab.stage.world)?;
    command.args(["pktgen", "--json", "--interface", CARDS[0], "--target", GATEWAY]);
    command.args(["--profile", profile, "--count", &count.to_string(), "--state"]);
    command.arg(lab.stage.state()).arg("--certificates").arg(lab.stage.file("")).args(more);
    // It fails where the sum does not come out, which it may do only with what the wire has lost.
    let output = command.output().context("pktgen cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .last()
        .with_context(|| format!("pktgen: {}", String::from_utf8_lossy(&output.stderr).trim()))?;
    let mut report: pktgen::Report = serde_json::from_str(line).context("pktgen's report")?;
    report.account.lose("wire", &before, &wire::lost()?);
    let silent = |count| BTreeMap::from([("no descriptor, not counted by QEMU".to_owned(), count)]);
    report.account.lose("card", &silent(missed_before), &silent(missed(lab)?));
    // Its program on the card is gone by now, which may have reset the card.
    lab.stage.wait_for_carriers()?;
    Ok(report)
}

/// What the gateway's card has missed without counting it.
fn missed(lab: &Lab) -> Result<u64> {
    let delivered = wire::counters()?.get("far.tx.packets").copied();
    lab.stage.missed_in_silence(lab.driver, delivered.context("the wire counts no packets")?)
}

fn told(report: &pktgen::Report) -> Result<String> {
    let account = &report.account;
    let fates: Vec<_> =
        account.fates.iter().map(|(fate, count)| format!("{count} {fate}")).collect();
    let fates = fates.join("; ");
    ensure!(
        account.unaccounted == 0,
        "{} unaccounted of {}: {fates}",
        account.unaccounted,
        account.sent
    );
    Ok(format!("{} sent by {}: {fates}", account.sent, report.generator))
}

/// Garbage at the highest rate that there is, from the kernel's own generator.
fn garbage(lab: &mut Lab) -> Result<String> {
    let flows = ["--threads", "2", "--size", "64", "--flows", "64"];
    let report = run_pktgen(lab, "garbage", GARBAGE, &flows)?;
    let outcome = told(&report);
    let by_kernel = report.generator.starts_with("the kernel's");
    let enough = report.account.sent >= GARBAGE;
    lab.report.pktgen = Some(report);
    ensure!(by_kernel && enough, "the kernel's pktgen has not sent {GARBAGE}");
    outcome
}

/// ClientHellos; by the XDP program in the driver, where the driver does not lose its replies.
fn hellos(lab: &mut Lab) -> Result<String> {
    let report = run_pktgen(lab, "hellos", HELLOS, &["--rate", "500", "--size", "300"])?;
    let outcome =
        told(&report).and_then(|told| Ok(told + &replied(lab.driver == Driver::Igb, &report)?));
    lab.report.hellos = Some(report);
    outcome
}

/// Every ClientHello that was answered must have brought a reply.
fn replied(by_xdp: bool, report: &pktgen::Report) -> Result<String> {
    let fate =
        if by_xdp { "answered: hello_verify_request" } else { "passed to the kernel: slow_hello" };
    let answered = report.account.fates.get(fate).copied().unwrap_or(0);
    let replies = report.replies.unwrap_or(0);
    ensure!(answered > 0, "nothing was {fate}: {:?}", report.account.fates);
    ensure!(replies == answered, "{answered} {fate}, and {replies} replies have come back");
    Ok(format!("; {replies} replies"))
}

/// Records of one association, as fast as a client seals them.
fn records(lab: &mut Lab) -> Result<String> {
    let report = run_pktgen(lab, "records", RECORDS, &["--size", "1200"])?;
    let outcome = told(&report);
    lab.report.records = Some(report);
    outcome
}

/// An association outlives its card's reset.
fn link_reset(lab: &mut Lab) -> Result<String> {
    let client = Client::start(&lab.stage, 0)?;
    client.probe(&lab.stage, 10, 1)?;
    let begin = Instant::now();
    let addresses = ["link", "set", CARDS[1], "down"];
    let routes = lab.stage.gateway.ip(&["route", "show"])?;
    lab.stage.gateway.ip(&addresses)?;
    lab.stage.gateway.ip(&["link", "set", CARDS[1], "up"])?;
    for route in routes.lines().filter(|route| !route.contains("proto kernel")) {
        let words: Vec<_> = route.split_whitespace().filter(|word| *word != "linkdown").collect();
        lab.stage.gateway.ip(&[&["route", "replace"], &words[..]].concat())?;
    }
    lab.stage.tell_neighbours()?;
    lab.stage.wait_for_carriers()?;
    let down = begin.elapsed().as_secs_f64();
    let before = number(&lab.stage.status()?, &["fast_path_sent"]);
    let done = client.probe(&lab.stage, 200, 1)?;
    ensure!(done.echoed == done.sent && done.altered == 0, "after the reset: {done:?}");
    let sent = number(&lab.stage.status()?, &["fast_path_sent"]) - before;
    ensure!(sent > 0, "after the reset nothing leaves by AF_XDP any more");
    client.stop()?;
    Ok(format!("{} datagrams after {down:.1} s without a link, {sent} sent by AF_XDP", done.echoed))
}

/// At rest no frame is under way to be sent, held, or missing.
fn frames(lab: &mut Lab) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = lab.stage.status()?;
        let of = |name: &str| status["af_xdp"][name].as_i64().context("no frames are reported");
        lab.report.frames_leaked = of("missing")? + of("held")? + of("sending")?;
        if lab.report.frames_leaked == 0 {
            let (frames, receiving) = (of("frames")?, of("receiving")?);
            return Ok(format!("none of {frames} leaked, {receiving} are to be received into"));
        }
        ensure!(
            Instant::now() < deadline,
            "{} frames leaked: {}",
            lab.report.frames_leaked,
            status["af_xdp"]
        );
        sleep(LOOK);
    }
}

/// Everything is undone, and at the end no frame was missing.
fn unload(lab: &mut Lab) -> Result<String> {
    let said = lab.stage.unload()?;
    ensure!(said.contains("no AF_XDP frame is missing"), "{said}");
    ensure!(said.contains("is as it was"), "{said}");
    let link = lab.stage.gateway.ip(&["link", "show", "dev", CARDS[1]])?;
    ensure!(!link.contains("prog/xdp"), "{link}");
    lab.stage.wait_for_carriers()?;
    Ok("program detached, process gone, no frame missing, the card as it was".to_owned())
}

/// Without zero-copy every driver sends what the program answers with.
fn replies_in_copy_mode(lab: &mut Lab) -> Result<String> {
    lab.stage.load("zero_copy = \"off\"\nxdp_mode = \"native\"")?;
    let report = run_pktgen(lab, "hellos", HELLOS, &["--rate", "500", "--size", "300"]);
    let unloaded = lab.stage.unload();
    let report = report?;
    unloaded?;
    Ok(told(&report)? + &replied(true, &report)?)
}

/// The kernel had nothing to complain about.
fn kernel_warnings(lab: &mut Lab) -> Result<String> {
    let (warnings, notices) = kernel_log::since(&lab.warnings_before)?;
    let known = notices.len();
    (lab.report.kernel_warnings, lab.report.kernel_notices) = (warnings, notices);
    let warnings = &lab.report.kernel_warnings;
    ensure!(warnings.is_empty(), "{}", warnings.join("\n"));
    Ok(format!("no warnings, {known} known notices"))
}
