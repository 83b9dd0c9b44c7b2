//! Several server names on one port.

use anyhow::{Result, ensure};
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, PATIENCE, exchange, pki};

/// Domains, and the key types that each has a certificate with.
const DOMAINS: [(&str, &[bool]); 4] = [
    ("one.example", &[false, true]),
    ("two.example", &[false, true]),
    ("three.example", &[false, true]),
    ("rsa.example", &[true]),
];

/// ```text
///   program ─── xdtls connect --server-name one.example ═══════╗
///   program ─── xdtls connect --server-name two.example ═══════╬═══ xdtls gateway ─── udp-echo
///   program ─── xdtls connect --server-name three.example ═════╣    seven certificates
///   program ─── xdtls connect --server-name rsa.example ═══════╣
///   program ─── xdtls connect --server-name other.example ══✗══╝
/// ```
pub(crate) fn each_domain_shows_its_own_certificate(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let certs = lab.folder().join("certs");
    let mut tables = String::new();
    for (name, key_types) in DOMAINS {
        for rsa in key_types {
            pki::issue_server(&certs, name, *rsa)?;
            let stem = if *rsa { format!("{name}-rsa") } else { name.to_owned() };
            tables += &format!(
                "[[identity]]\ncertificate = \"certs/{stem}.pem\"\nkey = \"certs/{stem}.key\"\n"
            );
        }
    }
    let gateway = GatewayConfig {
        lines: "require_server_name = true",
        tables,
        ..GatewayConfig::forward_to(lab.backend_address(9000))
    };
    let gateway = gateway.start(lab)?;
    for (count, (server_name, key_types)) in (1..).zip(DOMAINS) {
        let client = ClientOptions { server_name, ..ClientOptions::default() }.start(lab)?;
        // It believes no certificate of another name.
        exchange(&lab.bind_program(&client)?, server_name.as_bytes())?;
        gateway.wait_for_count("handshakes_ok", count)?;
        client.wait_until_listed(1)?;
        let suites = client.ask(&["associations", "--json"])?;
        let expected = if key_types == [true] { "ECDHE_RSA" } else { "ECDHE_ECDSA" };
        ensure!(suites.contains(expected), "{server_name}: {suites}");
        client.terminate()?;
    }
    let mistaken = ClientOptions { server_name: "other.example", ..ClientOptions::default() };
    let mistaken = mistaken.start(lab)?;
    lab.bind_program(&mistaken)?.send(b"hello")?;
    gateway.wait_for_log("no identity has the server name that the client asks for", PATIENCE)?;
    mistaken.wait_for_log("an unauthenticated alert 112 was seen", PATIENCE)?;
    Ok(())
}
