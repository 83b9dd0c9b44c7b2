//! The topology of the tests and what they ask of it.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xdtls_netlab::{Finished, Netns, Process, Veth, capture};

pub(crate) const ECHO: &str = env!("CARGO_BIN_EXE_udp-echo");
const PROBE: &str = env!("CARGO_BIN_EXE_udp-probe");

/// Far longer than anything here takes on a machine that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Two joined namespaces with an echo in the far one.
pub(crate) struct Lab {
    pub(crate) near: Netns,
    pub(crate) far: Netns,
    pub(crate) echo: Process,
    pub(crate) target: String,
}

impl Lab {
    pub(crate) fn new(near_cidr: &str, far_cidr: &str, echo_arguments: &[&str]) -> Result<Self> {
        let (near, far) = (Netns::new("near")?, Netns::new("far")?);
        let veth = Veth::pair(&near, "near", near_cidr, &far, "far", far_cidr, 2)?;
        veth.disable_tx_offload()?;
        let (address, _) = far_cidr.split_once('/').context("far_cidr")?;
        let address = if address.contains(':') { &format!("[{address}]") } else { address };
        let mut command = far.command(ECHO);
        command.args(["--listen", &format!("{address}:0")]).args(echo_arguments);
        let echo = Process::spawn("udp-echo", command)?;
        let target = listening(&echo)?;
        Ok(Self { near, far, echo, target })
    }

    pub(crate) fn ipv4() -> Result<Self> {
        Self::new("10.9.0.1/24", "10.9.0.2/24", &[])
    }

    pub(crate) fn probe(&self, arguments: &[&str]) -> Result<Finished> {
        let mut command = self.near.command(PROBE);
        command.args(["--target", &self.target]).args(arguments);
        Process::spawn("udp-probe", command)?.wait(PATIENCE)
    }

    pub(crate) fn names(&self) -> [String; 2] {
        [self.near.name().to_owned(), self.far.name().to_owned()]
    }
}

/// The address that one of our programs says it listens on.
pub(crate) fn listening(process: &Process) -> Result<String> {
    let line = process.wait_for_line("listening on ", PATIENCE)?;
    Ok(line.trim_start_matches("listening on ").to_owned())
}

/// The JSON object that one of our programs ends with.
pub(crate) fn report(finished: &Finished) -> Result<Value> {
    let line = finished.last_stdout_line().with_context(|| format!("no report: {finished}"))?;
    serde_json::from_str(line).with_context(|| finished.to_string())
}

pub(crate) fn namespaces() -> Result<String> {
    capture(Command::new("ip").args(["netns", "list"]))
}

pub(crate) fn ensure_gone(names: &[String]) -> Result<()> {
    let listed = namespaces()?;
    for name in names {
        ensure!(!listed.contains(name.as_str()), "{name} is left behind:\n{listed}");
    }
    Ok(())
}

pub(crate) fn within_patience(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        ensure!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
