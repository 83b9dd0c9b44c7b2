//! `openssl s_client` and `gnutls-cli`, with the arguments that all tests give them.

use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};

use anyhow::{Context, Result};
use xdtls_netlab::{Finished, Process};

use crate::lab::{Lab, PATIENCE, PORT};

/// The name that the gateway's certificate is verified for.
const SERVER_NAME: &str = "gateway";

/// Everything that GnuTLS has, with DTLS 1.2 only.
pub(crate) const PRIORITY: &str = "NORMAL:-VERS-ALL:+VERS-DTLS1.2";

/// `openssl s_client`, which verifies the gateway, without a certificate of its own.
pub(crate) fn openssl(lab: &Lab<'_>) -> Command {
    let mut command = lab.command("openssl");
    command.args(["s_client", "-dtls1_2", "-connect", &format!("127.0.0.1:{PORT}")]);
    command.args(["-verify_return_error", "-verify_hostname", SERVER_NAME]);
    command.arg("-CAfile").arg(lab.certificates.trusted("ca.pem"));
    command
}

/// The same with the trusted client certificate.
pub(crate) fn known_openssl(lab: &Lab<'_>) -> Command {
    let mut command = openssl(lab);
    command.arg("-cert").arg(lab.certificates.trusted("client.pem"));
    command.arg("-key").arg(lab.certificates.trusted("client.key"));
    command
}

/// `gnutls-cli`, which verifies the gateway, without a certificate of its own.
pub(crate) fn gnutls(lab: &Lab<'_>, priority: &str) -> Command {
    let mut command = lab.command("gnutls-cli");
    command.args(["--udp", "127.0.0.1", "--port", PORT, "--priority", priority]);
    command.args(["--verify-hostname", SERVER_NAME]);
    command.arg("--x509cafile").arg(lab.certificates.trusted("ca.pem"));
    command
}

/// The same with the trusted client certificate.
pub(crate) fn known_gnutls(lab: &Lab<'_>, priority: &str) -> Command {
    let mut command = gnutls(lab, priority);
    command.arg("--x509certfile").arg(lab.certificates.trusted("client.pem"));
    command.arg("--x509keyfile").arg(lab.certificates.trusted("client.key"));
    command
}

/// A running client that one can talk through.
pub(crate) struct Client {
    process: Process,
    stdin: ChildStdin,
}

impl Client {
    /// Starts it.
    pub(crate) fn spawn(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped());
        let mut process = Process::spawn("client", command)?;
        let stdin = process.stdin().context("the client has no standard input")?;
        Ok(Self { process, stdin })
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        // One write: s_client looks for its commands at the beginning of what one read returns.
        self.stdin.write_all(format!("{line}\n").as_bytes()).context("the client reads no more")
    }

    /// Waits for a line that it prints.
    pub(crate) fn hear(&self, pattern: &str) -> Result<String> {
        self.process.wait_for_line(pattern, PATIENCE)
    }

    /// All that it has printed so far.
    pub(crate) fn heard(&self) -> String {
        self.process.lines().iter().map(|line| format!("{line}\n")).collect()
    }

    /// Types a line and waits until it comes back from the backend.
    pub(crate) fn exchange(&mut self, line: &str) -> Result<()> {
        self.say(line)?;
        self.hear(line)?;
        Ok(())
    }

    /// Ends its input.
    pub(crate) fn close(self) -> Closed {
        Closed(self.process)
    }

    /// Waits until it ends by itself, though its input goes on.
    pub(crate) fn wait(self) -> Result<Finished> {
        self.process.wait(PATIENCE)
    }
}

/// A client without input.
pub(crate) struct Closed(Process);

impl Closed {
    /// Waits until it ends by itself.
    pub(crate) fn wait(self) -> Result<Finished> {
        self.0.wait(PATIENCE)
    }
}
