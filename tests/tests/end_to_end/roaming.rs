//! Clients whose address changes, and associations that go on.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use xdtls_netlab::{Process, program};
use xdtls_tests::{
    ClientOptions, GatewayConfig, Lab, Node, OUTSIDE, PATIENCE, Status, eventually, expect,
    listening, receive, report,
};

/// Programs, and so associations.
const PROGRAMS: u64 = 8;

/// Datagrams of all programs, and how many pass before the address changes.
const DATAGRAMS: u64 = 4000;
const BEFORE_A_MOVE: u64 = 1000;

/// Hosts of the outside network where the client is in turn; it begins at 1.
const STATIONS: [u8; 3] = [1, 77, 78];

/// ```text
///   udp-probe ─── xdtls connect ═══ outside, 10.1.0.1, then .77, then .78 ═══ xdtls gateway
///   8 programs                                                                2 workers ─── udp-echo
/// ```
pub(crate) fn a_client_changes_its_address_in_mid_transfer(lab: &Lab) -> Result<()> {
    changes_its_address(lab, &[])
}

/// The same with a client that receives and transmits through AF_XDP.
pub(crate) fn a_client_on_xdp_changes_its_address(lab: &Lab) -> Result<()> {
    changes_its_address(lab, &["--datapath", "xdp", "--interface", OUTSIDE, "--transmit", "xdp"])
}

/// The same over IPv6.
pub(crate) fn a_client_changes_its_address_over_ipv6(lab: &Lab) -> Result<()> {
    changes_its_address(lab, &[])
}

fn changes_its_address(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = GatewayConfig { workers: 2, ..config }.start(lab)?;
    let client = ClientOptions { arguments, ..ClientOptions::default() }.start(lab)?;
    let (sockets, count) = (PROGRAMS.to_string(), DATAGRAMS.to_string());
    let transfer = ["--sockets", &sockets, "--count", &count, "--rate", "800", "--timeout", "2"];
    let (probed, begun) = std::thread::scope(|scope| {
        let probe = scope.spawn(|| lab.probe(&client, &transfer));
        let begun = moves(lab, &gateway, &client);
        Ok::<_, anyhow::Error>((probe.join().map_err(|_| anyhow!("the probe panicked"))??, begun?))
    })?;
    // What is under way while there is no address is lost, and nothing else.
    let echoed = probed.report["echoed"].as_u64().context("a count")?;
    ensure!(echoed > DATAGRAMS / 2 && probed.report["altered"] == 0, "{}", probed.report);
    let ended = [handshakes(&client)?, handshakes(&gateway)?];
    ensure!(ended == begun, "handshakes before and after: {begun:?}, {ended:?}");
    ensure!(client.status()?.associations() == PROGRAMS, "{}", client.status()?);
    goes_on_as_before(lab, &gateway, &client)
}

/// Lets the client go from station to station while its programs send. How many handshakes there
/// have been at either end when it left.
fn moves(lab: &Lab, gateway: &Node, client: &Node) -> Result<[u64; 2]> {
    client.wait_for_associations(PROGRAMS)?;
    gateway.wait_until("everybody is there", |status| status.associations() >= PROGRAMS)?;
    let begun = [handshakes(client)?, handshakes(gateway)?];
    for (stations, number) in STATIONS.windows(2).zip(1..) {
        let passed = |status: &Status| {
            status.count("opened").is_ok_and(|opened| opened >= number * BEFORE_A_MOVE)
        };
        gateway.wait_until("so many have passed", passed)?;
        lab.move_client(stations[0], stations[1])?;
        let host = lab.client_host(stations[1]);
        eventually("all have moved", PATIENCE, || {
            Ok((settled_at(gateway, host)? >= PROGRAMS).then_some(()))
        })?;
    }
    Ok(begun)
}

fn handshakes(node: &Node) -> Result<u64> {
    node.status()?.count("handshakes_ok")
}

/// How many associations the operator sees at this address, none of them on the move.
fn settled_at(gateway: &Node, host: IpAddr) -> Result<u64> {
    let page: Value = serde_json::from_str(&gateway.ask(&["associations", "--json"])?)?;
    let mut settled = 0;
    for association in page["associations"].as_array().context("a list")? {
        let address: SocketAddr = association["address"].as_str().context("an address")?.parse()?;
        settled += u64::from(address.ip() == host && association["new_address"].is_null());
    }
    Ok(settled)
}

/// Nothing is lost any more, and datagrams travel as they did before the move.
fn goes_on_as_before(lab: &Lab, gateway: &Node, client: &Node) -> Result<()> {
    const MORE: u64 = 1000;
    let before = gateway.status()?;
    lab.probe(client, &["--count", &MORE.to_string()])?.ensure_clean(MORE)?;
    let after = gateway.status()?;
    let more = |name: &str| -> Result<u64> { Ok(after.count(name)? - before.count(name)?) };
    if lab.datapath() != "socket" {
        // The handshake of one more program, and data until its worker has made it known.
        ensure!(more("fast_path")? > MORE - 100, "the fast path is lost: {after}");
    }
    if lab.datapath() == "xdp-transmit" {
        ensure!(more("fast_path_sent")? > MORE - 100, "the fast path is lost: {after}");
    }
    Ok(())
}

/// ```text
///   udp-probe ─── xdtls connect ─── udp-relay ═══════════════ xdtls gateway ─── udp-echo
///                                   another port with every
///                                   50th datagram
/// ```
///
/// One datagram is under way at a time, so that the relay has nothing to lose but what the gateway
/// sends to the wrong port: none.
pub(crate) fn a_forgetful_nat_costs_nothing(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let mut command = lab.client.command(program("udp-relay")?);
    command.args(["--listen", &lab.family().loopback().to_string()]);
    command.args(["--target", &lab.gateway_address().to_string(), "--rebind-every", "50"]);
    let relay = Process::spawn("udp-relay", command)?;
    let nat = Some(listening(&relay)?.parse()?);
    let client = ClientOptions { gateway: nat, ..ClientOptions::default() }.start(lab)?;
    lab.probe(&client, &["--count", "1000", "--window", "1"])?.ensure_clean(1000)?;
    for node in [&client, &gateway] {
        let status = node.status()?;
        ensure!(status.associations() == 1 && status.count("handshakes_ok")? == 1, "{status}");
        ensure!(status.dropped("unvalidated_path") == 0, "{status}");
    }
    let report = report(&relay.terminate(PATIENCE)?)?;
    let rebound = report["rebound"].as_u64().context("a count")?;
    let status = gateway.status()?;
    ensure!(rebound >= 20 && status.count("paths_validated")? >= rebound - 1, "{report} {status}");
    Ok(())
}

/// ```text
///   program, asks once ─── xdtls connect ═══ xdtls gateway ─── backend, answers on and on
///                          another address
/// ```
pub(crate) fn who_only_listens_is_found_again(lab: &Lab) -> Result<()> {
    let backend = lab.bind_backend(9000)?;
    let gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    program.send(b"tell me all")?;
    let (_, flow) = receive(&backend, &mut [0; 100])?;
    backend.send_to(b"before", flow)?;
    expect(&program, b"before")?;
    lab.move_client(STATIONS[0], STATIONS[1])?;
    gateway.wait_for_count("paths_validated", 1)?;
    for _ in 0..100 {
        backend.send_to(b"after", flow)?;
        expect(&program, b"after")?;
    }
    let status = gateway.status()?;
    ensure!(status.associations() == 1 && status.count("handshakes_ok")? == 1, "{status}");
    Ok(())
}
