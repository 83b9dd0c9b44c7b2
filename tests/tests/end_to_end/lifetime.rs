//! How associations end, and what comes after.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, Node, PATIENCE, eventually, exchange};

/// A silent peer is dead after 30 s; then comes a handshake. Twice that is plenty.
const DEATH_PATIENCE: Duration = Duration::from_secs(75);

/// How long a program waits for its answer before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Opens one association for each of two programs.
fn two_programs(lab: &Lab, client: &Node) -> Result<[UdpSocket; 2]> {
    let programs = [lab.bind_program(client)?, lab.bind_program(client)?];
    programs.iter().try_for_each(|program| exchange(program, b"hello"))?;
    Ok(programs)
}

/// ```text
///   program ─── xdtls connect ═══ xdtls gateway ─── udp-echo
///                   close_notify ◀── SIGTERM
///                                 (started again)
/// ```
pub(crate) fn a_stopped_gateway_says_goodbye_and_may_come_back(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = config.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let programs = two_programs(lab, &client)?;
    client.wait_for_associations(2)?;
    gateway.terminate()?;
    client.wait_for_associations(0)?;
    let gateway = config.start(lab)?;
    programs.iter().try_for_each(|program| exchange(program, b"here again"))?;
    for node in [&client, &gateway] {
        node.wait_for_associations(2)?;
    }
    Ok(())
}

/// ```text
///   program ─── xdtls connect ═══ xdtls gateway ─── udp-echo
///                 SIGTERM ──▶ close_notify
/// ```
pub(crate) fn a_stopped_client_says_goodbye(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    two_programs(lab, &client)?;
    gateway.wait_for_associations(2)?;
    client.terminate()?;
    let status = gateway.wait_for_associations(0)?;
    ensure!(status.drops().is_empty(), "{status}");
    // The flows have gone with their associations.
    let sockets = lab.gateway.run("ss", &["-H", "-u", "-a", "-n"])?;
    ensure!(sockets.lines().count() == 1, "{sockets}");
    gateway.terminate()
}

/// ```text
///   A asks on and on ─┐
///   B asks once ──────┴─ xdtls connect ═══ xdtls gateway ─── udp-echo
///                             │             SIGKILL, started again: knows nobody
///                             │ probes after 10 s
///                             └ dead after 30 s, new handshakes ──▶
/// ```
pub(crate) fn a_killed_gateway_is_noticed_and_reconnected_to(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = config.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let [a, b] = two_programs(lab, &client)?;
    gateway.kill()?;
    let gateway = config.start(lab)?;
    b.send(b"lost")?;
    a.set_read_timeout(Some(ASK_AGAIN))?;
    eventually("an answer of the new gateway", DEATH_PATIENCE, || {
        a.send(b"anybody there?")?;
        Ok(a.recv(&mut [0; 100]).ok())
    })?;
    // B's too, although B has sent nothing since.
    client.wait_for_count("handshakes_ok", 4)?;
    exchange(&b, b"after")?;
    client.wait_for_log("the peer stopped answering", PATIENCE)?;
    let status = gateway.wait_for_associations(2)?;
    // What the client sent into the old associations, probes among it, got no answer of any kind.
    ensure!(status.dropped("unknown_id") > 2, "{status}");
    Ok(())
}

/// ```text
///   program ─── xdtls connect --idle-timeout 1s ═══ xdtls gateway ─── udp-echo
///     silent ─────▶ close_notify ─────────────────────▶
/// ```
pub(crate) fn an_idle_program_loses_its_association(lab: &Lab) -> Result<()> {
    let arguments = &["--idle-timeout", "1s"];
    idle_associations_end(lab, "", ClientOptions { arguments, ..ClientOptions::default() })
}

/// ```text
///   program ─── xdtls connect ═══ xdtls gateway, limits.idle_timeout = 1s ─── udp-echo
///     silent         ◀──────────── close_notify
/// ```
pub(crate) fn an_idle_association_ends_at_the_gateway(lab: &Lab) -> Result<()> {
    idle_associations_end(lab, "idle_timeout = \"1s\"", ClientOptions::default())
}

/// ```text
///   program ─── xdtls connect --idle-timeout 1s ═══ xdtls gateway ─── udp-echo
///     comes back ─▶ continues its session ────────────▶  and not after a reload
/// ```
pub(crate) fn a_program_that_comes_back_resumes_its_session(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let arguments = &["--idle-timeout", "1s"];
    let client = ClientOptions { arguments, ..ClientOptions::default() }.start(lab)?;
    let program = lab.bind_program(&client)?;
    for (handshakes, resumed) in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3)] {
        if handshakes == 4 {
            gateway.ask(&["reload"])?;
        }
        exchange(&program, b"hello")?;
        for node in [&client, &gateway] {
            node.wait_for_count("handshakes_ok", handshakes)?;
            node.wait_for_count("handshakes_resumed", resumed)?;
            node.wait_for_associations(0)?;
        }
    }
    let status = gateway.status()?;
    ensure!(status.count("sessions")? == 1 && status.drops().is_empty(), "{status}");
    Ok(())
}

fn idle_associations_end(
    lab: &Lab,
    limits: &'static str,
    options: ClientOptions<'_>,
) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000)).with_limits(limits);
    let (gateway, client) = (config.start(lab)?, options.start(lab)?);
    let program = lab.bind_program(&client)?;
    for round in 1..=2 {
        exchange(&program, b"hello")?;
        for node in [&client, &gateway] {
            node.wait_for_count("handshakes_ok", round)?;
            node.wait_for_associations(0)?;
        }
    }
    Ok(())
}
