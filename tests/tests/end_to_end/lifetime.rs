//! How associations end, and what comes after.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, Node, eventually, exchange};

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
///   program ─── xdtls connect ═══ xdtls gateway ─── udp-echo
///     asks on and on                SIGKILL, started again: knows nobody
///                   │ probes after 10 s
///                   └ dead after 30 s, a new handshake ──▶
/// ```
pub(crate) fn a_killed_gateway_is_noticed_and_reconnected_to(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = config.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    exchange(&program, b"before")?;
    gateway.kill()?;
    let gateway = config.start(lab)?;
    program.set_read_timeout(Some(ASK_AGAIN))?;
    eventually("an answer of the new gateway", DEATH_PATIENCE, || {
        program.send(b"anybody there?")?;
        Ok(program.recv(&mut [0; 100]).ok())
    })?;
    client.wait_for_log("the peer stopped answering", DEATH_PATIENCE)?;
    let status = client.wait_for_associations(1)?;
    ensure!(status.count("handshakes_ok")? == 2, "{status}");
    let status = gateway.wait_for_associations(1)?;
    ensure!(status.count("handshakes_ok")? == 1, "{status}");
    // What the client sent into the old association, probes among it, got no answer of any kind.
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
            let status = node.wait_for_associations(0)?;
            ensure!(status.count("handshakes_ok")? == round, "{status}");
        }
    }
    Ok(())
}
