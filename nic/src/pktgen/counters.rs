//! What everybody on a packet's way has counted at one moment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use xdtls_netlab::capture;

use crate::load::{Record, ask};

/// Counters by name.
pub(super) type Counters = BTreeMap<String, u64>;

/// All counters of a way from one interface to a gateway on another.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// Losses of the sending card, by the kernel's names.
    pub(super) sender: Counters,
    /// Losses of the gateway's card.
    pub(super) card: Counters,
    /// Whether what the XDP program drops is among them.
    pub(super) counts_verdicts: bool,
    /// Datagrams that did not fit into the buffers of the gateway's UDP sockets.
    pub(super) socket: u64,
    /// What the gateway says of itself.
    pub(super) status: Value,
}

impl Snapshot {
    /// Looks now. Without a gateway here, only the sender is known.
    pub(super) fn now(interface: &str, gateway: Option<&Record>) -> Result<Self> {
        let sender = Card::look(interface, None)?.lost_sending();
        let Some(record) = gateway else { return Ok(Self { sender, ..Self::default() }) };
        let card = Card::look(&record.interface, Some(record.pid))?;
        let status = ask(&record.socket)?;
        let address = status["address"].as_str().and_then(|address| address.parse().ok());
        let address: SocketAddr = address.context("the gateway does not tell its address")?;
        let socket = socket_drops(record.pid, address.port())?;
        let counts_verdicts = card.counts_verdicts();
        Ok(Self { sender, card: card.lost_receiving(), counts_verdicts, socket, status })
    }

    /// All that packets change.
    pub(super) fn counts(&self) -> impl PartialEq + use<> {
        let groups = ["xdp", "drops_by_place", "af_xdp", "opened"];
        let status = groups.map(|group| self.status[group].clone());
        (self.sender.clone(), self.card.clone(), self.socket, status)
    }

    /// A number in the gateway's status.
    pub(super) fn status(&self, path: &[&str]) -> u64 {
        let value = path.iter().fold(&self.status, |value, name| &value[*name]);
        value.as_u64().unwrap_or(0)
    }
}

/// What a card and its driver count.
#[derive(Clone, Debug, Default)]
struct Card {
    driver: String,
    /// The kernel's counters, as `rx.dropped`.
    kernel: Counters,
    /// The driver's own.
    own: Counters,
}

impl Card {
    /// Asks the kernel of our network namespace, or of that of a process.
    fn look(interface: &str, namespace_of: Option<u32>) -> Result<Self> {
        let run = |program: &str, arguments: &[&str]| {
            let mut command = match namespace_of {
                None => Command::new(program),
                Some(pid) => {
                    let mut command = Command::new("nsenter");
                    command.arg(format!("--net=/proc/{pid}/ns/net")).arg(program);
                    command
                }
            };
            capture(command.args(arguments))
        };
        let listed = run("ip", &["-json", "-stats", "-stats", "link", "show", "dev", interface])?;
        let links: Value = serde_json::from_str(&listed)?;
        let driver = run("ethtool", &["-i", interface]).context("ethtool names no driver")?;
        let driver = driver.lines().find_map(|line| line.strip_prefix("driver: "));
        // A driver need not count anything of its own.
        let own = run("ethtool", &["-S", interface]).unwrap_or_default();
        Ok(Self {
            driver: driver.unwrap_or_default().to_owned(),
            kernel: kernel_counters(&links[0]["stats64"]),
            own: own.lines().filter_map(own_counter).collect(),
        })
    }

    /// Frames that were handed to it and did not leave.
    fn lost_sending(&self) -> Counters {
        let mut lost = self.named(&["tx.dropped", "tx.errors"]);
        if self.driver == "veth" {
            // The kernel counts frames of XDP that did not fit into the other end's ring as dropped.
            let ring = self.sum("tx_queue_", "_xdp_xmit_errors");
            lost.entry("tx.dropped".to_owned()).and_modify(|count| *count -= ring.min(*count));
            lost.insert("ring of the other end".to_owned(), ring);
        }
        if self.driver == "virtio_net" {
            lost.insert("xdp_tx_drops".to_owned(), self.sum("tx", "_xdp_tx_drops"));
        }
        lost
    }

    /// Frames that came and did not reach the XDP program. Drivers count under different names, and
    /// some count what the program drops as well.
    fn lost_receiving(&self) -> Counters {
        match self.driver.as_str() {
            // Here rx.dropped is what lay beyond the program, which is accounted for there.
            "veth" => Counters::new(),
            "virtio_net" => Counters::from([("rx_drops".to_owned(), self.sum("rx", "_drops"))]),
            "igb" => {
                let mut lost = self.named(&["rx.missed_errors"]);
                lost.insert("rx_queue_drops".to_owned(), self.sum("rx_queue_", "_drops"));
                lost
            }
            _ => {
                self.named(&["rx.dropped", "rx.missed_errors", "rx.over_errors", "rx.fifo_errors"])
            }
        }
    }

    /// Whether `rx_drops` counts packets that the program drops, too. In zero-copy mode the driver
    /// counts them there alone.
    fn counts_verdicts(&self) -> bool {
        self.driver == "virtio_net"
    }

    fn named(&self, names: &[&str]) -> Counters {
        let counter = |name: &&str| Some(((*name).to_owned(), *self.kernel.get(*name)?));
        names.iter().filter_map(counter).collect()
    }

    /// The sum over all queues of the driver's counters that begin and end so.
    fn sum(&self, begin: &str, end: &str) -> u64 {
        let of_queue = |name: &str| {
            let rest = name.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
            rest.is_some_and(|rest| rest.parse::<u32>().is_ok())
        };
        self.own.iter().filter(|(name, _)| of_queue(name)).map(|(_, count)| count).sum()
    }
}

fn kernel_counters(stats: &Value) -> Counters {
    let mut counters = Counters::new();
    for direction in ["rx", "tx"] {
        for (name, count) in stats[direction].as_object().into_iter().flatten() {
            counters.extend(count.as_u64().map(|count| (format!("{direction}.{name}"), count)));
        }
    }
    counters
}

/// A line of `ethtool -S`.
fn own_counter(line: &str) -> Option<(String, u64)> {
    let (name, value) = line.trim().split_once(": ")?;
    Some((name.to_owned(), value.trim().parse().ok()?))
}

/// What UDP sockets on a port have dropped for lack of room, in the namespace of a process.
fn socket_drops(pid: u32, port: u16) -> Result<u64> {
    let mut sum = 0;
    for table in ["udp", "udp6"] {
        let path = format!("/proc/{pid}/net/{table}");
        // A kernel without IPv6 has one table.
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let drops = text.lines().skip(1).filter_map(|line| drops_of(line, port));
        sum += drops.sum::<u64>();
    }
    Ok(sum)
}

/// The last column of a socket's line, if the socket is bound to `port`.
fn drops_of(line: &str, port: u16) -> Option<u64> {
    let mut columns = line.split_whitespace();
    let (_, local) = columns.nth(1)?.rsplit_once(':')?;
    let drops = columns.next_back()?.parse().ok()?;
    (u16::from_str_radix(local, 16).ok()? == port).then_some(drops)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(driver: &str, own: &str) -> Card {
        let kernel = [("rx.dropped", 9), ("rx.missed_errors", 2), ("tx.dropped", 7)];
        Card {
            driver: driver.to_owned(),
            kernel: kernel.map(|(name, count)| (name.to_owned(), count)).into(),
            own: own.lines().filter_map(own_counter).collect(),
        }
    }

    #[test]
    fn queues_are_summed_up_and_not_the_sums_beside_them() {
        let listed = "     rx_drops: 12\n     rx_xdp_drops: 10\n     rx0_drops: 8\n     \
                      rx0_xdp_drops: 7\n     rx1_drops: 4\n     rx1_xdp_drops: 3\n";
        assert_eq!(card("virtio_net", listed).lost_receiving()["rx_drops"], 12);
    }

    #[test]
    fn frames_of_xdp_that_a_veth_lost_are_named_once() {
        let lost = card("veth", "tx_queue_0_xdp_xmit_errors: 4\ntx_queue_1_xdp_xmit_errors: 1\n");
        let lost = lost.lost_sending();
        assert_eq!((lost["ring of the other end"], lost["tx.dropped"]), (5, 2));
    }

    #[test]
    fn an_igb_counts_what_it_missed() {
        let lost = card("igb", "rx_queue_0_drops: 1\nrx_queue_1_drops: 3\n").lost_receiving();
        assert_eq!((lost["rx.missed_errors"], lost["rx_queue_drops"]), (2, 4));
    }

    #[test]
    fn losses_of_sockets_on_the_port_are_read() {
        let line = "  10: 00000000:1151 00000000:0000 07 00000000:00000000 00:00000000 00000000     \
                    0        0 10492 2 0000000000000000 17  ";
        assert_eq!(drops_of(line, 4433), Some(17));
        assert_eq!(drops_of(line, 4434), None);
    }
}
