//! Who may come in, and where that leads.

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use xdtls_netlab::{Process, program};
use xdtls_tests::{
    ClientOptions, GatewayConfig, Lab, PATIENCE, eventually, exchange, expect, listening,
};

/// Two backends, chosen by the client's name, and nothing for others.
fn two_backends(lab: &Lab) -> GatewayConfig {
    GatewayConfig {
        workers: 2,
        backends: vec![("first", lab.backend_address(9001)), ("second", lab.backend_address(9002))],
        rules: vec![("a.example", "first"), ("b.example", "second")],
        ..GatewayConfig::default()
    }
}

fn named(certificate: &str) -> ClientOptions<'_> {
    ClientOptions { certificate, ..ClientOptions::default() }
}

/// ```text
///   program ─── xdtls connect as a.example ═══╦═══ xdtls gateway ─┬─ udp-echo "first"
///   program ─── xdtls connect as b.example ═══╝                   └─ udp-echo "second"
/// ```
pub(crate) fn the_certificate_name_chooses_the_backend(lab: &Lab) -> Result<()> {
    let _echoes = [lab.start_echo(9001, Some("first"))?, lab.start_echo(9002, Some("second"))?];
    let _gateway = two_backends(lab).start(lab)?;
    let clients = [named("a.example").start(lab)?, named("b.example").start(lab)?];
    let programs = [lab.bind_program(&clients[0])?, lab.bind_program(&clients[1])?];
    for _ in 0..3 {
        for (program, answer) in programs.iter().zip(["first:hello", "second:hello"]) {
            program.send(b"hello")?;
            expect(program, answer.as_bytes())?;
        }
    }
    Ok(())
}

/// ```text
///   program ─── xdtls connect as client ═══ xdtls gateway ─── udp-echo "first", "second"
///                     ◀── access_denied ───────┘ no rule
/// ```
pub(crate) fn who_matches_no_rule_is_refused(lab: &Lab) -> Result<()> {
    let echoes = [lab.start_echo(9001, Some("first"))?, lab.start_echo(9002, Some("second"))?];
    let gateway = two_backends(lab).start(lab)?;
    let client = named("client").start(lab)?;
    lab.bind_program(&client)?.send(b"hello")?;
    let status = gateway.wait_for_count("handshakes_failed", 1)?;
    ensure!(status.associations() == 0 && status.count("handshakes_ok")? == 0, "{status}");
    gateway.wait_for_log("no rule admits", PATIENCE)?;
    client.wait_for_log("fatal alert of the peer", PATIENCE)?;
    client.wait_for_associations(0)?;
    // Whom a rule matches is served, and no backend has heard of the other.
    let admitted = named("a.example").start(lab)?;
    let program = lab.bind_program(&admitted)?;
    program.send(b"hello")?;
    expect(&program, b"first:hello")?;
    for (echo, received) in echoes.into_iter().zip([1, 0]) {
        let report = xdtls_tests::report(&echo.terminate(PATIENCE)?)?;
        ensure!(report["received"] == received, "{report}");
    }
    Ok(())
}

/// ```text
///   program ─── xdtls connect, certificate of another CA ─────✗═╗
///   program ─── xdtls connect --server-name elsewhere ────────✗═╬═ xdtls gateway ─── udp-echo
///   program ─── xdtls connect ══════════════════════════════════╝
/// ```
pub(crate) fn strangers_and_wrong_names_are_reported_and_disturb_nobody(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = config.with_limits("handshake_deadline = \"5s\"").start(lab)?;
    let good = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&good)?;
    exchange(&program, b"before")?;
    lab.issue_certificates("strangers")?;
    let stranger = ClientOptions { certificates: "strangers", ..ClientOptions::default() };
    let mistaken = ClientOptions { server_name: "elsewhere", ..ClientOptions::default() };
    let (stranger, mistaken) = (stranger.start(lab)?, mistaken.start(lab)?);
    for client in [&stranger, &mistaken] {
        lab.bind_program(client)?.send(b"hello")?;
    }
    // While both keep trying, until their deadline of 15 s.
    for client in [&stranger, &mistaken] {
        eventually("it has given up", PATIENCE, || {
            exchange(&program, b"meanwhile")?;
            Ok((client.status()?.count("handshakes_failed")? == 1).then_some(()))
        })?;
    }
    exchange(&lab.bind_program(&good)?, b"a new one")?;
    // The gateway's opinion comes as an alert that proves nothing; ours is our own.
    stranger.wait_for_log("an unauthenticated alert 48 was seen", PATIENCE)?;
    mistaken.wait_for_log("certificate verify failed", PATIENCE)?;
    for client in [&stranger, &mistaken] {
        let status = client.status()?;
        ensure!(status.associations() == 0 && status.dropped("connect_failed") == 1, "{status}");
    }
    gateway.wait_for_log("certificate verify failed", PATIENCE)?;
    let status = gateway.wait_until("failed handshakes of both", |status| {
        status.count("handshakes_failed").is_ok_and(|failed| failed >= 2)
    })?;
    ensure!(status.associations() == 2, "{status}");
    gateway.wait_for_count("handshakes_ok", 2)?;
    Ok(())
}

/// ```text
///   openssl s_client ─── prefix-shim --client-id 0badcafe ═══╦═══ xdtls gateway ─── udp-echo
///   openssl s_client ─── prefix-shim --client-id 0badcafe ═══╝
///                        one address, two ports: two clients behind one NAT
/// ```
pub(crate) fn two_clients_with_one_id_behind_one_address(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = GatewayConfig { workers: 2, ..config }.start(lab)?;
    let shims = [start_shim(lab)?, start_shim(lab)?];
    let mut clients = Vec::new();
    for shim in &shims {
        let mut client = start_s_client(lab, &listening(shim)?)?;
        let stdin = client.stdin().context("standard input")?;
        clients.push((client, stdin));
    }
    for round in 0..3 {
        for ((client, stdin), name) in clients.iter_mut().zip(["first", "second"]) {
            let line = format!("round {round} of the {name}");
            stdin.write_all(format!("{line}\n").as_bytes())?;
            client.wait_for_line(&line, PATIENCE)?;
        }
    }
    let status = gateway.wait_for_associations(2)?;
    ensure!(status.drops().is_empty(), "{status}");
    gateway.wait_for_count("handshakes_ok", 2)?;
    Ok(())
}

fn start_shim(lab: &Lab) -> Result<Process> {
    start_shim_with(lab, &["--client-id", "0badcafe"])
}

pub(crate) fn start_shim_with(lab: &Lab, arguments: &[&str]) -> Result<Process> {
    let mut command = lab.client.command(program("prefix-shim")?);
    command.args(["--listen", &lab.family().loopback().to_string()]);
    command.args(["--gateway", &lab.gateway_address().to_string()]).args(arguments);
    Process::spawn("prefix-shim", command)
}

pub(crate) fn start_s_client(lab: &Lab, server: &str) -> Result<Process> {
    let certs = lab.folder().join("certs");
    let mut command = lab.client.command("openssl");
    command.args(["s_client", "-dtls1_2", "-quiet", "-verify_return_error"]);
    command.args(["-verify_hostname", "gateway", "-connect", server]);
    command.arg("-cert").arg(certs.join("client.pem")).arg("-key").arg(certs.join("client.key"));
    command.arg("-CAfile").arg(certs.join("ca.pem")).stdin(Stdio::piped());
    Process::spawn("openssl s_client", command)
}
