//! The bad road between a client and a server.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use xdtls_netlab::Process;

use crate::lab::{PATIENCE, listening, report};

const RELAY: &str = env!("CARGO_BIN_EXE_udp-relay");

/// Long enough for a datagram to come that should not.
const SILENCE: Duration = Duration::from_millis(200);

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn start(server: &UdpSocket, percent: &str) -> Result<Process> {
    start_with(server, &["--drop", percent])
}

fn start_with(server: &UdpSocket, arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(RELAY);
    command.args(["--listen", "127.0.0.1:0"]).args(arguments);
    command.args(["--target", &server.local_addr()?.to_string()]);
    Process::spawn("udp-relay", command)
}

pub(crate) fn passes_on_both_ways() -> Result<()> {
    let server = UdpSocket::bind(loopback())?;
    server.set_read_timeout(Some(PATIENCE))?;
    let relay = start(&server, "0")?;
    let address = listening(&relay)?;
    let mut sources = Vec::new();
    for name in ["first", "second"] {
        let client = UdpSocket::bind(loopback())?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.connect(&address)?;
        let mut buffer = [0; 10];
        client.send(name.as_bytes())?;
        let (length, source) = server.recv_from(&mut buffer)?;
        ensure!(buffer[..length] == *name.as_bytes());
        server.send_to(&[], source)?;
        ensure!(client.recv(&mut buffer)? == 0);
        sources.push(source);
    }
    ensure!(sources[0] != sources[1], "two clients have one port: {sources:?}");
    let ended = relay.terminate(PATIENCE)?;
    ensure!(report(&ended)? == json!({ "passed": 4, "lost": 0, "rebound": 0 }), "{ended}");
    Ok(())
}

pub(crate) fn takes_orders() -> Result<()> {
    let server = UdpSocket::bind(loopback())?;
    server.set_read_timeout(Some(PATIENCE))?;
    let mut command = Command::new(RELAY);
    command.args(["--listen", "127.0.0.1:0"]).stdin(Stdio::piped());
    command.args(["--target", &server.local_addr()?.to_string()]);
    let mut relay = Process::spawn("udp-relay", command)?;
    let client = UdpSocket::bind(loopback())?;
    client.connect(listening(&relay)?)?;
    let mut stdin = relay.stdin().context("standard input")?;
    let mut order = |order: &str| -> Result<()> {
        writeln!(stdin, "{order}")?;
        relay.wait_for_line(&format!("done: {order}"), PATIENCE).map(drop)
    };
    let mut buffer = [0; 10];
    client.send(b"before")?;
    let (_, before) = server.recv_from(&mut buffer)?;
    order("rebind")?;
    client.send(b"after")?;
    let (_, after) = server.recv_from(&mut buffer)?;
    ensure!(before != after, "the source is still {after}");
    order("drop 100")?;
    client.send(b"lost")?;
    server.set_read_timeout(Some(SILENCE))?;
    ensure!(server.recv(&mut buffer).is_err(), "it has arrived");
    order("drop 0")?;
    client.send(b"last")?;
    server.set_read_timeout(Some(PATIENCE))?;
    ensure!(server.recv(&mut buffer)? == 4, "{}", buffer.escape_ascii());
    Ok(())
}

pub(crate) fn loses_what_it_shall_lose() -> Result<()> {
    let server = UdpSocket::bind(loopback())?;
    server.set_read_timeout(Some(SILENCE))?;
    let relay = start(&server, "100")?;
    let client = UdpSocket::bind(loopback())?;
    client.connect(listening(&relay)?)?;
    client.send(b"hello")?;
    ensure!(server.recv(&mut [0; 10]).is_err(), "it has arrived");
    let ended = relay.terminate(PATIENCE)?;
    ensure!(report(&ended)? == json!({ "passed": 0, "lost": 1, "rebound": 0 }), "{ended}");
    Ok(())
}

pub(crate) fn forgets_ports_like_a_nat() -> Result<()> {
    let server = UdpSocket::bind(loopback())?;
    server.set_read_timeout(Some(PATIENCE))?;
    let relay = start_with(&server, &["--rebind-every", "2"])?;
    let client = UdpSocket::bind(loopback())?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.connect(listening(&relay)?)?;
    let mut sources = Vec::new();
    for _ in 0..4 {
        client.send(b"hello")?;
        let (_, source) = server.recv_from(&mut [0; 10])?;
        server.send_to(b"hello", source)?;
        ensure!(client.recv(&mut [0; 10])? == 5, "the answer comes back");
        sources.push(source);
    }
    let moves = sources.windows(2).map(|pair| pair[0] != pair[1]);
    ensure!(moves.eq([true, false, true]), "{sources:?}");
    let ended = relay.terminate(PATIENCE)?;
    ensure!(report(&ended)? == json!({ "passed": 8, "lost": 0, "rebound": 2 }), "{ended}");
    Ok(())
}
