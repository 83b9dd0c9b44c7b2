//! The stage: lab, certificates and configuration, and each program's command line.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use xdtls_netlab::{Process, capture};

use super::lab::{self, Lab};
use super::report::Status;
use super::{Datapath, cmd};

const ADMIN_SOCKET: &str = "gateway.sock";

/// After how many seconds without an answer the probe takes a datagram for lost.
const LOST_AFTER_S: &str = "10";

/// How long `xdtls status` may take.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// The lab and the files, from which the commands are made.
pub(super) struct Stage {
    lab: Lab,
    folder: TempDir,
}

impl Stage {
    /// Makes everything that the programs need.
    pub(super) fn new(datapath: Datapath) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("xdtls-demo-").tempdir()?;
        let mut certificates = Command::new(program("xdtls"));
        capture(certificates.args(["dev-certs", "--days", "1", "--out"]).arg(folder.path()))?;
        fs::write(folder.path().join("gateway.toml"), configuration(datapath))
            .context("cannot write the gateway's configuration")?;
        Ok(Self { lab: Lab::new()?, folder })
    }

    pub(super) fn echo(&self) -> Command {
        let mut command = self.lab.backend.command(program("udp-echo"));
        command.args(["--listen", lab::BACKEND]);
        command
    }

    pub(super) fn gateway(&self) -> Command {
        let mut command = self.lab.gateway.command(program("xdtls"));
        command.args(["gateway", "--config"]).arg(self.file("gateway.toml"));
        command
    }

    pub(super) fn client(&self) -> Command {
        let mut command = self.lab.client.command(program("xdtls"));
        command.args(["connect", "--gateway", lab::GATEWAY, "--server-name", "gateway"]);
        command.args(["--listen", lab::LOCAL]);
        for (option, file) in
            [("--certificate", "client.pem"), ("--key", "client.key"), ("--ca", "ca.pem")]
        {
            command.arg(option).arg(self.file(file));
        }
        command
    }

    /// Each source port counts as a program of its own.
    pub(super) fn probe(&self, packets: u64, programs: u64) -> Command {
        let mut command = self.lab.client.command(program("udp-probe"));
        command.args(["--target", lab::LOCAL, "--sizes", "0-1400", "--timeout", LOST_AFTER_S]);
        command.args(["--count", &packets.to_string(), "--sockets", &programs.to_string()]);
        command
    }

    pub(super) fn garbage(&self) -> Command {
        let mut command = self.lab.client.command(program("udp-garbage"));
        command.args(["--target", lab::GATEWAY]);
        command
    }

    pub(super) fn status(&self) -> Result<Status> {
        let mut command = Command::new(program("xdtls"));
        command.args(["status", "--json", "--socket"]).arg(self.file(ADMIN_SOCKET));
        let finished = Process::spawn("xdtls status", command)?.wait(STATUS_TIMEOUT)?;
        let line = finished.last_stdout_line().with_context(|| format!("no status: {finished}"))?;
        serde_json::from_str(line).with_context(|| format!("the status lacks something: {line}"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn configuration(datapath: Datapath) -> String {
    format!(
        r#"[gateway]
listen = "{gateway}"
datapath = "{datapath}"
interface = "{outside}"

[[identity]]
certificate = "gateway.pem"
key = "gateway.key"

[clients]
ca = "ca.pem"

[[backend]]
name = "echo"
address = "{backend}"

[forward]
default_backend = "echo"

[admin]
socket = "{ADMIN_SOCKET}"
"#,
        gateway = lab::GATEWAY,
        outside = lab::OUTSIDE,
        backend = lab::BACKEND,
    )
}

/// A program of the release build.
fn program(name: &str) -> PathBuf {
    cmd::target_dir().join("release").join(name)
}
