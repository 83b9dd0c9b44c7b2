//! A gateway under test, the backend behind it, and traffic of an association that was there before:
//! all in one namespace, over its loopback.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;
use xdtls_netlab::{Netns, Process, program};

use crate::client;
use crate::cores::{CLIENT_CPU, GATEWAY_CPU};
use crate::openssl_pair::Credentials;
use crate::process_cost::cpu_time;

/// Where the gateway listens.
const GATEWAY: &str = "127.0.0.1:4433";

/// Where the backend does.
const BACKEND: &str = "127.0.0.1:9000";

/// Where the client with the association takes datagrams.
const LOCAL: &str = "127.0.0.1:5000";

/// Datagrams a second of that association.
const RATE: u32 = 1_000;

/// Addresses of clients: of one, a gateway takes no more than 16,384 handshakes in two minutes.
const SOURCES: u8 = 16;

/// How long the association's first datagrams are alone: its own handshake is not what is measured.
const SETTLING: Duration = Duration::from_millis(300);

/// How long anything may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway that nothing keeps from handshakes, on sockets, with a client and a backend.
pub(super) struct Gateway {
    netns: Netns,
    client: Process,
    backend: Process,
    gateway: Process,
}

/// What became of an association's datagrams to an echo behind the gateway.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Echoes {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams of which the echo has not come back within five seconds.
    pub lost: u64,
    /// Half of the others came back within this time, in microseconds.
    pub rtt_us_p50: u64,
    /// 99 of 100 did within this one.
    pub rtt_us_p99: u64,
}

/// Traffic that goes on by itself.
pub(super) struct Probe(Process);

impl Gateway {
    /// Starts all three.
    pub(super) fn start(credentials: &Credentials) -> Result<Self> {
        let netns = Netns::new("bench-handshakes")?;
        let mut backend = on(&netns, CLIENT_CPU, "udp-echo")?;
        backend.args(["--listen", BACKEND]);
        let backend = Process::spawn("udp-echo", backend)?;
        backend.wait_for_line("listening on ", PATIENCE)?;
        let file = credentials.file("handshakes.toml");
        fs::write(&file, configuration())?;
        let mut gateway = on(&netns, GATEWAY_CPU, "xdtls")?;
        gateway.args(["gateway", "--config"]).arg(&file).env("NO_COLOR", "1");
        let gateway = Process::spawn("xdtls gateway", gateway)?;
        gateway.wait_for_line("ready", PATIENCE)?;
        let client = on(&netns, CLIENT_CPU, "xdtls")?;
        let client = client::start(client, (GATEWAY, LOCAL), |name| credentials.file(name))?;
        Ok(Self { netns, client, backend, gateway })
    }

    /// Sockets for clients, and where the gateway listens.
    pub(super) fn sockets(&self) -> Result<(Vec<UdpSocket>, SocketAddr)> {
        let bind = |host| self.netns.bind_udp((Ipv4Addr::new(127, 0, 1, host), 0).into());
        Ok(((1..=SOURCES).map(bind).collect::<Result<_>>()?, GATEWAY.parse()?))
    }

    /// CPU time of its process so far, in seconds.
    pub(super) fn seconds(&self) -> Result<f64> {
        Ok(cpu_time(self.gateway.id())?.as_secs_f64())
    }

    /// Lets an association send this many datagrams and wait for their echoes.
    pub(super) fn begin_echoes(&self, count: u32) -> Result<Probe> {
        let mut probe = on(&self.netns, CLIENT_CPU, "udp-probe")?;
        let (count, rate) = (count.to_string(), RATE.to_string());
        probe.args(["--target", LOCAL, "--json", "--sizes", "100-1200", "--count", &count]);
        probe.args(["--rate", &rate, "--sockets", "1", "--window", "4096"]);
        let probe = Probe(Process::spawn("udp-probe", probe)?);
        thread::sleep(SETTLING);
        Ok(probe)
    }

    /// Ends all three.
    pub(super) fn end(self) -> Result<()> {
        self.client.terminate(PATIENCE)?;
        let finished = self.gateway.terminate(PATIENCE)?;
        ensure!(finished.status.success(), "the gateway has not ended well: {finished}");
        self.backend.terminate(PATIENCE)?;
        Ok(())
    }
}

impl Probe {
    /// Whether it still sends or waits.
    pub(super) fn goes_on(&mut self) -> Result<bool> {
        self.0.is_running()
    }

    /// What has become of it.
    pub(super) fn end(self) -> Result<Echoes> {
        let finished = self.0.wait(3 * PATIENCE)?;
        let line = finished.last_stdout_line().with_context(|| format!("no report: {finished}"))?;
        let report: Value = serde_json::from_str(line)?;
        let number =
            |name: &str| report[name].as_u64().with_context(|| format!("no {name}: {line}"));
        Ok(Echoes {
            sent: number("sent")?,
            lost: number("lost")?,
            rtt_us_p50: number("rtt_us_p50")?,
            rtt_us_p99: number("rtt_us_p99")?,
        })
    }
}

/// A program of ours in the namespace, on one CPU.
fn on(netns: &Netns, cpu: usize, name: &str) -> Result<Command> {
    let mut command = netns.command("taskset");
    command.args(["-c", &cpu.to_string()]).arg(program(name)?);
    Ok(command)
}

/// All clients are few sources here, so that bounds for one source are out of the way.
fn configuration() -> String {
    format!(
        "[gateway]\nlisten = \"{GATEWAY}\"\nworkers = 1\nhandshake_workers = 1\n\
         datapath = \"socket\"\n\
         [[identity]]\ncertificate = \"gateway.pem\"\nkey = \"gateway.key\"\n\
         [clients]\nca = \"ca.pem\"\n\
         [limits]\nassociations = 1048576\nhalf_open = 4096\nhalf_open_per_source = 4096\n\
         handshake_rate_per_source = 1000000\nhandshake_burst_per_source = 1000000\n\
         hello_replies_per_source = 0\n\
         [[backend]]\nname = \"echo\"\naddress = \"{BACKEND}\"\n\
         [forward]\ndefault_backend = \"echo\"\n"
    )
}
