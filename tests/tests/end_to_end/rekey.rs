//! Associations that get new keys while they are used: nobody at the inside sees it.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::ops::RangeInclusive;

use anyhow::{Context, Result, ensure};
use xdtls_netlab::{content, label};
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, PATIENCE, eventually, expect, receive};

/// Replaced associations that still receive, at most, for each that is in use.
const PREDECESSORS_MAX: u64 = 8;

/// Datagrams that a program has under way: few enough for all to find room in a receive buffer.
const UNDER_WAY: u32 = 16;

/// How often they all go and come between two looks at the counts.
const ROUNDS: usize = 20;

/// A program of the test's own, which asks for everything to come back once.
struct Talker {
    program: UdpSocket,
    lane: u32,
    sent: u32,
    missing: BTreeSet<u32>,
}

impl Talker {
    const SIZES: RangeInclusive<usize> = 8..=1200;

    fn new(program: UdpSocket, lane: u32) -> Self {
        Self { program, lane, sent: 0, missing: BTreeSet::new() }
    }

    fn send(&mut self, count: u32) -> Result<()> {
        for sequence in self.sent..self.sent + count {
            self.program.send(&content(1, self.lane, sequence, &Self::SIZES))?;
            self.missing.insert(sequence);
        }
        self.sent += count;
        Ok(())
    }

    /// Takes all that is missing, in any order.
    fn hear(&mut self) -> Result<()> {
        let mut buffer = [0; 2000];
        while !self.missing.is_empty() {
            let what = || format!("{:?} of {} are missing", self.missing, self.sent);
            let (length, _) = receive(&self.program, &mut buffer).with_context(what)?;
            let (lane, sequence) = label(&buffer[..length]).context("it has no label")?;
            let is_missing = lane == self.lane && self.missing.remove(&sequence);
            ensure!(is_missing, "{sequence} of {lane} has come to {}", self.lane);
            let expected = content(1, lane, sequence, &Self::SIZES);
            ensure!(buffer[..length] == expected, "{sequence} has been altered");
        }
        Ok(())
    }
}

/// ```text
///   4 programs ─── xdtls connect ═══ xdtls gateway, 2 workers ─── 4 flows ─── udp-echo
///                    new keys each 256 records
/// ```
/// They talk until each association has been replaced as often as may be.
pub(crate) fn new_keys_under_load_lose_nothing_and_double_nothing(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = GatewayConfig { workers: 2, ..config }.start(lab)?;
    let arguments = &["--rekey-after-records", "256"];
    let client = ClientOptions { arguments, ..ClientOptions::default() }.start(lab)?;
    let mut talkers = Vec::new();
    for lane in 0..4 {
        let mut talker = Talker::new(lab.bind_program(&client)?, lane);
        // What comes before there is an association may be too much.
        talker.send(1)?;
        talker.hear()?;
        talkers.push(talker);
    }
    let replaced = 4 * PREDECESSORS_MAX;
    // Each handshake takes as long as it takes.
    eventually("new keys", 4 * PATIENCE, || {
        for _ in 0..ROUNDS {
            talkers.iter_mut().try_for_each(|talker| talker.send(UNDER_WAY))?;
            talkers.iter_mut().try_for_each(Talker::hear)?;
        }
        let counts = [client.status()?.count("rekeyed")?, gateway.status()?.count("rekeyed")?];
        Ok((counts == [replaced; 2]).then_some(()))
    })?;
    let sent: u64 = talkers.iter().map(|talker| u64::from(talker.sent)).sum();
    for node in [&client, &gateway] {
        let status = node.status()?;
        ensure!(status.drops().is_empty() && status.count("handshakes_failed")? == 0, "{status}");
        ensure!(status.associations() == 4 * (1 + PREDECESSORS_MAX), "{status}");
        ensure!(
            status.count("opened")? == sent && status.count("sealed")? == sent,
            "{sent}: {status}"
        );
    }
    // Flows have changed hands, and none was opened for it: the port, and one for each program.
    let sockets = lab.gateway.run("ss", &["-H", "-u", "-n", "state", "connected"])?;
    ensure!(sockets.lines().count() == 4, "{sockets}");
    Ok(())
}

/// ```text
///   program ─── xdtls connect ═══ xdtls gateway ─── one flow ─── backend (the test)
///                        ◀── HelloRequest after 256 records
/// ```
pub(crate) fn a_gateway_asks_for_new_keys_and_its_backend_sees_one_client(lab: &Lab) -> Result<()> {
    let backend = lab.bind_backend(9000)?;
    let config = GatewayConfig::forward_to(backend.local_addr()?);
    let gateway = config.with_limits("rekey_after_records = 256").start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    let mut flows = BTreeSet::new();
    for round in 0..1000 {
        let question = format!("question {round}");
        program.send(question.as_bytes())?;
        let mut buffer = [0; 100];
        let (length, flow) = receive(&backend, &mut buffer)?;
        ensure!(buffer[..length] == *question.as_bytes(), "{question} has been altered");
        flows.insert(flow);
        backend.send_to(question.as_bytes(), flow)?;
        expect(&program, question.as_bytes())?;
    }
    ensure!(flows.len() == 1, "the backend sees {flows:?}");
    let status = gateway
        .wait_until("new keys", |status| status.count("rekeyed").is_ok_and(|count| count >= 1))?;
    ensure!(status.drops().is_empty(), "{status}");
    // The operator is told what the client has sent under all keys.
    let listed = gateway.ask(&["associations", "list"])?;
    ensure!(listed.contains("1000") || listed.contains("1,000"), "{listed}");
    gateway.wait_for_log("replaced by one with new keys", PATIENCE)?;
    Ok(())
}
