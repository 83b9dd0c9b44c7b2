//! Backends that fail, and senders of nonsense.

use std::time::Duration;

use anyhow::{Result, ensure};
use xdtls_netlab::{Process, program};
use xdtls_tests::{
    ClientOptions, GatewayConfig, Lab, PATIENCE, eventually, exchange, expect, receive, report,
};

/// How long a program waits for its answer before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// ```text
///   program ─── xdtls connect ═══ xdtls gateway ─── udp-echo, killed, started again
///                                       ◀── ICMP: port unreachable
/// ```
pub(crate) fn a_backend_may_go_and_come_back(lab: &Lab) -> Result<()> {
    let echo = lab.start_echo(9000, None)?;
    let gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    exchange(&program, b"before")?;
    drop(echo);
    program.set_read_timeout(Some(ASK_AGAIN))?;
    eventually("refused datagrams are counted", PATIENCE, || {
        program.send(b"anybody there?")?;
        ensure!(program.recv(&mut [0; 100]).is_err(), "nobody was there, and yet an answer");
        Ok((gateway.status()?.dropped("inside_send") > 2).then_some(()))
    })?;
    let _echo = lab.start_echo(9000, None)?;
    program.set_read_timeout(Some(PATIENCE))?;
    // Not even the first may fall victim to an error that an earlier one has left behind.
    (0..20).try_for_each(|_| exchange(&program, b"after"))?;
    for node in [&gateway, &client] {
        let status = node.status()?;
        ensure!(status.associations() == 1 && status.count("handshakes_ok")? == 1, "{status}");
    }
    Ok(())
}

/// ```text
///   program ─── xdtls connect ═══ xdtls gateway ─── 10.2.0.2:9000, the backend
///                                                └─ 10.2.0.3, and another port of .2: strangers
/// ```
pub(crate) fn who_is_not_the_backend_is_not_heard(lab: &Lab) -> Result<()> {
    let backend = lab.bind_backend(9000)?;
    let gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    program.send(b"hello")?;
    let (_, flow) = receive(&backend, &mut [0; 100])?;
    lab.backend.add_address("inside", "10.2.0.3/24")?;
    let strangers = [lab.backend_address(9001), ([10, 2, 0, 3], 9000).into()];
    for stranger in strangers {
        lab.backend.bind_udp(stranger)?.send_to(b"from a stranger", flow)?;
    }
    backend.send_to(b"from the backend", flow)?;
    expect(&program, b"from the backend")?;
    ensure!(gateway.status()?.count("sealed")? == 1, "{}", gateway.status()?);
    Ok(())
}

/// ```text
///   udp-probe ─── xdtls connect ═══ xdtls gateway ─── udp-echo
///   udp-garbage ──────────────────────▶ dropped, by reason
/// ```
pub(crate) fn garbage_is_counted_and_disturbs_nobody(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = GatewayConfig { workers: 2, ..config }.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    // For as long as the garbage takes to come, and somewhat longer.
    let traffic = ["--sockets", "10", "--count", "1000", "--rate", "500", "--timeout", "25"];
    let (probed, garbage) = std::thread::scope(|scope| {
        let probe = scope.spawn(|| lab.probe(&client, &traffic));
        (probe.join(), send_garbage(lab))
    });
    probed.map_err(|_| anyhow::anyhow!("the probe panicked"))??.ensure_clean(1000)?;
    let sent: std::collections::BTreeMap<String, u64> = serde_json::from_value(garbage?)?;
    ensure!(sent.len() == 5, "{sent:?}");
    let total: u64 = sent.values().sum();
    let status = gateway.wait_until("all garbage is counted", |status| {
        status.drops().values().sum::<u64>() >= total
    })?;
    ensure!(status.drops() == sent, "sent {sent:?}: {status}");
    exchange(&lab.bind_program(&client)?, b"a new one")
}

fn send_garbage(lab: &Lab) -> Result<serde_json::Value> {
    let mut command = lab.client.command(program("udp-garbage")?);
    command.args(["--target", &lab.gateway_address().to_string()]);
    let finished = Process::spawn("udp-garbage", command)?.wait(PATIENCE)?;
    ensure!(finished.status.success(), "{finished}");
    report(&finished)
}
