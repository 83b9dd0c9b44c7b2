//! Judges the interface.

use super::facts::{Facts, Link};
use super::netdev::{BASIC, ZERO_COPY};
use crate::datapath::interface::TooLarge;
use crate::finding::Findings;

/// Offloads that merge packets before XDP sees them, by ethtool's names. The names that follow are
/// for `ethtool -K`.
const MERGING: [(&str, &str); 2] = [("rx-lro", "lro"), ("rx-gro-hw", "rx-gro-hw")];

/// A shorter receive ring loses packets while a worker sleeps.
const RX_RING_MIN: u32 = 512;

pub(super) fn judge(facts: &Facts, link: &Link, findings: &mut Findings) {
    judge_link(link, findings);
    judge_modes(link, findings);
    judge_occupant(link, findings);
    judge_mtu(link, findings);
    judge_queues(facts, link, findings);
    judge_ring(link, findings);
    judge_offloads(link, findings);
}

fn is_veth(link: &Link) -> bool {
    link.interface.kind.as_deref() == Some("veth")
}

fn judge_link(link: &Link, findings: &mut Findings) {
    let name = &link.interface.name;
    let what = link.interface.driver.as_ref().or(link.interface.kind.as_ref());
    let what = what.map_or("an interface without driver", String::as_str);
    match link.state.as_str() {
        "down" | "lowerlayerdown" | "notpresent" => {
            let remedy = format!("ip link set {name} up, and look at the cable");
            findings.warning("interface", format!("{name} ({what}) is {}", link.state), remedy);
        }
        _ => findings.ok("interface", format!("{name} ({what}) is {}", link.state)),
    }
}

fn judge_modes(link: &Link, findings: &mut Findings) {
    let Some(features) = link.xdp_features else {
        return findings.warning(
            "XDP modes",
            "the kernel does not tell what the driver can do (it does from Linux 6.3 on)",
            "start the gateway and look at its line `datapath:`; generic mode works everywhere",
        );
    };
    if features & BASIC == 0 {
        return findings.warning(
            "XDP modes",
            "generic only: the driver runs no XDP programs, each packet costs an allocation",
            "use a driver with native XDP, or sockets (datapath = \"socket\")",
        );
    }
    findings.ok("XDP modes", "native and generic");
    if features & ZERO_COPY == 0 {
        findings.warning(
            "zero-copy",
            "not by this driver: AF_XDP copies each packet once",
            "nothing to do, unless you can choose another card; do not set zero_copy = \"require\"",
        );
    } else {
        findings.ok("zero-copy", "the driver can");
    }
}

fn judge_occupant(link: &Link, findings: &mut Findings) {
    let name = &link.interface.name;
    match link.interface.xdp_program {
        None => findings.ok("other programs", "no XDP program is attached"),
        Some(id) => findings.problem(
            "other programs",
            format!("{name} has an XDP program already (id {id})"),
            format!(
                "if it is not a running xdtls: `bpftool prog show id {id}` tells what it is, \
                 `ip link set dev {name} xdp off` detaches it"
            ),
        ),
    }
}

fn judge_mtu(link: &Link, findings: &mut Findings) {
    let (name, mtu) = (&link.interface.name, link.interface.mtu);
    match link.interface.chunk() {
        Ok(chunk) => {
            let (bytes, room) = (chunk.bytes(), link.interface.room(chunk));
            let seen = format!("{mtu}: frames of {bytes} bytes have room for {room}");
            findings.ok("MTU", seen);
        }
        Err(TooLarge { most, .. }) => findings.problem(
            "MTU",
            format!("{mtu}: more than XDP takes here ({most})"),
            format!("ip link set {name} mtu {most}, or less; or datapath = \"socket\""),
        ),
    }
}

fn judge_queues(facts: &Facts, link: &Link, findings: &mut Findings) {
    let (name, queues, cpus) = (&link.interface.name, link.interface.queues, facts.cpus);
    let most = link.queues_max.map_or_else(String::new, |most| format!(" of at most {most}"));
    let interrupts = match link.interrupts {
        0 => String::new(),
        count => format!(", {count} interrupts"),
    };
    let plural = if queues == 1 { "" } else { "s" };
    let seen = format!("{queues} receive queue{plural}{most}, {cpus} CPUs{interrupts}");
    let could_be_more = link.queues_max.is_some_and(|most| most > queues) && queues < cpus;
    if could_be_more && !is_veth(link) {
        let better = link.queues_max.unwrap_or(queues).min(cpus);
        findings.warning("queues", seen, format!("ethtool -L {name} combined {better}"));
    } else if queues > 2 * cpus {
        let remedy = format!("ethtool -L {name} combined {cpus}: each queue costs memory");
        findings.warning("queues", seen, remedy);
    } else {
        findings.ok("queues", seen);
    }
    if queues > 1 && !is_veth(link) {
        judge_spreading(link, findings);
    }
}

/// Whether the card looks at UDP ports when it picks a queue.
fn judge_spreading(link: &Link, findings: &mut Findings) {
    let name = &link.interface.name;
    match link.udp_ports_spread {
        Some(true) => findings.ok("spreading", "UDP ports count when the card picks a queue"),
        Some(false) => findings.warning(
            "spreading",
            "the card looks at addresses only: clients behind one NAT share one queue",
            format!("ethtool -N {name} rx-flow-hash udp4 sdfn (and udp6)"),
        ),
        None => findings.ok("spreading", "the driver does not tell how it picks a queue"),
    }
}

fn judge_ring(link: &Link, findings: &mut Findings) {
    let name = &link.interface.name;
    match link.rx_ring {
        Some((now, most)) if now < RX_RING_MIN && most > now => findings.warning(
            "receive rings",
            format!("{now} packets each, of at most {most}: bursts may be lost"),
            format!("ethtool -G {name} rx {}", most.min(2048)),
        ),
        Some((now, most)) => {
            findings.ok("receive rings", format!("{now} packets each, of at most {most}"));
        }
        None => findings.ok("receive rings", "the driver has none that could be set"),
    }
}

fn judge_offloads(link: &Link, findings: &mut Findings) {
    let name = &link.interface.name;
    let mut fine = true;
    for (feature, short) in MERGING {
        if link.offloads.iter().any(|on| on == feature) {
            fine = false;
            findings.warning(
                "offloads",
                format!("{feature} is on: it merges packets, and native XDP refuses or loses them"),
                format!("ethtool -K {name} {short} off"),
            );
        }
    }
    if fine {
        findings.ok("offloads", "none that merges packets before XDP");
    }
    if is_veth(link) {
        findings.warning(
            "checksums",
            "the other end of a veth may leave UDP checksums to an offload: XDP sees wrong ones",
            "at the other end: ethtool -K PEER tx off (with containers: in the container)",
        );
    }
}
