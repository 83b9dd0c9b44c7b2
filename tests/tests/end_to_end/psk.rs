//! Clients without certificates.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, PATIENCE, expect};

const KEYS: [(&str, &str); 2] = [
    ("sensor-1", "000102030405060708090a0b0c0d0e0f"),
    ("meter-1", "ff0102030405060708090a0b0c0d0e0ff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
];

/// Writes the lab's `psk.txt`, which clients read, and the gateway's `gateway-psk.txt`.
fn write_keys(lab: &Lab, file: &str, keys: &[(&str, &str)]) -> Result<()> {
    let lines: String = keys.iter().map(|(identity, key)| format!("{identity}:{key}\n")).collect();
    let path = lab.folder().join(file);
    std::fs::write(&path, lines)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(())
}

/// ```text
///   program ─── xdtls connect, sensor-1 ════════╦═══ xdtls gateway ─┬─ udp-echo "sensors"
///   program ─── xdtls connect, meter-1 ═════════╣     psk_file      └─ udp-echo "meters"
///   program ─── xdtls connect, unknown ══✗══════╣
///   program ─── xdtls connect, certificate ═════╝
/// ```
pub(crate) fn pre_shared_keys_let_in_and_keep_out(lab: &Lab) -> Result<()> {
    let _echoes = [lab.start_echo(9001, Some("sensors"))?, lab.start_echo(9002, Some("meters"))?];
    let unknown = ("sensor-2", "0123456789abcdef0123456789abcdef");
    write_keys(lab, "psk.txt", &[&KEYS[..], &[unknown]].concat())?;
    write_keys(lab, "gateway-psk.txt", &KEYS)?;
    let gateway = GatewayConfig {
        clients: "psk_file = \"gateway-psk.txt\"",
        limits: "handshake_deadline = \"2s\"",
        backends: vec![
            ("sensors", lab.backend_address(9001)),
            ("meters", lab.backend_address(9002)),
        ],
        rules: vec![("client", "meters")],
        tables: "[[rule]]\npsk_identity = \"sensor-*\"\nbackend = \"sensors\"\n\
                 [[rule]]\npsk_identity = \"meter-1\"\nbackend = \"meters\"\n"
            .to_owned(),
        ..GatewayConfig::default()
    };
    let gateway = gateway.start(lab)?;
    let with_key = |identity| ClientOptions { psk: Some(identity), ..ClientOptions::default() };
    let sensor = with_key("sensor-1").start(lab)?;
    let meter = with_key("meter-1").start(lab)?;
    let certified = ClientOptions::default().start(lab)?;
    let clients = [(&sensor, "sensors:hi"), (&meter, "meters:hi"), (&certified, "meters:hi")];
    let mut programs = Vec::new();
    for (client, answer) in clients {
        let program = lab.bind_program(client)?;
        program.send(b"hi")?;
        expect(&program, answer.as_bytes())?;
        programs.push(program);
    }
    gateway.wait_until_listed(3)?;
    let listed = gateway.ask(&["associations"])?;
    ensure!(listed.contains("psk:sensor-1") && listed.contains("psk:meter-1"), "{listed}");

    let stranger = with_key("sensor-2").start(lab)?;
    lab.bind_program(&stranger)?.send(b"hi")?;
    gateway.wait_for_log("names a PSK identity that nobody has", PATIENCE)?;
    gateway.wait_until("its handshake has failed", |status| {
        status.of_kind("handshake_failures", "timed_out") >= 1
    })?;

    // A key that is replaced is as good as gone; the others stay.
    write_keys(lab, "gateway-psk.txt", &[(KEYS[0].0, unknown.1), KEYS[1]])?;
    let said = gateway.ask(&["reload"])?;
    ensure!(said.contains("closed: 1 that are not admitted any more"), "{said}");
    gateway.wait_for_log("its pre-shared key is not valid any more", PATIENCE)?;
    gateway.wait_for_associations(2)?;
    for (program, answer) in programs[1..].iter().zip(["meters:still", "meters:still"]) {
        program.send(b"still")?;
        expect(program, answer.as_bytes())?;
    }

    // What everybody may read is no secret.
    let file = lab.folder().join("gateway-psk.txt");
    std::fs::set_permissions(file, Permissions::from_mode(0o644))?;
    let refused = gateway.ask(&["reload"]).err().context("everybody may read it")?.to_string();
    ensure!(refused.contains("chmod 600"), "{refused}");
    Ok(())
}
