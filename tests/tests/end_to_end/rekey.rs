//! Associations that get new keys while they are used: nobody at the inside sees it.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, expect, receive};

/// Replaced associations that still receive, at most, for each that is in use.
const PREDECESSORS_MAX: u64 = 8;

/// ```text
///   udp-probe, 4 sockets ─── xdtls connect ═══ xdtls gateway, 2 workers ─── 4 flows ─── udp-echo
///     24,000 datagrams        new keys each 256 records
/// ```
pub(crate) fn new_keys_under_load_lose_nothing_and_double_nothing(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = GatewayConfig { workers: 2, ..config }.start(lab)?;
    let arguments = &["--rekey-after-records", "256"];
    let client = ClientOptions { arguments, ..ClientOptions::default() }.start(lab)?;
    let load = ["--sockets", "4", "--count", "24000", "--rate", "6000"];
    lab.probe(&client, &load)?.ensure_clean(24_000)?;
    for node in [&client, &gateway] {
        let status = node.wait_for_count("rekeyed", 4 * PREDECESSORS_MAX)?;
        ensure!(status.drops().is_empty() && status.count("handshakes_failed")? == 0, "{status}");
        ensure!(status.associations() == 4 * (1 + PREDECESSORS_MAX), "{status}");
        ensure!(status.count("opened")? == 24_000 && status.count("sealed")? == 24_000, "{status}");
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
    gateway.wait_for_log("replaced by one with new keys", xdtls_tests::PATIENCE)?;
    Ok(())
}
