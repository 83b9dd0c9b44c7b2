//! What carries the traffic: our gateway and client, and what they are compared with.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xdtls_netlab::{Process, capture, program};

use super::stage::Stage;

/// How long anything may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the backend listens.
pub(super) const BACKEND: &str = "10.9.1.2:9000";

/// Where tunnels that take datagrams from local programs listen.
const LOCAL: &str = "127.0.0.1:5000";

/// A way through the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tunnel {
    /// The kernel of the gateway forwards.
    Plain,
    /// Our gateway on AF_XDP, our client.
    Xdtls,
    /// Our gateway on sockets, our client.
    XdtlsSocket,
    /// `baselines/openssl-tunnel.c` at both ends.
    OpensslSocket,
    /// wireguard-go at both ends.
    WireguardGo,
    /// boringtun at both ends.
    Boringtun,
    /// OpenVPN at both ends, AES-128-GCM, with larger buffers than by default.
    Openvpn,
}

impl Tunnel {
    /// All of them, the bound first.
    pub(super) const ALL: [Self; 7] = [
        Self::Plain,
        Self::Xdtls,
        Self::XdtlsSocket,
        Self::OpensslSocket,
        Self::WireguardGo,
        Self::Boringtun,
        Self::Openvpn,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Xdtls => "xdtls",
            Self::XdtlsSocket => "xdtls_socket",
            Self::OpensslSocket => "openssl_socket",
            Self::WireguardGo => "wireguard_go",
            Self::Boringtun => "boringtun",
            Self::Openvpn => "openvpn",
        }
    }

    /// Whether it is somebody else's product.
    pub(super) const fn is_peer(self) -> bool {
        matches!(self, Self::WireguardGo | Self::Boringtun | Self::Openvpn)
    }

    /// Whether each flow has an association of its own.
    pub(super) const fn has_associations(self) -> bool {
        matches!(self, Self::Xdtls | Self::XdtlsSocket | Self::OpensslSocket)
    }

    /// Why it cannot be measured here, if it cannot.
    pub(super) fn missing(self) -> Option<String> {
        let needs: &[(&str, &str)] = match self {
            Self::WireguardGo => {
                &[("wireguard-go", "Debian package wireguard-go"), ("wg", "wireguard-tools")]
            }
            Self::Boringtun => {
                &[("boringtun-cli", "crate boringtun-cli"), ("wg", "wireguard-tools")]
            }
            Self::Openvpn => &[("openvpn", "Debian package openvpn")],
            _ => &[],
        };
        let absent = |(program, _): &&(&str, &str)| {
            !Command::new(program).arg("--version").output().is_ok_and(|_| true)
        };
        let tun = self.is_peer() && !std::path::Path::new("/dev/net/tun").exists();
        let absent = needs.iter().find(absent);
        absent
            .map(|(program, package)| format!("{program} ({package}) is not installed"))
            .or_else(|| tun.then(|| "there is no /dev/net/tun".to_owned()))
    }

    /// Starts both ends.
    pub(super) fn start(self, stage: &Stage) -> Result<Running> {
        let running = match self {
            Self::Plain => plain(stage),
            Self::Xdtls => xdtls(stage, "xdp"),
            Self::XdtlsSocket => xdtls(stage, "socket"),
            Self::OpensslSocket => openssl(stage),
            Self::WireguardGo => wireguard(stage, &["wireguard-go", "-f"]),
            Self::Boringtun => {
                wireguard(stage, &["boringtun-cli", "-f", "--disable-drop-privileges"])
            }
            Self::Openvpn => openvpn(stage),
        };
        let running = running.with_context(|| format!("{} does not start", self.name()))?;
        // An XDP program that has come or gone has taken the thread of its interface along.
        stage.give_threads()?;
        Ok(running)
    }
}

/// A tunnel that works; its processes end with it.
pub(super) struct Running {
    /// Where the client's programs send to.
    pub(super) target: SocketAddr,
    /// The address that they send from.
    pub(super) near: SocketAddr,
    /// A route of the client that leads through it.
    route: Option<[&'static str; 5]>,
    /// The client's, if there is one, before the gateway's.
    processes: Vec<Process>,
}

impl Running {
    /// A tunnel that takes datagrams of local programs.
    fn local(processes: Vec<Process>) -> Result<Self> {
        let (target, near) = (LOCAL.parse()?, "127.0.0.1:0".parse()?);
        Ok(Self { target, near, route: None, processes })
    }

    /// A tunnel that packets are routed through.
    fn routed(
        stage: &Stage,
        route: [&'static str; 5],
        near: &str,
        processes: Vec<Process>,
    ) -> Result<Self> {
        stage.client.ip(&[&["route", "add"], &route[..]].concat())?;
        Ok(Self { target: BACKEND.parse()?, near: near.parse()?, route: Some(route), processes })
    }

    /// The gateway's process, if it has one.
    pub(super) fn gateway(&self) -> Vec<u32> {
        self.processes.last().map(Process::id).into_iter().collect()
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

fn plain(stage: &Stage) -> Result<Running> {
    let route = ["10.9.1.0/24", "via", "10.9.0.1", "dev", "oc"];
    Running::routed(stage, route, "10.9.0.2:0", Vec::new())
}

fn xdtls(stage: &Stage, datapath: &str) -> Result<Running> {
    let interface = if datapath == "xdp" { "interface = \"og\"\n" } else { "" };
    let configuration = format!(
        "[gateway]\nlisten = \"10.9.0.1:4433\"\nworkers = 1\ndatapath = \"{datapath}\"\n{interface}\
         [[identity]]\ncertificate = \"gateway.pem\"\nkey = \"gateway.key\"\n\
         [clients]\nca = \"ca.pem\"\n\
         [limits]\nassociations = 4096\nhalf_open_per_source = 1024\n\
         handshake_burst_per_source = 4096\nbackend_flows = 4096\n\
         [[backend]]\nname = \"backend\"\naddress = \"{BACKEND}\"\n\
         [forward]\ndefault_backend = \"backend\"\n"
    );
    let file = stage.file("gateway.toml");
    fs::write(&file, configuration)?;
    let mut gateway = stage.in_gateway(program("xdtls")?);
    gateway.args(["gateway", "--config"]).arg(&file).env("NO_COLOR", "1");
    let gateway = Process::spawn("xdtls gateway", gateway)?;
    gateway.wait_for_line("ready", PATIENCE)?;
    let mut client = stage.in_client(program("xdtls")?);
    client.args(["connect", "--gateway", "10.9.0.1:4433", "--server-name", "gateway"]);
    client.args(["--listen", LOCAL, "--datapath", "socket"]).env("NO_COLOR", "1");
    for (option, name) in
        [("--certificate", "client.pem"), ("--key", "client.key"), ("--ca", "ca.pem")]
    {
        client.arg(option).arg(stage.file(name));
    }
    let client = Process::spawn("xdtls connect", client)?;
    client.wait_for_line("ready", PATIENCE)?;
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

/// One end of a WireGuard tunnel: where it is, its interface, address and port.
struct WireguardEnd<'a> {
    netns: &'a xdtls_netlab::Netns,
    command: Command,
    interface: &'static str,
    address: &'static str,
    port: &'static str,
}

impl WireguardEnd<'_> {
    /// Starts its daemon; the process, and the public key.
    fn start(mut self, daemon: &[&str], key: &std::path::Path) -> Result<(Process, String)> {
        let Self { netns, interface, address, port, .. } = self;
        let socket = format!("/var/run/wireguard/{interface}.sock");
        // A daemon that was killed has left its socket.
        let _ = fs::remove_file(&socket);
        self.command.args(&daemon[1..]).arg(interface);
        let process = Process::spawn(daemon[0], self.command)?;
        fs::write(key, capture(Command::new("wg").arg("genkey"))?)?;
        let begin = std::time::Instant::now();
        while !std::path::Path::new(&socket).exists() {
            ensure!(begin.elapsed() < PATIENCE, "{} makes no interface", daemon[0]);
            std::thread::sleep(Duration::from_millis(20));
        }
        let key = key.to_string_lossy();
        netns.run("wg", &["set", interface, "private-key", &key, "listen-port", port])?;
        netns.ip(&["address", "add", address, "dev", interface])?;
        netns.ip(&["link", "set", "dev", interface, "mtu", "1420", "up"])?;
        let public = netns.run("wg", &["show", interface, "public-key"])?;
        Ok((process, public.trim().to_owned()))
    }
}

fn wireguard(stage: &Stage, daemon: &[&str]) -> Result<Running> {
    let end = |netns, command, interface, address, port| WireguardEnd {
        netns,
        command,
        interface,
        address,
        port,
    };
    let gateway = end(&stage.gateway, stage.in_gateway(daemon[0]), "xbgw", "10.8.0.1/24", "51820");
    let client = end(&stage.client, stage.in_client(daemon[0]), "xbcl", "10.8.0.2/24", "51821");
    let (gateway, gateway_key) = gateway.start(daemon, &stage.file("wg-gateway"))?;
    let (client, client_key) = client.start(daemon, &stage.file("wg-client"))?;
    let peer = ["set", "xbgw", "peer", &client_key, "allowed-ips", "10.8.0.2/32"];
    stage.gateway.run("wg", &peer)?;
    let allowed = ["allowed-ips", "10.8.0.0/24,10.9.1.0/24", "endpoint", "10.9.0.1:51820"];
    let peer = [&["set", "xbcl", "peer", &gateway_key][..], &allowed].concat();
    stage.client.run("wg", &peer)?;
    let route = ["10.9.1.0/24", "dev", "xbcl", "scope", "link"];
    Running::routed(stage, route, "10.8.0.2:0", vec![client, gateway])
}

fn openvpn(stage: &Stage) -> Result<Running> {
    let start = |mut command: Command, name: &str, arguments: &[&str]| {
        command.args(["--proto", "udp4", "--dev-type", "tun", "--tun-mtu", "1420", "--verb", "3"]);
        command.args(["--topology", "subnet", "--data-ciphers", "AES-128-GCM"]);
        command.args(["--sndbuf", "4194304", "--rcvbuf", "4194304", "--txqueuelen", "10000"]);
        command.arg("--ca").arg(stage.file("ca.pem"));
        command.arg("--cert").arg(stage.file(&format!("{name}.pem")));
        command.arg("--key").arg(stage.file(&format!("{name}.key"))).args(arguments);
        let process = Process::spawn("openvpn", command)?;
        anyhow::Ok(process)
    };
    let own = ["--local", "10.9.0.1", "--lport", "1194", "--dh", "none", "--dev", "xbgw"];
    let server = ["--server", "10.8.0.0", "255.255.255.0"];
    let gateway = start(stage.in_gateway("openvpn"), "gateway", &[&own[..], &server].concat())?;
    gateway.wait_for_line("Initialization Sequence Completed", PATIENCE)?;
    let client = ["--client", "--remote", "10.9.0.1", "1194", "--nobind", "--dev", "xbcl"];
    let client = start(stage.in_client("openvpn"), "client", &client)?;
    client.wait_for_line("Initialization Sequence Completed", PATIENCE)?;
    let route = ["10.9.1.0/24", "dev", "xbcl", "scope", "link"];
    Running::routed(stage, route, "10.8.0.2:0", vec![client, gateway])
}
