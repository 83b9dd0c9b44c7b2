//! What the doctor sees. Gathering changes nothing: the XDP program is loaded once, to hear what the
//! verifier says, and attached nowhere.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use xdtls_common::id::IdLayout;

use super::{ethtool, netdev};
use crate::datapath::interface::Interface;
use crate::datapath::xdp::{Program, Steered};
use crate::datapath::xdp_program::XdpError;
use crate::privileges::KernelVersion;
use crate::sys;

/// Everything that is judged.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The running kernel.
    pub kernel: KernelVersion,
    /// Whether the kernel describes its own types (`/sys/kernel/btf/vmlinux`).
    pub btf: bool,
    /// `net.core.bpf_jit_enable`, if it can be read.
    pub jit: Option<bool>,
    /// `/proc/self/status`, for capabilities and seccomp.
    pub status: String,
    /// The security modules, separated by commas.
    pub security_modules: String,
    /// Memory that may be locked, in bytes; `None` is no limit.
    pub memlock: Option<u64>,
    /// Processors that this process may use.
    pub cpus: u32,
    /// What came of loading the XDP program.
    pub load: Load,
    /// The interface, or why there is nothing to say of it.
    pub link: Result<Link, String>,
}

/// What came of loading the XDP program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Load {
    /// The verifier takes it.
    Loads,
    /// The kernel forbids it; what is missing.
    Forbidden(String),
    /// It is not there, or does not load, for this reason.
    Fails(String),
    /// It was not tried.
    NotTried,
}

/// A network interface.
#[derive(Clone, Debug)]
pub struct Link {
    /// What rtnetlink says.
    pub interface: Interface,
    /// `operstate`: `up`, `down`, `unknown` and so on.
    pub state: String,
    /// Descriptors of each receive ring: in use, and at most.
    pub rx_ring: Option<(u32, u32)>,
    /// The most receive queues that it could have.
    pub queues_max: Option<u32>,
    /// Offloads that are on, by ethtool's names.
    pub offloads: Vec<String>,
    /// The kernel's bits for what XDP can do here; `None` before Linux 6.3.
    pub xdp_features: Option<u64>,
    /// Whether UDP ports count when the card picks a receive queue; `None` if it does not tell.
    pub udp_ports_spread: Option<bool>,
    /// Interrupts whose names contain the interface's; none where the device has none.
    pub interrupts: u32,
}

impl Facts {
    /// Looks at the machine, this process, and the interface called `name`.
    pub async fn gather(name: &str) -> Self {
        let link = Link::gather(name).await;
        let load = match &link {
            Ok(link) => try_load(&link.interface),
            Err(_) => Load::NotTried,
        };
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            kernel: KernelVersion::running(),
            btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
            jit: match read("/proc/sys/net/core/bpf_jit_enable").trim() {
                "" => None,
                value => Some(value != "0"),
            },
            status: read("/proc/self/status"),
            security_modules: read("/sys/kernel/security/lsm").trim().to_owned(),
            memlock: getrlimit(Resource::Memlock).current,
            cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
            load,
            link: link.map_err(|error| format!("{error:#}")),
        }
    }
}

impl Link {
    async fn gather(name: &str) -> anyhow::Result<Self> {
        let interface = Interface::find(name).await?;
        let folder = Path::new("/sys/class/net").join(name);
        let state = fs::read_to_string(folder.join("operstate")).unwrap_or_default();
        let answers = ethtool::ask(name).await.unwrap_or_default();
        let xdp_features = netdev::xdp_features(interface.index).await.ok();
        Ok(Self {
            interface,
            state: state.trim().to_owned(),
            rx_ring: answers.rx_ring,
            queues_max: answers.queues_max,
            offloads: answers.offloads,
            xdp_features,
            udp_ports_spread: udp_ports_spread(name),
            interrupts: interrupts(name),
        })
    }
}

fn udp_ports_spread(name: &str) -> Option<bool> {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).ok()?;
    sys::udp_ports_spread(&socket, name).ok()
}

fn interrupts(name: &str) -> u32 {
    let text = fs::read_to_string("/proc/interrupts").unwrap_or_default();
    let last = |line: &str| line.rsplit_once("  ").map(|(_, last)| last.to_owned());
    text.lines().filter_map(last).filter(|last| last.contains(name)).count() as u32
}

/// Loads the program for one small table and lets it go again.
fn try_load(interface: &Interface) -> Load {
    let Some(layout) = IdLayout::for_capacity(1024, 1) else { return Load::NotTried };
    let listen = (Ipv4Addr::UNSPECIFIED, 4433).into();
    let steered = Steered {
        listen,
        layout,
        queues: interface.queues,
        leaves_replies: false,
        answering: None,
    };
    match Program::load(&steered) {
        Ok(_) => Load::Loads,
        Err(XdpError::NotPermitted { gate }) => Load::Forbidden(gate),
        Err(error) => Load::Fails(format!("{:#}", anyhow::Error::from(error))),
    }
}
