//! What carries the traffic: our gateway and client, and what they are compared with.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use xdtls_common::prefix::PREFIX_LEN;
use xdtls_netlab::{Process, capture, program};
use xdtls_proto::suite::Aead;

use super::load::{Ends, Way};
use super::stage::Stage;
use super::{ocserv, peers};
use crate::client;

/// How long anything may take to start.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Where the backend listens.
pub(super) const BACKEND: &str = "10.9.1.2:9000";

/// Where tunnels that take datagrams from local programs listen.
const LOCAL: &str = "127.0.0.1:5000";

/// Where `cargo xtask setup --peers` puts what Debian has not, below the target folder.
const PEERS: &str = "peers/bin";

/// A way through the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Tunnel {
    /// The kernel of the gateway forwards
    Plain,
    /// The gateway's own AF_XDP module sends every datagram back
    AfxdpEcho,
    /// Our gateway on AF_XDP, our client
    Xdtls,
    /// The same, with AF_XDP at the gateway's inside interface, too
    XdtlsInside,
    /// Our gateway on sockets, our client
    XdtlsSocket,
    /// `baselines/openssl-tunnel.c` at both ends
    OpensslSocket,
    /// ocserv and openconnect, DTLS 1.2 with AES-128-GCM
    Ocserv,
    /// wireguard-go at both ends
    WireguardGo,
    /// boringtun at both ends
    Boringtun,
    /// OpenVPN at both ends, AES-128-GCM, with larger buffers than by default
    Openvpn,
}

impl Tunnel {
    /// All of them, the bounds first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::AfxdpEcho => "afxdp_echo",
            Self::Xdtls => "xdtls",
            Self::XdtlsInside => "xdtls_inside",
            Self::XdtlsSocket => "xdtls_socket",
            Self::OpensslSocket => "openssl_socket",
            Self::Ocserv => "ocserv",
            Self::WireguardGo => "wireguard_go",
            Self::Boringtun => "boringtun",
            Self::Openvpn => "openvpn",
        }
    }

    /// Whether it is somebody else's product.
    pub(super) const fn is_peer(self) -> bool {
        matches!(self, Self::Ocserv | Self::WireguardGo | Self::Boringtun | Self::Openvpn)
    }

    /// Whether it carries traffic this way: an echo has nothing behind it.
    pub(super) fn carries(self, way: Way) -> bool {
        self != Self::AfxdpEcho || way == Way::Up
    }

    /// What is added to each datagram that it is given, in bytes, so that its frames are as long as
    /// those of a tunnel.
    pub(super) const fn padding(self) -> usize {
        match self {
            Self::AfxdpEcho => PREFIX_LEN + Aead::Aes128Gcm.record_overhead(),
            _ => 0,
        }
    }

    /// Why it cannot be measured here, if it cannot.
    pub(super) fn missing(self) -> Option<String> {
        let needs: &[&str] = match self {
            Self::Ocserv => &["ocserv", "openconnect"],
            Self::WireguardGo => &["wireguard-go", "wg"],
            Self::Boringtun => &["boringtun-cli", "wg"],
            Self::Openvpn => &["openvpn"],
            _ => &[],
        };
        if let Some(program) = needs.iter().find(|program| installed(program).is_none()) {
            return Some(format!("{program} is not installed (`cargo xtask setup --peers`)"));
        }
        let tun = self.is_peer() && !Path::new("/dev/net/tun").exists();
        tun.then(|| "there is no /dev/net/tun".to_owned())
    }

    /// More datagrams a second than it carries. Products are not flooded: openconnect falls back to
    /// TCP then.
    pub(super) const fn flat_out(self) -> f64 {
        if self.is_peer() { 2e5 } else { 2e6 }
    }

    /// Fails if what it carries while `act` acts does not go the way that is measured.
    pub(super) fn verify(self, stage: &Stage, act: impl FnOnce()) -> Result<()> {
        if self == Self::Ocserv { ocserv::verify(stage, act) } else { Ok(()) }
    }

    /// Starts both ends.
    pub(super) fn start(self, stage: &Stage) -> Result<Running> {
        let running = match self {
            Self::Plain => plain(stage),
            Self::AfxdpEcho => echo(stage),
            Self::Xdtls => xdtls(stage, "datapath = \"xdp\"\ninterface = \"og\"", ""),
            Self::XdtlsInside => {
                let inside = "interface = \"ig\"";
                xdtls(stage, "datapath = \"xdp\"\ninterface = \"og\"", inside)
            }
            Self::XdtlsSocket => xdtls(stage, "datapath = \"socket\"", ""),
            Self::OpensslSocket => openssl(stage),
            Self::Ocserv => ocserv::start(stage),
            Self::WireguardGo => peers::wireguard(stage, "wireguard-go", &["-f"]),
            Self::Boringtun => {
                peers::wireguard(stage, "boringtun-cli", &["-f", "--disable-drop-privileges"])
            }
            Self::Openvpn => peers::openvpn(stage),
        };
        let running = running.with_context(|| format!("{} does not start", self.name()))?;
        // An XDP program that has come or gone has taken the thread of its interface along.
        stage.give_threads()?;
        Ok(running)
    }
}

/// Where a program is: in the folder of the peers, or where the system has its own.
pub(super) fn installed(name: &str) -> Option<PathBuf> {
    let own = env::current_exe().ok()?;
    let ours = own.ancestors().map(|folder| folder.join(PEERS));
    let path = env::var_os("PATH").unwrap_or_default();
    let system = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    ours.chain(system).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// A tunnel that works; its processes end with it.
pub(super) struct Running {
    /// Where the client's programs send from, and what to.
    pub(super) ends: Ends,
    /// A route of the client that leads through it and does not go away with it.
    route: Option<[&'static str; 5]>,
    /// The client's, if there is one, before the gateway's.
    processes: Vec<Process>,
}

impl Running {
    /// A tunnel that takes datagrams of local programs.
    fn local(processes: Vec<Process>) -> Result<Self> {
        let ends = Ends { near: "127.0.0.1:0".parse()?, target: LOCAL.parse()? };
        Ok(Self { ends, route: None, processes })
    }

    /// A tunnel that packets are routed through.
    pub(super) fn routed(
        stage: &Stage,
        route: [&'static str; 5],
        near: &str,
        processes: Vec<Process>,
    ) -> Result<Self> {
        stage.client.ip(&[&["route", "add"], &route[..]].concat())?;
        let ends = Ends { near: near.parse()?, target: BACKEND.parse()? };
        Ok(Self { ends, route: Some(route), processes })
    }

    /// A tunnel whose client has made the route itself.
    pub(super) fn with_route(processes: Vec<Process>) -> Result<Self> {
        let ends = Ends { near: "0.0.0.0:0".parse()?, target: BACKEND.parse()? };
        Ok(Self { ends, route: None, processes })
    }

    /// The gateway's processes, if it has any.
    pub(super) fn gateway(&self) -> Result<Vec<u32>> {
        self.processes.last().map_or(Ok(Vec::new()), |first| family(first.id()))
    }

    /// Ends it.
    pub(super) fn end(self, stage: &Stage) -> Result<()> {
        if let Some(route) = self.route {
            // It goes with the interface that it leads to, where there is one.
            let _ = stage.client.ip(&[&["route", "delete"], &route[..]].concat());
        }
        for process in self.processes {
            process.terminate(PATIENCE)?;
        }
        Ok(())
    }
}

/// A process and those that it has started.
fn family(first: u32) -> Result<Vec<u32>> {
    let listed = capture(Command::new("ps").args(["-eo", "pid=,ppid="]))?;
    let pairs: Vec<[u32; 2]> = listed
        .lines()
        .filter_map(|line| {
            let mut ids = line.split_whitespace().map(str::parse);
            Some([ids.next()?.ok()?, ids.next()?.ok()?])
        })
        .collect();
    let (mut found, mut next) = (vec![first], 0);
    while let Some(parent) = found.get(next).copied() {
        found.extend(pairs.iter().filter(|pair| pair[1] == parent).map(|pair| pair[0]));
        next += 1;
    }
    Ok(found)
}

fn plain(stage: &Stage) -> Result<Running> {
    let route = ["10.9.1.0/24", "via", "10.9.0.1", "dev", "oc"];
    Running::routed(stage, route, "10.9.0.2:0", Vec::new())
}

fn echo(stage: &Stage) -> Result<Running> {
    let mut command = stage.in_gateway(program("xdtls-bench")?);
    command.args(["bound", "--interface", "og", "--action", "echo"]);
    let process = Process::spawn("xdtls-bench bound", command)?;
    process.wait_for_line("ready", PATIENCE)?;
    let ends = Ends { near: "10.9.0.2:0".parse()?, target: "10.9.0.1:4433".parse()? };
    Ok(Running { ends, route: None, processes: vec![process] })
}

/// Our gateway, with these settings of its outside and of its inside.
fn xdtls(stage: &Stage, outside: &str, inside: &str) -> Result<Running> {
    let configuration = format!(
        "[gateway]\nlisten = \"10.9.0.1:4433\"\nworkers = 1\n{outside}\n\
         [[identity]]\ncertificate = \"gateway.pem\"\nkey = \"gateway.key\"\n\
         [clients]\nca = \"ca.pem\"\n\
         [limits]\nassociations = 4096\nhalf_open_per_source = 1024\n\
         handshake_burst_per_source = 4096\nbackend_flows = 4096\n\
         [[backend]]\nname = \"backend\"\naddress = \"{BACKEND}\"\n\
         [forward]\n{inside}\ndefault_backend = \"backend\"\n[admin]\nsocket = \"gateway.sock\"\n"
    );
    let file = stage.file("gateway.toml");
    fs::write(&file, configuration)?;
    let mut gateway = stage.in_gateway(program("xdtls")?);
    gateway.args(["gateway", "--config"]).arg(&file).env("NO_COLOR", "1");
    let gateway = Process::spawn("xdtls gateway", gateway)?;
    gateway.wait_for_line("ready", PATIENCE)?;
    let client = stage.in_client(program("xdtls")?);
    let client = client::start(client, ("10.9.0.1:4433", LOCAL), |name| stage.file(name))?;
    Running::local(vec![client, gateway])
}

fn openssl(stage: &Stage) -> Result<Running> {
    let tunnel = stage.file("openssl-tunnel");
    if !tunnel.exists() {
        let source = tunnel.with_extension("c");
        fs::write(&source, include_str!("../../baselines/openssl-tunnel.c"))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-o"]).arg(&tunnel).arg(&source).args(["-lssl", "-lcrypto"]);
        capture(&mut compiler).context("the OpenSSL baseline needs cc and libssl-dev")?;
    }
    let start = |mut command: Command, role: &str, name: &str, own: [&str; 2], next: [&str; 2]| {
        command.arg(role).args(own).arg(stage.file(&format!("{name}.pem")));
        command.arg(stage.file(&format!("{name}.key"))).arg(stage.file("ca.pem")).args(next);
        let process = Process::spawn("openssl-tunnel", command)?;
        process.wait_for_line("ready", PATIENCE)?;
        anyhow::Ok(process)
    };
    let (own, next) = (["10.9.0.1", "4433"], ["10.9.1.2", "9000"]);
    let gateway = start(stage.in_gateway(&tunnel), "gateway", "gateway", own, next)?;
    let (own, next) = (["127.0.0.1", "5000"], ["10.9.0.1", "4433"]);
    let client = start(stage.in_client(&tunnel), "client", "client", own, next)?;
    Running::local(vec![client, gateway])
}
