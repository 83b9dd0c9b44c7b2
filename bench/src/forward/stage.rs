//! The stage: client, gateway and backend, each in a namespace.
//!
//! ```text
//!   client                    gateway                       backend
//!   oc 10.9.0.2 ═════════════ og 10.9.0.1   ig 10.9.1.1 ═══ ib 10.9.1.2:9000
//!   pc 10.9.3.2 ═════════════ pg 10.9.3.1   qg 10.9.2.1 ═══ qb 10.9.2.2:9000
//! ```
//!
//! The gateway's program has a CPU of its own, together with the threads that receive for its
//! interfaces; all else runs on the other. Every frame on a link is as long as on a wire: nothing
//! is left to hardware that is not there. The lower links are past all tunnels and their XDP programs:
//! there the kernel forwards.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xdtls_netlab::{Netns, Veth, capture};

use crate::cores::{CLIENT_CPU, GATEWAY_CPU};
use crate::openssl_pair::Credentials;
use crate::process_cost::cpu_time;

/// Interfaces by namespace, with the CPU that receives for them.
const INTERFACES: [(&str, usize); 8] = [
    ("oc", CLIENT_CPU),
    ("og", GATEWAY_CPU),
    ("ig", GATEWAY_CPU),
    ("ib", CLIENT_CPU),
    ("pc", CLIENT_CPU),
    ("pg", GATEWAY_CPU),
    ("qg", GATEWAY_CPU),
    ("qb", CLIENT_CPU),
];

/// Where the client sends from past all tunnels.
pub(super) const CLIENT_BESIDE: &str = "10.9.3.2:0";

/// Where the backend listens past all tunnels.
pub(super) const BACKEND_BESIDE: &str = "10.9.2.2:9000";

/// What is left to hardware by default.
const OFFLOADS: [&str; 8] = ["tx", "off", "tso", "off", "gso", "off", "tx-udp-segmentation", "off"];

/// How many packets wait before each interface. Without a queue of its own a veth drops what the 256
/// frames of the ring at its other end do not hold; with one, the kernel stops whoever sends, as a
/// network card does (since Linux 6.16).
const QUEUE: &str = "1000";

/// The namespaces and a folder with certificates. All of it goes away with its owner.
pub(super) struct Stage {
    pub(super) client: Netns,
    pub(super) gateway: Netns,
    pub(super) backend: Netns,
    credentials: Credentials,
    /// The threads that receive for the gateway's interfaces.
    receivers: RefCell<Vec<u32>>,
}

impl Stage {
    pub(super) fn new() -> Result<Self> {
        let (client, gateway) = (Netns::new("bench-client")?, Netns::new("bench-gateway")?);
        let backend = Netns::new("bench-backend")?;
        Veth::pair(&client, "oc", "10.9.0.2/24", &gateway, "og", "10.9.0.1/24", 1)?;
        Veth::pair(&gateway, "ig", "10.9.1.1/24", &backend, "ib", "10.9.1.2/24", 1)?;
        gateway.run("sysctl", &["-qw", "net.ipv4.ip_forward=1"])?;
        Veth::pair(&client, "pc", "10.9.3.2/24", &gateway, "pg", "10.9.3.1/24", 1)?;
        Veth::pair(&gateway, "qg", "10.9.2.1/24", &backend, "qb", "10.9.2.2/24", 1)?;
        client.ip(&["route", "add", "10.9.2.0/24", "via", "10.9.3.1"])?;
        backend.ip(&["route", "add", "10.9.3.0/24", "via", "10.9.2.1"])?;
        backend.ip(&["route", "add", "10.8.0.0/24", "via", "10.9.1.1"])?;
        backend.ip(&["route", "add", "10.9.0.0/24", "via", "10.9.1.1"])?;
        let credentials = Credentials::new()?;
        let receivers = RefCell::default();
        let stage = Self { client, gateway, backend, credentials, receivers };
        for (interface, _) in INTERFACES {
            let arguments = [&["-K", interface][..], &OFFLOADS, &["gro", "on"]].concat();
            stage.of(interface).run("ethtool", &arguments)?;
            let queue = ["qdisc", "replace", "dev", interface, "root", "pfifo", "limit", QUEUE];
            stage.of(interface).run("tc", &queue)?;
        }
        stage.give_threads()?;
        Ok(stage)
    }

    /// A file of the stage.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.credentials.file(name)
    }

    fn of(&self, interface: &str) -> &Netns {
        match interface {
            "oc" | "pc" => &self.client,
            "ib" | "qb" => &self.backend,
            _ => &self.gateway,
        }
    }

    /// Gives each interface a thread that receives for it, on its CPU and before all programs there,
    /// as interrupts do: a veth keeps no more than 256 frames. To be done again whenever an XDP
    /// program has been attached or detached.
    pub(super) fn give_threads(&self) -> Result<()> {
        self.receivers.borrow_mut().clear();
        for (interface, cpu) in INTERFACES {
            let file = format!("/sys/class/net/{interface}/threaded");
            let set = |value: u32| {
                self.of(interface).run("sh", &["-c", &format!("echo {value} > {file}")])
            };
            set(0)?;
            let others = napi_threads(interface)?;
            set(1)?;
            let mut own = napi_threads(interface)?;
            own.retain(|pid| !others.contains(pid));
            ensure!(!own.is_empty(), "{interface} has got no thread to receive");
            for pid in own {
                if cpu == GATEWAY_CPU {
                    self.receivers.borrow_mut().push(pid);
                }
                let (cpu, pid) = (cpu.to_string(), pid.to_string());
                capture(Command::new("taskset").args(["-pc", &cpu, &pid]))?;
                capture(Command::new("chrt").args(["--fifo", "--pid", "1", &pid]))?;
            }
        }
        Ok(())
    }

    /// The threads that receive for the gateway.
    pub(super) fn receivers(&self) -> Vec<u32> {
        self.receivers.borrow().clone()
    }

    /// Frames and datagrams that the kernel has dropped so far, by where: in the queue before each
    /// interface, in the ring behind it, after XDP because an AF_XDP socket had no room, and at sockets of
    /// each namespace whose buffers were full.
    pub(super) fn lost(&self) -> Result<BTreeMap<String, u64>> {
        let mut lost = BTreeMap::new();
        for (interface, _) in INTERFACES {
            let netns = self.of(interface);
            let file = format!("/sys/class/net/{interface}/statistics/tx_dropped");
            let dropped = netns.run("cat", &[&file])?.trim().parse()?;
            lost.insert(format!("behind {interface}"), dropped);
            let queue = netns.run("tc", &["-s", "qdisc", "show", "dev", interface])?;
            lost.insert(format!("before {interface}"), queue_drops(&queue).context("no queue")?);
            let driver = netns.run("ethtool", &["-S", interface])?;
            lost.insert(format!("AF_XDP at {interface}"), receive_drops(&driver));
        }
        let places =
            [("client", &self.client), ("gateway", &self.gateway), ("backend", &self.backend)];
        for (place, netns) in places {
            let counted = buffer_errors(&netns.run("cat", &["/proc/net/snmp"])?);
            lost.insert(format!("{place}'s sockets"), counted.context("no RcvbufErrors")?);
        }
        Ok(lost)
    }

    /// A command in the gateway, on its CPU.
    pub(super) fn in_gateway(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        on(&self.gateway, GATEWAY_CPU, program)
    }

    /// A command in the client, on the other CPU.
    pub(super) fn in_client(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        on(&self.client, CLIENT_CPU, program)
    }
}

fn on(netns: &Netns, cpu: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = netns.command("taskset");
    command.args(["-c", &cpu.to_string()]).arg(program);
    command
}

fn napi_threads(interface: &str) -> Result<Vec<u32>> {
    let listed = capture(Command::new("ps").args(["-eo", "pid=,comm="]))?;
    let thread = |line: &str| {
        let (pid, name) = line.trim().split_once(' ')?;
        name.trim().strip_prefix(&format!("napi/{interface}-"))?;
        pid.parse().ok()
    };
    Ok(listed.lines().filter_map(thread).collect())
}

/// What a queue has dropped, as `tc -s` tells it: `(dropped 3, overlimits 0 requeues 0)`.
fn queue_drops(text: &str) -> Option<u64> {
    text.split_once("(dropped ")?.1.split_once(',')?.0.parse().ok()
}

/// What XDP has dropped without being told to, in the driver's statistics of all receive queues.
fn receive_drops(text: &str) -> u64 {
    let counters = text.lines().filter_map(|line| line.trim().strip_prefix("rx_queue_"));
    let drops = counters.filter_map(|line| {
        let (queue, count) = line.split_once("_drops: ")?;
        queue.parse::<u32>().ok()?;
        count.parse::<u64>().ok()
    });
    drops.sum()
}

/// The number of datagrams that did not fit into a socket's buffer, in `/proc/net/snmp`.
fn buffer_errors(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    pairs.find(|(name, _)| *name == "RcvbufErrors")?.1.parse().ok()
}

/// CPU time of these processes so far, in seconds.
pub(super) fn seconds_of(processes: &[u32]) -> Result<f64> {
    let spent = processes.iter().map(|pid| cpu_time(*pid));
    Ok(spent.sum::<Result<Duration>>()?.as_secs_f64())
}

/// Busy time of all CPUs so far, in seconds.
pub(super) fn busy_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let numbers: Vec<f64> =
        line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = numbers[..] else {
        anyhow::bail!("/proc/stat begins with {line:?}");
    };
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    Ok((user + nice + system + irq + softirq) / ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_has_dropped_is_read() {
        let queue = "qdisc pfifo 8001: root refcnt 2 limit 1000p\n Sent 9 bytes 1 pkt (dropped 3, \
                     overlimits 0 requeues 2)\n backlog 0b 0p requeues 2\n";
        assert_eq!(queue_drops(queue), Some(3));
        let driver = "NIC statistics:\n     peer_ifindex: 2\n     rx_queue_0_xdp_packets: 9\n     \
                      rx_queue_0_drops: 4\n     rx_queue_0_xdp_drops: 1\n     rx_queue_1_drops: 5\n";
        assert_eq!(receive_drops(driver), 9);
        let sockets = "Ip: Forwarding\nIp: 1\nUdp: InDatagrams RcvbufErrors\nUdp: 7 6\n";
        assert_eq!(buffer_errors(sockets), Some(6));
    }
}
