//! Who was in and may not stay: a reload closes them, and nobody else.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, Node, PATIENCE, eventually, exchange, pki};

fn start_client(lab: &Lab, certificate: &str) -> Result<Node> {
    ClientOptions { certificate, ..ClientOptions::default() }.start(lab)
}

/// Ids of all associations, by the name of the client's certificate.
fn associations(gateway: &Node) -> Result<Vec<(String, String)>> {
    let page: Value = serde_json::from_str(&gateway.ask(&["associations", "--json"])?)?;
    let all = page["associations"].as_array().context("no list")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(all.iter().map(|it| (text(&it["identity"]), text(&it["id"]))).collect())
}

fn id_of(gateway: &Node, name: &str) -> Result<String> {
    let found = associations(gateway)?.into_iter().find(|(identity, _)| identity == name);
    Ok(found.with_context(|| format!("{name} is not there"))?.1)
}

/// Why an association has ended, by `associations show`.
fn end_of(gateway: &Node, id: &str) -> Result<String> {
    eventually("it is told why the association has ended", PATIENCE, || {
        let said = gateway.ask(&["associations", "show", id]).err().map(|error| error.to_string());
        Ok(said.filter(|said| said.contains("has ended")))
    })
}

/// ```text
///   program ─── xdtls connect as a.example ══✗══╦═══ xdtls gateway ─── udp-echo
///   program ─── xdtls connect as b.example ═════╝        ▲
///                     the test: ca.crl with a.example, xdtls reload
/// ```
pub(crate) fn who_is_revoked_is_gone_and_others_stay(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig {
        workers: 2,
        clients: "crl = [\"certs/ca.crl\"]",
        ..GatewayConfig::forward_to(lab.backend_address(9000))
    };
    let certs = lab.folder().join("certs");
    pki::revoke(&certs, &["client"])?;
    let gateway = config.start(lab)?;
    let clients = [start_client(lab, "a.example")?, start_client(lab, "b.example")?];
    let programs = [lab.bind_program(&clients[0])?, lab.bind_program(&clients[1])?];
    for program in &programs {
        exchange(program, b"before")?;
    }
    gateway.wait_until_listed(2)?;
    let (revoked, stays) = (id_of(&gateway, "a.example")?, id_of(&gateway, "b.example")?);

    pki::revoke(&certs, &["client", "a.example"])?;
    let said = gateway.ask(&["reload"])?;
    ensure!(said.contains("closed: 1 that are not admitted any more"), "{said}");
    // The worker has been told before the reload was answered, and is asked by the same queue.
    let left = associations(&gateway)?;
    ensure!(left == [("b.example".to_owned(), stays.clone())], "{left:?}");
    let why = end_of(&gateway, &revoked)?;
    ensure!(why.contains("its certificate has been revoked"), "{why}");
    gateway.wait_for_log("association ended: its certificate has been revoked", PATIENCE)?;
    clients[0].wait_for_log("ended by a fatal alert of the peer", PATIENCE)?;
    gateway.wait_until("the cause is counted", |status| {
        status.of_kind("associations_ended", "revoked") == 1
    })?;

    // It does not come back, and the other has not noticed.
    programs[0].send(b"again")?;
    gateway.wait_for_log("certificate verify failed (certificate revoked)", PATIENCE)?;
    exchange(&programs[1], b"after")?;
    ensure!(id_of(&gateway, "b.example")? == stays, "it is another association");
    ensure!(gateway.status()?.associations() == 1);

    // What cannot be believed changes nothing.
    std::fs::copy(certs.join("ca.pem"), certs.join("ca.crl"))?;
    let refused = gateway.ask(&["reload"]).err().context("a CRL was no CRL")?.to_string();
    ensure!(refused.contains("holds no CRL"), "{refused}");
    exchange(&programs[1], b"still")
}

/// ```text
///   program ─── xdtls connect as a.example ══✗══╦═══ xdtls gateway ─┬─ udp-echo "first"
///   program ─── xdtls connect as b.example ═════╝        ▲          └─ udp-echo "second"
///                     the test: other rules, SIGHUP
/// ```
pub(crate) fn whom_the_rules_do_not_admit_any_more_is_closed(lab: &Lab) -> Result<()> {
    let _echoes = [lab.start_echo(9001, Some("first"))?, lab.start_echo(9002, Some("second"))?];
    let backends =
        vec![("first", lab.backend_address(9001)), ("second", lab.backend_address(9002))];
    let config = GatewayConfig {
        backends,
        rules: vec![("a.example", "first"), ("b.example", "second")],
        ..GatewayConfig::default()
    };
    let mut gateway = config.start(lab)?;
    let clients = [start_client(lab, "a.example")?, start_client(lab, "b.example")?];
    let programs = [lab.bind_program(&clients[0])?, lab.bind_program(&clients[1])?];
    for (program, answer) in programs.iter().zip(["first:in", "second:in"]) {
        program.send(b"in")?;
        xdtls_tests::expect(program, answer.as_bytes())?;
    }
    gateway.wait_for_associations(2)?;
    let dismissed = id_of(&gateway, "a.example")?;

    GatewayConfig { rules: vec![("b.example", "first")], ..config }.write(lab)?;
    gateway.signal(rustix::process::Signal::HUP)?;
    gateway.wait_for_associations(1)?;
    let why = end_of(&gateway, &dismissed)?;
    ensure!(why.contains("no rule admits it"), "{why}");
    gateway.wait_until("the cause is counted", |status| {
        status.of_kind("associations_ended", "not_admitted") == 1
    })?;
    // Who stays keeps the backend that it had.
    programs[1].send(b"on")?;
    xdtls_tests::expect(&programs[1], b"second:on")
}
