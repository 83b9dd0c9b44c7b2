//! The place of a test: three namespaces, a folder, certificates.

use std::fs::Permissions;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use tempfile::TempDir;
use xdtls_netlab::{Netns, Process, Veth, XdpPass, capture, program};

use crate::node::{Journal, Node};
use crate::programs::{Probed, listening, report};
use crate::wait::PATIENCE;

/// The interface between client and gateway, at both.
pub const OUTSIDE: &str = "outside";

/// The gateway's port.
const GATEWAY_PORT: u16 = 4433;

/// The clients that the lab has certificates for, besides `client`.
const NAMES: [&str; 2] = ["a.example", "b.example"];

/// The addresses that a lab uses everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 10.1.0.0/24 outside, 10.2.0.0/24 inside.
    V4,
    /// fd00:1::/64 outside, fd00:2::/64 inside.
    V6,
}

impl Family {
    fn host(self, net: u8, host: u8) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(10, net, 0, host).into(),
            Self::V6 => Ipv6Addr::new(0xfd00, net.into(), 0, 0, 0, 0, 0, host.into()).into(),
        }
    }

    fn cidr(self, net: u8, host: u8) -> String {
        let length = if self == Self::V4 { 24 } else { 64 };
        format!("{}/{length}", self.host(net, host))
    }

    fn any(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// Any port of the host itself.
    pub fn loopback(self) -> SocketAddr {
        match self {
            Self::V4 => (Ipv4Addr::LOCALHOST, 0).into(),
            Self::V6 => (Ipv6Addr::LOCALHOST, 0).into(),
        }
    }
}

/// Three namespaces in a row, a folder, and certificates in it.
pub struct Lab {
    /// Where local programs and `xdtls connect` run.
    pub client: Netns,
    /// Where `xdtls gateway` runs.
    pub gateway: Netns,
    /// Where backends run.
    pub backend: Netns,
    folder: TempDir,
    family: Family,
    datapath: &'static str,
    /// What lets a gateway on XDP send to the client's end, as long as no client brings its own.
    peer_program: Mutex<Option<XdpPass>>,
    clients: AtomicU32,
    journal: Journal,
}

impl Lab {
    /// Makes everything; gateways will use this datapath: `socket`, `xdp`, or `xdp-transmit`, which
    /// transmits through AF_XDP, too.
    pub fn new(family: Family, datapath: &'static str) -> Result<Self> {
        let (client, gateway) = (Netns::new("client")?, Netns::new("gateway")?);
        let backend = Netns::new("backend")?;
        let join = |left: &Netns, right: &Netns, name: &str, net: u8| {
            let (near, far) = (family.cidr(net, 1), family.cidr(net, 2));
            Veth::pair(left, name, &near, right, name, &far, 2)?.disable_tx_offload()
        };
        join(&client, &gateway, OUTSIDE, 1)?;
        join(&gateway, &backend, "inside", 2)?;
        let folder = tempfile::Builder::new().prefix("xdtls-e2e-").tempdir()?;
        // Clients may run as somebody else; what is secret in here has rights of its own.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let (clients, journal) = (AtomicU32::new(0), Journal::default());
        let peer_program = Mutex::new(match datapath {
            "socket" => None,
            _ => Some(client.pass_xdp(OUTSIDE)?),
        });
        let lab = Self {
            client,
            gateway,
            backend,
            folder,
            family,
            datapath,
            peer_program,
            clients,
            journal,
        };
        lab.issue_certificates("certs")?;
        Ok(lab)
    }

    /// Deletes the link between client and gateway.
    pub fn cut(&self) -> Result<()> {
        self.free_client_interface();
        self.gateway.ip(&["link", "delete", OUTSIDE]).map(drop)
    }

    /// Makes it anew.
    pub fn mend(&self) -> Result<()> {
        let (near, far) = (self.family.cidr(1, 1), self.family.cidr(1, 2));
        Veth::pair(&self.client, OUTSIDE, &near, &self.gateway, OUTSIDE, &far, 2)?
            .disable_tx_offload()?;
        if self.datapath != "socket" {
            let program = self.client.pass_xdp(OUTSIDE)?;
            *self.peer_program.lock().unwrap_or_else(PoisonError::into_inner) = Some(program);
        }
        Ok(())
    }

    /// Joins client and gateway once more, by interfaces called `detour`.
    pub fn add_detour(&self) -> Result<()> {
        let (near, far) = (self.family.cidr(3, 1), self.family.cidr(3, 2));
        Veth::pair(&self.client, "detour", &near, &self.gateway, "detour", &far, 1)?;
        Ok(())
    }

    /// Makes a CA of its own and certificates, in a folder below the lab's.
    pub fn issue_certificates(&self, folder: &str) -> Result<()> {
        let mut command = Command::new(program("xdtls")?);
        command.args(["dev-certs", "--out"]).arg(self.folder().join(folder));
        capture(command.args(NAMES.iter().flat_map(|name| ["--name", name])))?;
        Ok(())
    }

    /// The lab's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The family of all addresses.
    pub fn family(&self) -> Family {
        self.family
    }

    /// What gateways receive by: `socket`, or one of the others, which begin with `xdp`.
    pub fn datapath(&self) -> &'static str {
        self.datapath
    }

    /// Takes the XDP program at the client's end away, for a client's own or for none.
    pub fn free_client_interface(&self) {
        self.peer_program.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn journal(&self) -> Journal {
        self.journal.clone()
    }

    pub(crate) fn next_client(&self) -> String {
        format!("client-{}", self.clients.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn gateway_listens(&self) -> SocketAddr {
        (self.family.any(), GATEWAY_PORT).into()
    }

    /// Where clients reach the gateway.
    pub fn gateway_address(&self) -> SocketAddr {
        (self.family.host(1, 2), GATEWAY_PORT).into()
    }

    /// The client's host, as the gateway sees it.
    pub fn client_address(&self) -> IpAddr {
        self.family.host(1, 1)
    }

    /// Any host of the network between client and gateway.
    pub fn client_host(&self, host: u8) -> IpAddr {
        self.family.host(1, host)
    }

    /// Takes the client's address `from` away and gives it `to`.
    pub fn move_client(&self, from: u8, to: u8) -> Result<()> {
        let old = self.family.cidr(1, from);
        self.client.ip(&["address", "delete", &old, "dev", OUTSIDE])?;
        self.client.add_address(OUTSIDE, &self.family.cidr(1, to))
    }

    /// A port of the backend's host.
    pub fn backend_address(&self, port: u16) -> SocketAddr {
        (self.family.host(2, 2), port).into()
    }

    /// A backend that is the test itself.
    pub fn bind_backend(&self, port: u16) -> Result<UdpSocket> {
        let socket = self.backend.bind_udp(self.backend_address(port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    }

    /// A local program that is the test itself, and sends to this client.
    pub fn bind_program(&self, client: &Node) -> Result<UdpSocket> {
        self.program_of(client)()
    }

    /// Binds such programs, on another thread too.
    pub fn program_of(&self, client: &Node) -> impl Fn() -> Result<UdpSocket> + Send + use<> {
        let (netns, own, client) =
            (self.client.entrance(), self.family.loopback(), client.address());
        move || {
            let socket = netns.bind_udp(own)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.connect(client)?;
            Ok(socket)
        }
    }

    /// A backend that echoes, with `NAME:` in front if it is given a name.
    pub fn start_echo(&self, port: u16, name: Option<&str>) -> Result<Process> {
        let mut command = self.backend.command(program("udp-echo")?);
        command.args(["--listen", &self.backend_address(port).to_string()]);
        command.args(name.iter().flat_map(|name| ["--prefix-name", name]));
        let echo = Process::spawn("udp-echo", command)?;
        listening(&echo)?;
        Ok(echo)
    }

    /// Runs `udp-probe` as a local program of this client to its end. Unless told otherwise it waits for
    /// each datagram for as long as a test waits for anything: what is late is not lost.
    pub fn probe(&self, client: &Node, arguments: &[&str]) -> Result<Probed> {
        let mut command = self.client.command(program("udp-probe")?);
        command.args(["--target", &client.address().to_string()]).args(arguments);
        if !arguments.contains(&"--timeout") {
            command.args(["--timeout", &PATIENCE.as_secs().to_string()]);
        }
        let finished = Process::spawn("udp-probe", command)?.wait(4 * PATIENCE)?;
        Ok(Probed { clean: finished.status.success(), report: report(&finished)? })
    }

    /// What the nodes that have ended have logged.
    pub fn log(&self) -> String {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Takes everything away. That a process still runs, or anything is left, is an error.
    pub fn remove(self) -> Result<()> {
        let path = self.folder.path().to_owned();
        let namespaces = [self.client, self.gateway, self.backend];
        for netns in &namespaces {
            let running = netns.processes()?;
            ensure!(running.is_empty(), "{running:?} still run in {}", netns.name());
        }
        let names = namespaces.each_ref().map(|netns| netns.name().to_owned());
        drop(namespaces);
        for name in names {
            ensure!(!Path::new("/run/netns").join(&name).exists(), "{name} is left behind");
        }
        self.folder.close()?;
        ensure!(!path.exists(), "{} is left behind", path.display());
        Ok(())
    }
}
