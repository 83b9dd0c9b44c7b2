//! Clients: their command line, and starting one.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use xdtls_netlab::program;

use crate::lab::Lab;
use crate::node::Node;

/// Which client to start. The lab adds addresses.
#[derive(Clone, Debug)]
pub struct ClientOptions<'a> {
    /// The folder of its certificate, below the lab's.
    pub certificates: &'a str,
    /// The name in its certificate.
    pub certificate: &'a str,
    /// The name that it expects of the gateway.
    pub server_name: &'a str,
    /// Where it believes the gateway to be; `None` for where it is.
    pub gateway: Option<SocketAddr>,
    /// The identity of a pre-shared key in the lab's `psk.txt`, to be used instead of a certificate.
    pub psk: Option<&'a str>,
    /// More arguments.
    pub arguments: &'a [&'a str],
    /// The user and group id that it runs as, root if `None`.
    pub user: Option<u32>,
}

impl Default for ClientOptions<'_> {
    fn default() -> Self {
        Self {
            certificates: "certs",
            certificate: "client",
            server_name: "gateway",
            gateway: None,
            psk: None,
            arguments: &[],
            user: None,
        }
    }
}

impl ClientOptions<'_> {
    /// Starts a client in the lab. There may be several.
    pub fn start(&self, lab: &Lab) -> Result<Node> {
        if self.arguments.contains(&"--interface") {
            lab.free_client_interface();
        }
        let name = lab.next_client();
        let own = lab.folder().join(&name);
        self.settle(lab, &own)?;
        let socket = own.join("admin.sock");
        let mut command = self.command(lab, &own)?;
        let gateway = self.gateway.unwrap_or(lab.gateway_address());
        let listen = lab.family().loopback();
        command.args(["connect", "--gateway", &gateway.to_string()]);
        command.args(["--server-name", self.server_name, "--listen", &listen.to_string()]);
        if let Some(identity) = self.psk {
            command.args(["--psk-identity", identity, "--psk-file"]);
            command.arg(lab.folder().join("psk.txt"));
        } else {
            command.arg("--certificate").arg(own.join("client.pem"));
            command.arg("--key").arg(own.join("client.key"));
            command.arg("--ca").arg(own.join("ca.pem"));
        }
        command.arg("--admin-socket").arg(&socket).args(self.arguments);
        Node::start(name, command, socket, lab.journal())
    }

    /// Gives the client a folder of its own, with what it has to read.
    fn settle(&self, lab: &Lab, own: &Path) -> Result<()> {
        std::fs::create_dir(own)?;
        let certificate = lab.folder().join(self.certificates).join(self.certificate);
        let files = [
            (lab.folder().join("certs/ca.pem"), own.join("ca.pem")),
            (certificate.with_added_extension("pem"), own.join("client.pem")),
            (certificate.with_added_extension("key"), own.join("client.key")),
        ];
        for (from, to) in &files {
            std::fs::copy(from, to).with_context(|| from.display().to_string())?;
        }
        if let Some(id) = self.user {
            for path in files.iter().map(|(_, to)| to.as_path()).chain([own]) {
                chown(path, Some(id), Some(id))?;
            }
        }
        Ok(())
    }

    fn command(&self, lab: &Lab, own: &Path) -> Result<Command> {
        let xdtls: PathBuf = program("xdtls")?;
        let Some(id) = self.user else { return Ok(lab.client.command(xdtls)) };
        // The build may lie where only its owner can go.
        let copy = own.join("xdtls");
        std::fs::copy(xdtls, &copy)?;
        let id = id.to_string();
        let mut command = lab.client.command("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--no-new-privs"]);
        command.args(["--inh-caps=-all", "--bounding-set=-all", "--pdeathsig", "KILL", "--"]);
        command.arg(copy);
        Ok(command)
    }
}
