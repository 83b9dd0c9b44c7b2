//! What has a bound is refused beyond it, counted, and harms nothing within it.

use std::net::UdpSocket;

use anyhow::{Result, ensure};
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, exchange, expect};

/// ```text
///   program A ──┐
///   program B ──┴─ xdtls connect --max-associations 2 ═══ xdtls gateway ─── udp-echo
///   program C ──✗
/// ```
pub(crate) fn one_program_too_many_is_refused(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let arguments = &["--max-associations", "2"];
    let client = ClientOptions { arguments, ..ClientOptions::default() }.start(lab)?;
    let (a, b) = (lab.bind_program(&client)?, lab.bind_program(&client)?);
    exchange(&a, b"a")?;
    exchange(&b, b"b")?;
    let c = lab.bind_program(&client)?;
    for _ in 0..3 {
        c.send(b"c")?;
    }
    let status = client.wait_until("C's are counted", |s| s.dropped("local_limit") == 3)?;
    ensure!(status.drops().len() == 1, "{status}");
    exchange(&a, b"a again")?;
    exchange(&b, b"b again")?;
    ensure!(gateway.wait_for_associations(2)?.count("handshakes_ok")? == 2);
    Ok(())
}

/// ```text
///   program A ──┐                    limits.backend_flows = 1
///   program B ──┴─ xdtls connect ═══ xdtls gateway ─┬─ flow of A ── udp-echo
///                                                   ✗  flow of B
/// ```
pub(crate) fn one_backend_flow_too_many_is_refused(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = config.with_limits("backend_flows = 1").start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let (a, b) = (lab.bind_program(&client)?, lab.bind_program(&client)?);
    exchange(&a, b"a")?;
    for _ in 0..3 {
        b.send(b"b")?;
    }
    let status = gateway.wait_until("B's are counted", |s| s.dropped("flow_limit") == 3)?;
    ensure!(status.drops().len() == 1 && status.associations() == 2, "{status}");
    exchange(&a, b"a again")
}

/// ```text
///   program ── 20 datagrams ──▶ xdtls connect ═══ xdtls gateway, which comes later ─── backend
///                               16 wait, 4 do not
/// ```
pub(crate) fn sixteen_datagrams_wait_for_an_association(lab: &Lab) -> Result<()> {
    let backend = lab.bind_backend(9000)?;
    let client = ClientOptions::default().start(lab)?;
    let program: UdpSocket = lab.bind_program(&client)?;
    let datagrams: Vec<_> = (0..20).map(|number| format!("number {number}")).collect();
    for datagram in &datagrams {
        program.send(datagram.as_bytes())?;
    }
    let full = "connect_queue_full";
    let status = client.wait_until("four find no room", |status| status.dropped(full) == 4)?;
    ensure!(status.associations() == 0, "{status}");
    let _gateway = GatewayConfig::forward_to(backend.local_addr()?).start(lab)?;
    for datagram in &datagrams[..16] {
        expect(&backend, datagram.as_bytes())?;
    }
    program.send(b"next")?;
    expect(&backend, b"next")?;
    let status = client.status()?;
    ensure!(status.drops() == [(full.to_owned(), 4)].into(), "{status}");
    Ok(())
}
