//! Clients in the world, each with a pair of addresses of its own.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use xdtls_netlab::{Process, program};

use super::stage::{PATIENCE, Stage, gateway_of, text};
use crate::lab::report::Probed;
use crate::load::ask;

/// A running `xdtls connect`.
pub(super) struct Client {
    process: Process,
    address: SocketAddr,
}

impl Client {
    /// Starts the client with this number.
    pub(super) fn start(stage: &Stage, number: u32) -> Result<Self> {
        let mut command = stage.world.command(program("xdtls")?);
        command.args(["connect", "--server-name", "gateway", "--listen", "127.0.0.1:0"]);
        command.args(["--gateway", &format!("{}:4433", gateway_of(number))]);
        let socket = stage.file(&format!("client-{number}.sock"));
        for (option, file) in [
            ("--certificate", stage.file("client.pem")),
            ("--key", stage.file("client.key")),
            ("--ca", stage.file("ca.pem")),
            ("--admin-socket", socket.clone()),
        ] {
            command.args([option, &text(&file)]);
        }
        command.env("NO_COLOR", "1");
        let process = Process::spawn("xdtls connect", command)?;
        process.wait_for_line("ready", PATIENCE)?;
        let status = ask(&socket)?;
        let address = status["address"].as_str().context("the client has no address")?.parse()?;
        Ok(Self { process, address })
    }

    /// Sends `count` datagrams of all sizes through it from `programs` ports, and compares what the
    /// echo returns.
    pub(super) fn probe(&self, stage: &Stage, count: u64, programs: u32) -> Result<Probed> {
        let mut command = stage.world.command(program("udp-probe")?);
        command.args(["--target", &self.address.to_string(), "--json", "--window", "16"]);
        command.args(["--sizes", "0-1400", "--timeout", "30", "--count", &count.to_string()]);
        command.args(["--sockets", &programs.to_string()]);
        let finished = Process::spawn("udp-probe", command)?.wait(5 * PATIENCE)?;
        let line = finished.last_stdout_line().with_context(|| format!("no report: {finished}"))?;
        serde_json::from_str(line).with_context(|| line.to_owned())
    }

    /// Ends it.
    pub(super) fn stop(self) -> Result<()> {
        let finished = self.process.terminate(PATIENCE)?;
        ensure!(finished.status.success(), "xdtls connect: {finished}");
        Ok(())
    }
}
