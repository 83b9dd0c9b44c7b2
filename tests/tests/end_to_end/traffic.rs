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
///   100 programs        one UDP socket        one UDP port,       100 flows
///   (the test) ──────── xdtls connect ═══════ xdtls gateway ───── udp-echo
/// ```
fn a_hundred_associations(lab: &Lab, workers: usize) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = GatewayConfig { workers, ..config }.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let programs = (0..100).map(|_| lab.bind_program(&client)).collect::<Result<Vec<_>>>()?;
    // Fewer at once than the gateway would refuse, or a busy machine not get through.
    for group in programs.chunks(10) {
        everybody_asks(group, 0)?;
    }
    for round in 1..50 {
        everybody_asks(&programs, round)?;
    }
    for node in [&gateway, &client] {
        let status = node.wait_for_associations(100)?;
        ensure!(status.count("handshakes_failed")? == 0, "{status}");
        ensure!(status.count("opened")? == 5000 && status.count("sealed")? == 5000, "{status}");
    }
    for program in programs {
        program.set_nonblocking(true)?;
        ensure!(program.recv(&mut [0; 10]).is_err(), "more has come back than was sent");
    }
    // The port for programs, and the one socket towards the gateway: a single 5-tuple.
    let sockets = lab.client.run("ss", &["-H", "-u", "-a", "-n"])?;
    ensure!(sockets.lines().count() == 2, "{sockets}");
    Ok(())
}

/// Sends one datagram for each program before the first answer is looked at.
fn everybody_asks(programs: &[UdpSocket], round: usize) -> Result<()> {
    let question = |program: &UdpSocket| -> Result<Vec<u8>> {
        let port = program.local_addr()?.port();
        let mut question = format!("round {round} of {port}").into_bytes();
        question.resize(question.len() + (round * 97 + usize::from(port)) % 1200, round as u8);
        Ok(question)
    };
    for program in programs {
        program.send(&question(program)?)?;
    }
    programs.iter().try_for_each(|program| expect(program, &question(program)?))
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
