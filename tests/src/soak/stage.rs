//! The programs of a soak, and how each fault is done to them and undone.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use xdtls_netlab::{Process, Random, garbage, program};

use super::fault::Fault;
use crate::client::ClientOptions;
use crate::gateway::GatewayConfig;
use crate::lab::{Lab, OUTSIDE};
use crate::node::Node;
use crate::programs::listening;
use crate::wait::PATIENCE;

/// The interface towards the backend, at both ends.
const INSIDE: &str = "inside";

const BACKEND_PORT: u16 = 9000;

/// Room for thousands of ids that rest, and for clients that all have one address. An association
/// that only the gateway believes in is to end before the soak does.
const LIMITS: &str = "associations = 65536\nidle_timeout = \"10s\"\n\
    half_open_per_source = 512\nhandshake_rate_per_source = 2000\n\
    handshake_burst_per_source = 2000";

/// The same and something that a reload can change.
const OTHER_LIMITS: &str = "associations = 65536\nidle_timeout = \"10s\"\n\
    half_open_per_source = 512\nhandshake_rate_per_source = 2000\n\
    handshake_burst_per_source = 2000\nbackend_flows = 60000";

/// What clients that come and go are started with.
const VISITORS: [&str; 4] = ["--idle-timeout", "2s", "--max-associations", "1024"];

/// Of a hundred datagrams, how many are lost on a bad road.
const LOSS: std::ops::RangeInclusive<usize> = 20..=60;

/// Bad packets that a flood sends before it takes a breath: the machine has other work, too.
const FLOOD_BATCH: usize = 300;
const FLOOD_BREATH: Duration = Duration::from_millis(5);
const GARBAGE_BREATH: Duration = Duration::from_millis(1);

/// Everything that runs.
pub(super) struct Stage<'a> {
    lab: &'a Lab,
    config: GatewayConfig,
    gateway: Option<Node>,
    echo: Option<Process>,
    /// The client on a clean road.
    pub(super) near: Node,
    /// The client behind the relay.
    pub(super) far: Node,
    /// The client of programs that come and go.
    pub(super) visitors: Node,
    relay: Process,
    orders: ChildStdin,
    sender: Option<Sender>,
    random: Random,
    reloads: u32,
}

impl<'a> Stage<'a> {
    /// Starts everything but the programs, and looks at the gateway before the clients come.
    pub(super) fn start<T>(
        lab: &'a Lab,
        seed: u64,
        look: impl FnOnce(&Node) -> Result<T>,
    ) -> Result<(Self, T)> {
        let echo = Some(lab.start_echo(BACKEND_PORT, None)?);
        let forward = GatewayConfig::forward_to(lab.backend_address(BACKEND_PORT));
        let inside = if lab.datapath() == "socket" { "" } else { "interface = \"inside\"" };
        let config = GatewayConfig { workers: 2, forward: inside, ..forward }.with_limits(LIMITS);
        let gateway = config.start(lab)?;
        let seen = look(&gateway)?;
        let (mut relay, orders) = start_relay(lab)?;
        let road = listening(&relay).map(|address| address.parse())??;
        let (near, far) = (ClientOptions::default(), ClientOptions::default());
        let visitors = ClientOptions { arguments: &VISITORS, ..ClientOptions::default() };
        relay.is_running()?;
        let stage = Self {
            near: near.start(lab)?,
            far: ClientOptions { gateway: Some(road), ..far }.start(lab)?,
            visitors: visitors.start(lab)?,
            gateway: Some(gateway),
            sender: None,
            random: Random::new(seed),
            reloads: 0,
            lab,
            config,
            echo,
            relay,
            orders,
        };
        Ok((stage, seen))
    }

    /// The gateway, between its lives nobody.
    pub(super) fn gateway(&self) -> Result<&Node> {
        self.gateway.as_ref().context("the gateway does not run")
    }

    /// Lets a fault begin.
    pub(super) fn begin(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::LinkDown | Fault::FarLinkDown | Fault::InsideDown => self.link(fault, "down"),
            Fault::SmallMtu => self.mtu("1280"),
            Fault::Loss => {
                let percent = self.random.within(&LOSS);
                self.order(&format!("drop {percent}"))
            }
            Fault::BackendStopped => self.signal_backend(Signal::STOP),
            Fault::BackendGone => {
                self.echo = None;
                Ok(())
            }
            Fault::GatewayStopped | Fault::StoppedForLong => self.signal_gateway(Signal::STOP),
            Fault::Garbage => self.send_bad_packets(1, GARBAGE_BREATH),
            Fault::Flood => self.send_bad_packets(FLOOD_BATCH, FLOOD_BREATH),
            Fault::Reload => self.reload(),
            Fault::Denied => self.access("add"),
            Fault::Restarted => self.gateway.take().context("a gateway")?.terminate(),
            Fault::Rebound => self.order("rebind"),
            Fault::Killed => self.gateway.take().context("a gateway")?.kill(),
        }
    }

    /// Takes a fault away.
    pub(super) fn end(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::LinkDown | Fault::FarLinkDown | Fault::InsideDown => self.link(fault, "up"),
            Fault::SmallMtu => self.mtu("1500"),
            Fault::Loss => self.order("drop 0"),
            Fault::BackendStopped => self.signal_backend(Signal::CONT),
            Fault::BackendGone => {
                self.echo = Some(self.lab.start_echo(BACKEND_PORT, None)?);
                Ok(())
            }
            Fault::GatewayStopped | Fault::StoppedForLong => self.signal_gateway(Signal::CONT),
            Fault::Garbage | Fault::Flood => self.sender.take().map_or(Ok(()), Sender::stop),
            Fault::Reload | Fault::Rebound => Ok(()),
            Fault::Denied => self.access("remove"),
            Fault::Restarted | Fault::Killed => {
                self.gateway = Some(self.config.start(self.lab)?);
                Ok(())
            }
        }
    }

    fn link(&self, fault: Fault, state: &str) -> Result<()> {
        let (netns, interface) = match fault {
            Fault::LinkDown => (&self.lab.gateway, OUTSIDE),
            Fault::FarLinkDown => (&self.lab.client, OUTSIDE),
            _ => (&self.lab.gateway, INSIDE),
        };
        netns.ip(&["link", "set", interface, state]).map(drop)
    }

    fn mtu(&self, mtu: &str) -> Result<()> {
        self.lab.gateway.ip(&["link", "set", OUTSIDE, "mtu", mtu]).map(drop)
    }

    fn order(&mut self, order: &str) -> Result<()> {
        writeln!(self.orders, "{order}").context("the relay takes no orders")
    }

    fn signal_backend(&mut self, signal: Signal) -> Result<()> {
        self.echo.as_mut().context("a backend")?.signal(signal)
    }

    fn signal_gateway(&mut self, signal: Signal) -> Result<()> {
        self.gateway.as_mut().context("a gateway")?.signal(signal)
    }

    fn reload(&mut self) -> Result<()> {
        self.reloads += 1;
        let limits = if self.reloads.is_multiple_of(2) { LIMITS } else { OTHER_LIMITS };
        self.config = self.config.clone().with_limits(limits);
        self.config.write(self.lab)?;
        self.gateway()?.ask(&["reload"]).map(drop)
    }

    fn access(&self, action: &str) -> Result<()> {
        let clients = self.lab.client_address().to_string();
        self.gateway()?.ask(&["deny", action, &clients]).map(drop)
    }

    fn send_bad_packets(&mut self, batch: usize, breath: Duration) -> Result<()> {
        let own: IpAddr = self.lab.client_address();
        let socket = self.lab.client.bind_udp((own, 0).into())?;
        let target = self.lab.gateway_address();
        let packets = garbage::series(self.random.draw());
        let packets = packets.into_iter().map(|packet| packet.payload).collect();
        self.sender = Some(Sender::start((socket, target), packets, batch, breath));
        Ok(())
    }

    /// Ends the clients, which say goodbye; the gateway stays.
    pub(super) fn end_clients(self) -> Result<Node> {
        for client in [self.near, self.far, self.visitors] {
            client.wait_until("no handshake under way", |status| status.half_open() == 0)?;
            client.terminate()?;
        }
        self.relay.terminate(PATIENCE)?;
        self.gateway.context("the gateway does not run")
    }
}

fn start_relay(lab: &Lab) -> Result<(Process, ChildStdin)> {
    let mut command = lab.client.command(program("udp-relay")?);
    command.args(["--listen", &lab.family().loopback().to_string()]).stdin(Stdio::piped());
    command.args(["--target", &lab.gateway_address().to_string()]);
    let mut relay = Process::spawn("udp-relay", command)?;
    let orders = relay.stdin().context("the relay's standard input")?;
    Ok((relay, orders))
}

/// Somebody who sends bad packets.
struct Sender {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Sender {
    fn start(
        (socket, target): (UdpSocket, SocketAddr),
        packets: Vec<Vec<u8>>,
        batch: usize,
        breath: Duration,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut packets = packets.iter().cycle();
            while !told.load(Relaxed) {
                for packet in packets.by_ref().take(batch) {
                    // The link may be down.
                    let _ = socket.send_to(packet, target);
                }
                std::thread::sleep(breath);
            }
        });
        Self { stop, thread }
    }

    fn stop(self) -> Result<()> {
        self.stop.store(true, Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("a sender has panicked"))
    }
}
