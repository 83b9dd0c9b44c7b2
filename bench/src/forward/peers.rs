//! Other people's tunnels: WireGuard in userspace and OpenVPN.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xdtls_netlab::{Netns, Process, capture};

use super::stage::Stage;
use super::tunnels::{PATIENCE, Running, installed};

/// How often is looked whether a daemon is ready.
const POLL: Duration = Duration::from_millis(20);

/// What leads through a tunnel's interface at the client.
const ROUTE: [&str; 5] = ["10.9.1.0/24", "dev", "xbcl", "scope", "link"];

/// One end of a WireGuard tunnel: where it is, its interface, address and port.
struct WireguardEnd<'a> {
    netns: &'a Netns,
    command: Command,
    interface: &'static str,
    address: &'static str,
    port: &'static str,
}

impl WireguardEnd<'_> {
    /// Starts its daemon; the process, and the public key.
    fn start(mut self, options: &[&str], key: &Path) -> Result<(Process, String)> {
        let Self { netns, interface, address, port, .. } = self;
        let socket = format!("/var/run/wireguard/{interface}.sock");
        // A daemon that was killed has left its socket.
        let _ = fs::remove_file(&socket);
        self.command.args(options).arg(interface);
        let process = Process::spawn("the WireGuard daemon", self.command)?;
        fs::write(key, capture(Command::new("wg").arg("genkey"))?)?;
        let begin = Instant::now();
        while !Path::new(&socket).exists() {
            ensure!(begin.elapsed() < PATIENCE, "the daemon makes no interface");
            std::thread::sleep(POLL);
        }
        let key = key.to_string_lossy();
        netns.run("wg", &["set", interface, "private-key", &key, "listen-port", port])?;
        netns.ip(&["address", "add", address, "dev", interface])?;
        netns.ip(&["link", "set", "dev", interface, "mtu", "1420", "up"])?;
        // Not every daemon tells its public key.
        let public = capture(Command::new("sh").args(["-c", "wg pubkey < \"$0\"", &key]))?;
        Ok((process, public.trim().to_owned()))
    }
}

/// A WireGuard daemon at both ends, started with these options.
pub(super) fn wireguard(stage: &Stage, daemon: &str, options: &[&str]) -> Result<Running> {
    let daemon = installed(daemon).context("it is not installed")?;
    let end = |netns, command, interface, address, port| WireguardEnd {
        netns,
        command,
        interface,
        address,
        port,
    };
    let gateway = end(&stage.gateway, stage.in_gateway(&daemon), "xbgw", "10.8.0.1/24", "51820");
    let client = end(&stage.client, stage.in_client(&daemon), "xbcl", "10.8.0.2/24", "51821");
    let (gateway, gateway_key) = gateway.start(options, &stage.file("wg-gateway"))?;
    let (client, client_key) = client.start(options, &stage.file("wg-client"))?;
    let peer = ["set", "xbgw", "peer", &client_key, "allowed-ips", "10.8.0.2/32"];
    stage.gateway.run("wg", &peer)?;
    let allowed = ["allowed-ips", "10.8.0.0/24,10.9.1.0/24", "endpoint", "10.9.0.1:51820"];
    let peer = [&["set", "xbcl", "peer", &gateway_key][..], &allowed].concat();
    stage.client.run("wg", &peer)?;
    Running::routed(stage, ROUTE, "10.8.0.2:0", vec![client, gateway])
}

/// OpenVPN at both ends.
pub(super) fn openvpn(stage: &Stage) -> Result<Running> {
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
    Running::routed(stage, ROUTE, "10.8.0.2:0", vec![client, gateway])
}
