//! Peers: two nodes with a link between them, at the lab's client and gateway.

use std::fmt::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use anyhow::{Context, Result};
use xdtls_netlab::{Netns, capture, program};

use crate::lab::{Lab, OUTSIDE};
use crate::node::Node;
use crate::wait::PATIENCE;

/// Port of both peers' outside.
const OUTSIDE_PORT: u16 = 4433;

/// Where a link's local programs send to, and where they hear from it, at both ends.
const LISTEN_PORT: u16 = 5001;
const DELIVER_PORT: u16 = 6001;

/// One end of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In the client's namespace.
    Alpha,
    /// In the gateway's namespace.
    Beta,
}

impl End {
    /// Both ends.
    pub const BOTH: [Self; 2] = [Self::Alpha, Self::Beta];

    /// What its certificate is made out to, and what the other end calls the link.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::Beta => "beta",
        }
    }

    /// The other end.
    pub fn other(self) -> Self {
        match self {
            Self::Alpha => Self::Beta,
            Self::Beta => Self::Alpha,
        }
    }

    fn netns(self, lab: &Lab) -> &Netns {
        match self {
            Self::Alpha => &lab.client,
            Self::Beta => &lab.gateway,
        }
    }

    fn outside(self, lab: &Lab) -> SocketAddr {
        let address = match self {
            Self::Alpha => lab.client_address(),
            Self::Beta => lab.gateway_address().ip(),
        };
        (address, OUTSIDE_PORT).into()
    }
}

/// How peers are configured.
#[derive(Clone, Debug, Default)]
pub struct PeerConfig {
    /// Worker threads.
    pub workers: usize,
    /// More tables of this end alone.
    pub tables: String,
    /// Where it believes its peer to be; `None` for where it is.
    pub towards: Option<SocketAddr>,
    /// Whom it expects there; `None` for whom there is.
    pub expects: Option<&'static str>,
}

impl PeerConfig {
    fn to_toml(&self, lab: &Lab, end: End) -> Result<String> {
        let (mut toml, name, other) = (String::new(), end.name(), end.other());
        writeln!(toml, "[gateway]\nlisten = \"0.0.0.0:{OUTSIDE_PORT}\"")?;
        writeln!(toml, "workers = {}", self.workers.max(1))?;
        toml += match lab.datapath() {
            "socket" => "datapath = \"socket\"\n",
            "xdp" => "datapath = \"xdp\"\n",
            _ => "datapath = \"xdp\"\ntransmit = \"xdp\"\n",
        };
        if lab.datapath() != "socket" {
            writeln!(toml, "interface = \"{OUTSIDE}\"\nanswer_hellos = \"xdp\"")?;
        }
        writeln!(toml, "[[identity]]\ncertificate = \"certs/{name}.pem\"")?;
        writeln!(toml, "key = \"certs/{name}.key\"\n[clients]\nca = \"certs/ca.pem\"")?;
        let expects = self.expects.unwrap_or(other.name());
        writeln!(toml, "[[peer]]\nname = \"{}\"\ncertificate_name = \"{expects}\"", other.name())?;
        let towards = self.towards.unwrap_or(other.outside(lab));
        writeln!(toml, "address = \"{towards}\"\nlisten = \"127.0.0.1:{LISTEN_PORT}\"")?;
        writeln!(toml, "deliver = \"127.0.0.1:{DELIVER_PORT}\"")?;
        writeln!(toml, "[admin]\nsocket = \"{name}.sock\"\n{}", self.tables)?;
        Ok(toml)
    }

    /// The command that starts one end.
    pub fn command(&self, lab: &Lab, end: End) -> Result<Command> {
        let file = lab.folder().join(format!("{}.toml", end.name()));
        std::fs::write(&file, self.to_toml(lab, end)?)?;
        let mut command = end.netns(lab).command(program("xdtls")?);
        command.args(["peer", "--config"]).arg(file);
        Ok(command)
    }

    /// Starts one end.
    pub fn start(&self, lab: &Lab, end: End) -> Result<Node> {
        let command = self.command(lab, end)?;
        let socket = lab.folder().join(format!("{}.sock", end.name()));
        Node::start(end.name().to_owned(), command, socket, lab.journal())
    }

    /// Starts both ends at once.
    pub fn start_both(&self, lab: &Lab) -> Result<[Node; 2]> {
        std::thread::scope(|scope| {
            let starting = End::BOTH.map(|end| scope.spawn(move || self.start(lab, end)));
            let mut started = starting.into_iter().map(|thread| {
                thread.join().ok().context("a thread that starts a peer has panicked")?
            });
            let mut next = || started.next().context("there are two ends")?;
            Ok([next()?, next()?])
        })
    }
}

/// Makes certificates of the lab's CA for both ends; what keeps a client's end ready for XDP gives way to theirs.
pub fn prepare_peers(lab: &Lab) -> Result<()> {
    lab.free_client_interface();
    let mut command = Command::new(program("xdtls")?);
    command.args(["dev-certs", "--force", "--out"]).arg(lab.folder().join("certs"));
    capture(command.args(End::BOTH.iter().flat_map(|end| ["--peer", end.name()])))?;
    Ok(())
}

/// A local program at one end, which is the test itself: sends to the link and hears from it.
pub fn bind_link_program(lab: &Lab, end: End) -> Result<UdpSocket> {
    let socket = end.netns(lab).bind_udp(([127, 0, 0, 1], DELIVER_PORT).into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(("127.0.0.1", LISTEN_PORT))?;
    Ok(socket)
}
