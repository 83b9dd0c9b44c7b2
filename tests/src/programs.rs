//! Talking like a UDP program, and reading what UDP programs report.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xdtls_netlab::{Finished, Process};

use crate::wait::PATIENCE;

/// No datagram is larger.
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// What `udp-probe` has found.
#[derive(Debug)]
pub struct Probed {
    /// Whether every datagram came back once and unaltered.
    pub clean: bool,
    /// Its report.
    pub report: Value,
}

impl Probed {
    /// Fails unless every one of `count` datagrams came back once and unaltered.
    pub fn ensure_clean(&self, count: u64) -> Result<()> {
        let all = self.clean && self.report["echoed"] == count;
        ensure!(all, "not all of {count} came back: {}", self.report);
        Ok(())
    }
}

/// Sends a datagram to an echo and waits for it to come back.
pub fn exchange(program: &UdpSocket, datagram: &[u8]) -> Result<()> {
    program.send(datagram)?;
    expect(program, datagram)
}

/// Waits for the next datagram: its length and where it comes from. A receive with a time limit ends
/// early when the process is stopped and continued (signal(7)), as machines do that are paused.
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    loop {
        match socket.recv_from(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Fails unless the next datagram is this one.
pub fn expect(socket: &UdpSocket, datagram: &[u8]) -> Result<()> {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let what = || format!("expected {}", datagram.escape_ascii());
    let (length, _) = receive(socket, &mut buffer).with_context(what)?;
    ensure!(buffer[..length] == *datagram, "{}, got {}", what(), buffer[..length].escape_ascii());
    Ok(())
}

/// The address that one of the lab's programs says it listens on.
pub fn listening(process: &Process) -> Result<String> {
    let line = process.wait_for_line("listening on ", PATIENCE)?;
    Ok(line.trim_start_matches("listening on ").to_owned())
}

/// The JSON object that one of the lab's programs ends with.
pub fn report(finished: &Finished) -> Result<Value> {
    let line = finished.last_stdout_line().with_context(|| format!("no report: {finished}"))?;
    serde_json::from_str(line).with_context(|| finished.to_string())
}
