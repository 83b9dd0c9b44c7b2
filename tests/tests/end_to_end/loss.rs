//! Handshakes where much is lost.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};
use xdtls_netlab::{Process, program};
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, PATIENCE, eventually, listening, report};

/// One program for each association.
const PROGRAMS: usize = 20;

/// How long a program waits for its answer before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How long it may take: attempts double their time-outs, and the gateway's limits make some wait.
const LOSS_PATIENCE: Duration = Duration::from_secs(90);

/// ```text
///   program 1 ──┐
///      …        ├─ xdtls connect ── udp-relay ═══ xdtls gateway ─── udp-echo
///   program 20 ─┘                   loses 20 % in each direction
/// ```
pub(crate) fn twenty_programs_get_through_a_bad_road(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let mut command = lab.client.command(program("udp-relay")?);
    command.args(["--listen", &lab.family().loopback().to_string()]);
    command.args(["--target", &lab.gateway_address().to_string()]);
    command.args(["--drop", "20", "--seed", "13"]);
    let relay = Process::spawn("udp-relay", command)?;
    let road = Some(listening(&relay)?.parse()?);
    let client = ClientOptions { gateway: road, ..ClientOptions::default() }.start(lab)?;
    let programs = (0..PROGRAMS).map(|_| lab.bind_program(&client)).collect::<Result<Vec<_>>>()?;
    let mut waiting: Vec<_> = programs.iter().enumerate().collect();
    eventually("every program has its answer", LOSS_PATIENCE, || {
        let mut still = Vec::new();
        for (number, program) in waiting.drain(..) {
            if !asks(program, &format!("program {number}"))? {
                still.push((number, program));
            }
        }
        waiting = still;
        Ok(waiting.is_empty().then_some(()))
    })?;
    let all = PROGRAMS as u64;
    client.wait_for_associations(all)?;
    // It may keep more: ends whose client gave up just before it would have been answered.
    gateway.wait_until("all of them", |status| status.associations() >= all)?;
    let report = report(&relay.terminate(PATIENCE)?)?;
    ensure!(report["lost"].as_u64() > Some(0), "nothing was lost: {report}");
    Ok(())
}

/// Whether an answer comes; a wrong one is an error.
fn asks(program: &UdpSocket, question: &str) -> Result<bool> {
    program.set_read_timeout(Some(ASK_AGAIN))?;
    program.send(question.as_bytes())?;
    let mut buffer = [0; 100];
    let Ok(length) = program.recv(&mut buffer) else { return Ok(false) };
    ensure!(buffer[..length] == *question.as_bytes(), "{question}: a wrong answer");
    Ok(true)
}
