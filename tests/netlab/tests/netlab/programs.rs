//! The UDP programs across the lab, and what runs them.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xdtls_netlab::{Process, program};

use crate::lab::{ECHO, Lab, PATIENCE, ensure_gone, listening, report};

const GARBAGE: &str = env!("CARGO_BIN_EXE_udp-garbage");
const SHIM: &str = env!("CARGO_BIN_EXE_prefix-shim");

pub(crate) fn everything_comes_back_across_a_veth() -> Result<()> {
    let lab = Lab::ipv4()?;
    let links = lab.near.ip(&["-o", "-details", "link", "show", "dev", "near"])?;
    ensure!(links.contains("numrxqueues 2") && links.contains("numtxqueues 2"), "{links}");
    let arguments = ["--count", "5000", "--sizes", "0-1400", "--sockets", "5", "--seed", "3"];
    let finished = lab.probe(&arguments)?;
    ensure!(finished.status.success(), "{finished}");
    let probed = report(&finished)?;
    ensure!(probed["sent"] == 5000 && probed["echoed"] == 5000, "{probed}");
    ensure!(probed["bytes_sent"] == probed["bytes_echoed"], "{probed}");
    for nothing in ["lost", "altered", "unexpected"] {
        ensure!(probed[nothing] == 0, "{probed}");
    }
    ensure!(probed["rtt_us_p99"].as_u64() >= probed["rtt_us_p50"].as_u64(), "{probed}");
    let names = lab.names();
    let Lab { near, far, echo, .. } = lab;
    let ended = echo.terminate(PATIENCE)?;
    ensure!(ended.status.success(), "{ended}");
    let expected = json!({ "received": 5000, "bytes": probed["bytes_sent"] });
    ensure!(report(&ended)? == expected, "{ended}\nexpected {expected}");
    drop((near, far));
    ensure_gone(&names)
}

pub(crate) fn ipv6_works_too() -> Result<()> {
    let lab = Lab::new("fd00:9::1/64", "fd00:9::2/64", &[])?;
    let started = Instant::now();
    let finished = lab.probe(&["--count", "300", "--sizes", "0-64", "--rate", "1000", "--json"])?;
    ensure!(finished.status.success(), "{finished}");
    ensure!(started.elapsed() >= Duration::from_millis(299), "the rate is not kept");
    lab.far.add_address("far", "10.9.1.2/24")?;
    let addresses = lab.far.run("ip", &["-o", "address"])?;
    ensure!(addresses.contains("10.9.1.2/24") && !addresses.contains("fe80"), "{addresses}");
    Ok(())
}

pub(crate) fn losses_are_counted() -> Result<()> {
    // What comes back with a name before it is of a size that was never sent.
    let mut lab = Lab::new("10.9.0.1/24", "10.9.0.2/24", &["--prefix-name", "far"])?;
    let few = ["--count", "6", "--sizes", "16-16", "--timeout", "0.2"];
    let finished = lab.probe(&few)?;
    let probed = report(&finished)?;
    ensure!(finished.status.code() == Some(1), "{finished}");
    ensure!(probed["lost"] == 6 && probed["unexpected"] == 6, "{probed}");
    lab.echo.signal(rustix::process::Signal::STOP)?;
    let finished = lab.probe(&few)?;
    let probed = report(&finished)?;
    ensure!(finished.status.code() == Some(1), "{finished}");
    ensure!(probed["sent"] == 6 && probed["lost"] == 6 && probed["unexpected"] == 0, "{probed}");
    Ok(())
}

pub(crate) fn each_bad_packet_arrives() -> Result<()> {
    let lab = Lab::ipv4()?;
    let mut command = lab.near.command(GARBAGE);
    command.args(["--target", &lab.target, "--seed", "9"]);
    let finished = Process::spawn("udp-garbage", command)?.wait(PATIENCE)?;
    ensure!(finished.status.success(), "{finished}");
    let kinds = report(&finished)?;
    let kinds = kinds.as_object().context("an object")?;
    ensure!(kinds.len() == 5 && kinds.values().all(|count| count.as_u64() > Some(0)), "{kinds:?}");
    let sent: u64 = kinds.values().filter_map(Value::as_u64).sum();
    let ended = lab.echo.terminate(PATIENCE)?;
    ensure!(report(&ended)?["received"] == sent, "{sent} sent, {ended}");
    Ok(())
}

pub(crate) fn the_shim_adds_and_strips_prefixes() -> Result<()> {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let (gateway, client) = (UdpSocket::bind(loopback)?, UdpSocket::bind(loopback)?);
    for socket in [&gateway, &client] {
        socket.set_read_timeout(Some(PATIENCE))?;
    }
    let mut command = Command::new(SHIM);
    command.args(["--listen", "127.0.0.1:0", "--client-id", "c0ffee"]);
    command.args(["--gateway", &gateway.local_addr()?.to_string()]);
    let shim = Process::spawn("prefix-shim", command)?;
    client.connect(listening(&shim)?)?;
    let mut buffer = [0; 100];
    client.send(b"hello")?;
    let (length, shim_address) = gateway.recv_from(&mut buffer)?;
    ensure!(buffer[..length] == *b"\x00\xc0\xff\xee\0\0\0\0hello", "{:?}", &buffer[..length]);
    gateway.send_to(b"\0\0\0\x05\0\0\0\x06for another", shim_address)?;
    gateway.send_to(b"\0\0\0\x05\x00\xc0\xff\xeeflight", shim_address)?;
    let length = client.recv(&mut buffer)?;
    ensure!(buffer[..length] == *b"flight", "{:?}", &buffer[..length]);
    client.send(b"")?;
    let (length, _) = gateway.recv_from(&mut buffer)?;
    ensure!(buffer[..length] == *b"\x00\xc0\xff\xee\0\0\0\x05", "{:?}", &buffer[..length]);
    let ended = shim.terminate(PATIENCE)?;
    ensure!(ended.status.success(), "{ended}");
    let expected =
        json!({ "clients": 1, "to_gateway": 2, "to_clients": 1, "ignored": 1, "lost": 0 });
    ensure!(report(&ended)? == expected, "{ended}");
    Ok(())
}

pub(crate) fn output_is_kept_and_termination_forced() -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' TERM; echo out; echo err >&2; while :; do sleep 0.01; done"]);
    let stubborn = Process::spawn("stubborn", command)?;
    stubborn.wait_for_line("out", PATIENCE)?;
    stubborn.wait_for_line("err", PATIENCE)?;
    let error = stubborn.wait_for_line("never", Duration::from_millis(50));
    let error = error.err().context("it has never printed that")?;
    ensure!(format!("{error:#}").contains("1| out"), "{error:#}");
    let ended = stubborn.terminate(Duration::from_millis(100))?;
    ensure!(!ended.status.success() && ended.last_stdout_line() == Some("out"), "{ended}");
    let brief = Process::spawn("brief", Command::new("true"))?;
    let error = brief.wait_for_line("never", PATIENCE).err().context("it prints nothing")?;
    ensure!(format!("{error:#}").contains("its output has ended"), "{error:#}");
    Ok(())
}

pub(crate) fn are_found_beside_the_tests() -> Result<()> {
    ensure!(program("udp-echo")? == Path::new(ECHO));
    ensure!(program("no-such-program").is_err());
    Ok(())
}
