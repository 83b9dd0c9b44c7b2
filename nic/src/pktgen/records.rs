//! Valid records of an established association: a client of ours seals them, because a generator
//! in the kernel cannot.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use xdtls_netlab::{Process, program};

use crate::load::ask;

/// How long client and association may take.
const PATIENCE: Duration = Duration::from_secs(30);

const LOOK: Duration = Duration::from_millis(20);

/// How many datagrams the client may be behind: its socket holds them.
const AHEAD: u64 = 64;

/// What a client needs to be let in.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) server_name: String,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) ca: PathBuf,
}

/// A client with an established association.
pub(super) struct Client {
    _process: Process,
    folder: TempDir,
    program: UdpSocket,
}

impl Client {
    /// Starts it and waits until its association stands.
    pub(super) fn start(gateway: SocketAddr, credentials: &Credentials) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("xdtls-pktgen-").tempdir()?;
        let socket = folder.path().join("client.sock");
        let mut command = Command::new(program("xdtls")?);
        command.args(["connect", "--listen", "127.0.0.1:0", "--gateway", &gateway.to_string()]);
        command.args(["--server-name", &credentials.server_name, "--admin-socket"]).arg(&socket);
        for (option, file) in [
            ("--certificate", &credentials.certificate),
            ("--key", &credentials.key),
            ("--ca", &credentials.ca),
        ] {
            command.arg(option).arg(file);
        }
        command.env("NO_COLOR", "1").env("XDTLS_LOG", "info");
        let process = Process::spawn("xdtls connect", command)?;
        process.wait_for_line("ready", PATIENCE)?;
        let program = UdpSocket::bind("127.0.0.1:0")?;
        let client = Self { _process: process, folder, program };
        let deadline = Instant::now() + PATIENCE;
        let address = loop {
            let status = ask(&client.socket());
            if let Some(address) = status.ok().and_then(|it| it["address"].as_str()?.parse().ok()) {
                break address;
            }
            ensure!(Instant::now() < deadline, "the client does not answer");
            sleep(LOOK);
        };
        client.program.connect::<SocketAddr>(address)?;
        // The datagram that opens the association is not part of what is counted.
        client.program.send(b"open")?;
        while client.sealed()? == 0 {
            ensure!(
                Instant::now() < deadline,
                "no association could be established with {gateway}"
            );
            sleep(LOOK);
        }
        Ok(client)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("client.sock")
    }

    /// How many records it has sealed.
    pub(super) fn sealed(&self) -> Result<u64> {
        ask(&self.socket())?["sealed"].as_u64().context("the client does not tell what it sealed")
    }

    /// Has it seal `count` datagrams of `size` bytes, at most `rate` a second if that is not 0.
    /// Returns how many it has sealed.
    pub(super) fn send(&self, count: u64, size: usize, rate: u64) -> Result<u64> {
        let (before, begin) = (self.sealed()?, Instant::now());
        let content = vec![0x5a; size];
        let mut sent = 0;
        while sent < count {
            let due = match rate {
                0 => count,
                rate => count.min(1 + (begin.elapsed().as_secs_f64() * rate as f64) as u64),
            };
            let batch = due.saturating_sub(sent).min(AHEAD);
            for _ in 0..batch {
                self.program.send(&content).context("the client takes no datagrams")?;
            }
            sent += batch;
            self.wait_for(before + sent)?;
        }
        Ok(self.sealed()? - before)
    }

    /// Waits until it has sealed so many; what its socket has lost never comes.
    fn wait_for(&self, sealed: u64) -> Result<()> {
        let (mut last, mut quiet) = (0, Instant::now());
        loop {
            let now = self.sealed()?;
            if now >= sealed || quiet.elapsed() > Duration::from_millis(500) {
                return Ok(());
            }
            if now != last {
                (last, quiet) = (now, Instant::now());
            }
        }
    }
}
