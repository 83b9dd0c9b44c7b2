//! Gateways: their configuration, and starting one.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use xdtls_netlab::program;

use crate::lab::{Lab, OUTSIDE};
use crate::node::Node;

/// What a gateway is to do. The lab adds addresses, certificates and the datapath.
#[derive(Clone, Debug, Default)]
pub struct GatewayConfig {
    /// Worker threads; 0 leaves it to the gateway.
    pub workers: usize,
    /// Lines of `[gateway]`, besides those that the lab adds.
    pub lines: &'static str,
    /// Lines of `[forward]`, besides `default_backend`.
    pub forward: &'static str,
    /// Lines of `[limits]`.
    pub limits: &'static str,
    /// Lines of `[metrics]`.
    pub metrics: &'static str,
    /// The folder of the CA that clients need a certificate of, below the lab's; empty for the
    /// lab's own.
    pub client_authority: &'static str,
    /// Lines of `[clients]`, besides `ca`.
    pub clients: &'static str,
    /// More tables, behind all others.
    pub tables: String,
    /// What starts it: a program and arguments, to which the gateway's own command is added.
    pub wrapper: &'static [&'static str],
    /// Arguments besides those that the lab adds.
    pub arguments: &'static [&'static str],
    /// Names and addresses.
    pub backends: Vec<(&'static str, SocketAddr)>,
    /// Patterns of certificate names, and the backends that they lead to.
    pub rules: Vec<(&'static str, &'static str)>,
    /// The backend of those whom no rule matches.
    pub default_backend: Option<&'static str>,
}

impl GatewayConfig {
    /// Everybody goes to one backend.
    pub fn forward_to(backend: SocketAddr) -> Self {
        let backends = vec![("app", backend)];
        Self { workers: 1, backends, default_backend: Some("app"), ..Self::default() }
    }

    /// The same with these lines of `[limits]`.
    pub fn with_limits(self, limits: &'static str) -> Self {
        Self { limits, ..self }
    }

    fn to_toml(&self, lab: &Lab) -> Result<String, std::fmt::Error> {
        let mut toml = String::new();
        writeln!(toml, "[gateway]\nlisten = \"{}\"", lab.gateway_listens())?;
        toml += match lab.datapath() {
            "socket" => "datapath = \"socket\"\n",
            "xdp" => "datapath = \"xdp\"\n",
            _ => "datapath = \"xdp\"\ntransmit = \"xdp\"\n",
        };
        if lab.datapath() != "socket" {
            writeln!(toml, "interface = \"{OUTSIDE}\"")?;
            if !self.lines.contains("answer_hellos") {
                // The lab has a program at the other end, so that replies arrive.
                writeln!(toml, "answer_hellos = \"xdp\"")?;
            }
        }
        writeln!(toml, "{}", self.lines)?;
        if self.workers > 0 {
            writeln!(toml, "workers = {}", self.workers)?;
        }
        let certificate = "certificate = \"certs/gateway.pem\"\nkey = \"certs/gateway.key\"";
        let authority =
            if self.client_authority.is_empty() { "certs" } else { self.client_authority };
        writeln!(toml, "[[identity]]\n{certificate}\n[clients]\nca = \"{authority}/ca.pem\"")?;
        writeln!(toml, "{}", self.clients)?;
        writeln!(toml, "[limits]\n{}", self.limits)?;
        for (name, address) in &self.backends {
            writeln!(toml, "[[backend]]\nname = \"{name}\"\naddress = \"{address}\"")?;
        }
        for (pattern, backend) in &self.rules {
            writeln!(toml, "[[rule]]\ncertificate_name = \"{pattern}\"\nbackend = \"{backend}\"")?;
        }
        writeln!(toml, "[forward]\n{}", self.forward)?;
        if let Some(backend) = self.default_backend {
            writeln!(toml, "default_backend = \"{backend}\"")?;
        }
        writeln!(toml, "[admin]\nsocket = \"gateway.sock\"")?;
        writeln!(toml, "[metrics]\n{}", self.metrics)?;
        toml += &self.tables;
        Ok(toml)
    }

    /// Writes the gateway's configuration, for it to start with or to read again.
    pub fn write(&self, lab: &Lab) -> Result<PathBuf> {
        let file = lab.folder().join("gateway.toml");
        std::fs::write(&file, self.to_toml(lab)?)?;
        Ok(file)
    }

    /// The command that starts a gateway in the lab.
    pub fn command(&self, lab: &Lab) -> Result<Command> {
        let xdtls = program("xdtls")?;
        let mut command = match self.wrapper {
            [] => lab.gateway.command(xdtls),
            [first, others @ ..] => {
                let mut command = lab.gateway.command(first);
                command.args(others).arg(xdtls);
                command
            }
        };
        command.args(["gateway", "--config"]).arg(self.write(lab)?).args(self.arguments);
        Ok(command)
    }

    /// Starts another gateway where clients are otherwise, so that two face each other.
    pub fn start_facing(&self, lab: &Lab) -> Result<Node> {
        lab.free_client_interface();
        let (file, socket) = (lab.folder().join("facing.toml"), lab.folder().join("facing.sock"));
        std::fs::write(&file, self.to_toml(lab)?.replace("gateway.sock", "facing.sock"))?;
        let mut command = lab.client.command(program("xdtls")?);
        command.args(["gateway", "--config"]).arg(file);
        Node::start("facing gateway".to_owned(), command, socket, lab.journal())
    }

    /// Starts a gateway in the lab. A second one takes the place of the first, once that has ended.
    pub fn start(&self, lab: &Lab) -> Result<Node> {
        let command = self.command(lab)?;
        let socket = lab.folder().join("gateway.sock");
        Node::start("gateway".to_owned(), command, socket, lab.journal())
    }
}
