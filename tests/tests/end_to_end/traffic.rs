//! Bytes through one association, or many, and back.

use std::collections::BTreeSet;
use std::net::UdpSocket;

use anyhow::{Result, ensure};
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, exchange, expect, receive};

/// ```text
///   program A ─┐
///              ├─ xdtls connect ═══ xdtls gateway ─┬─ flow of A ─┐
///   program B ─┘                                   └─ flow of B ─┴─ backend (the test)
/// ```
pub(crate) fn each_local_program_has_an_association_of_its_own(lab: &Lab) -> Result<()> {
    let backend = lab.bind_backend(9000)?;
    let gateway = GatewayConfig::forward_to(backend.local_addr()?).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let programs = [lab.bind_program(&client)?, lab.bind_program(&client)?];
    let mut flows = BTreeSet::new();
    for round in 0..3 {
        for (name, program) in ["A", "B"].iter().zip(&programs) {
            let (question, answer) = (format!("{name} asks {round}"), format!("to {name} {round}"));
            program.send(question.as_bytes())?;
            let mut buffer = [0; 100];
            let (length, flow) = receive(&backend, &mut buffer)?;
            ensure!(buffer[..length] == *question.as_bytes(), "{question} has been altered");
            ensure!(flow.ip() != lab.gateway_address().ip(), "a flow comes from the outside");
            flows.insert((name, flow));
            backend.send_to(answer.as_bytes(), flow)?;
            expect(program, answer.as_bytes())?;
        }
    }
    // Each program has one source at the backend, and not the other's.
    let sources: BTreeSet<_> = flows.iter().map(|(_, flow)| flow).collect();
    ensure!(flows.len() == 2 && sources.len() == 2, "flows at the backend: {flows:?}");
    for node in [&gateway, &client] {
        let status = node.wait_for_associations(2)?;
        ensure!(status.drops().is_empty(), "{status}");
    }
    Ok(())
}

/// As below, in one shard.
pub(crate) fn a_hundred_associations_share_one_worker(lab: &Lab) -> Result<()> {
    a_hundred_associations(lab, 1)
}

/// As below, in two shards: datagrams of one address and port have to be told apart by their ids.
pub(crate) fn a_hundred_associations_share_two_workers(lab: &Lab) -> Result<()> {
    a_hundred_associations(lab, 2)
}

/// ```text
///   100 sockets of       one UDP socket        one UDP port,       100 flows
///   udp-probe ────────── xdtls connect ═══════ xdtls gateway ───── udp-echo
/// ```
fn a_hundred_associations(lab: &Lab, workers: usize) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    // All handshakes come from one address, at once.
    let config = GatewayConfig::forward_to(lab.backend_address(9000))
        .with_limits("half_open_per_source = 100");
    let gateway = GatewayConfig { workers, ..config }.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let arguments = ["--sockets", "100", "--count", "5000", "--window", "4", "--timeout", "25"];
    lab.probe(&client, &arguments)?.ensure_clean(5000)?;
    for node in [&gateway, &client] {
        let status = node.status()?;
        ensure!(status.associations() == 100, "{status}");
        ensure!(status.count("handshakes_failed")? == 0, "{status}");
        ensure!(status.count("opened")? == 5000 && status.count("sealed")? == 5000, "{status}");
    }
    // The port for programs, and the one socket towards the gateway: a single 5-tuple.
    let sockets = lab.client.run("ss", &["-H", "-u", "-a", "-n"])?;
    ensure!(sockets.lines().count() == 2, "{sockets}");
    Ok(())
}

/// ```text
///   fd00:1::1 xdtls connect ═══ [fd00:1::2]:4433 xdtls gateway fd00:2::1 ─── fd00:2::2 udp-echo
/// ```
pub(crate) fn ipv6_works_too(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    ensure!(gateway.address().is_ipv6(), "{}", gateway.address());
    let client = ClientOptions::default().start(lab)?;
    lab.probe(&client, &["--sockets", "3", "--count", "300"])?.ensure_clean(300)?;
    // 20 bytes less than over IPv4, where 1427 are the most.
    let program = lab.bind_program(&client)?;
    exchange(&program, &[b'x'; 1407])?;
    program.send(&[b'x'; 1408])?;
    exchange(&program, b"after")?;
    let status = client.status()?;
    ensure!(status.drops() == [("too_big".to_owned(), 1)].into(), "{status}");
    Ok(())
}

/// ```text
///   user 65534, no capability:
///   xdtls connect ═══ xdtls gateway ─── udp-echo
/// ```
pub(crate) fn an_unprivileged_client_works(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let _gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let client = ClientOptions { user: Some(65_534), ..ClientOptions::default() }.start(lab)?;
    let own = lab.client.processes()?;
    let identity = own.iter().map(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")));
    let identity = identity.collect::<Result<String, _>>()?;
    for expected in ["Uid:\t65534\t65534", "CapEff:\t0000000000000000"] {
        ensure!(own.len() == 1 && identity.contains(expected), "{own:?} {identity}");
    }
    lab.probe(&client, &["--sockets", "3", "--count", "300"])?.ensure_clean(300)?;
    let programs: Vec<UdpSocket> =
        (0..3).map(|_| lab.bind_program(&client)).collect::<Result<_>>()?;
    programs.iter().try_for_each(|program| exchange(program, b"again"))
}
