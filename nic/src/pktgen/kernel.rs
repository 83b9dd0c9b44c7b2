//! The kernel's own packet generator: Documentation/networking/pktgen.rst.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xdtls_netlab::capture;

/// Where it is told what to do, in this network namespace.
const FOLDER: &str = "/proc/net/pktgen";

/// What it is to send. Its payload is a number, a time stamp and zeros: to xdtls, garbage.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) interface: String,
    /// The MAC address of the gateway or the next hop.
    pub(super) mac: String,
    pub(super) target: SocketAddrV4,
    /// The first source address.
    pub(super) source: Ipv4Addr,
    /// Packets of all threads together.
    pub(super) count: u64,
    /// Bytes of a frame, without its checksum.
    pub(super) size: u32,
    pub(super) threads: u32,
    /// Packets handed to the driver at once.
    pub(super) burst: u32,
    /// Source addresses and ports that take turns.
    pub(super) flows: u32,
    /// Packets a second of all threads together; 0 for as many as possible.
    pub(super) rate: u64,
}

/// What it has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Packets that the driver has taken.
    pub(super) sent: u64,
    /// Packets that it has refused.
    pub(super) errors: u64,
}

/// Whether this kernel has it.
pub(super) fn is_there() -> bool {
    if Path::new(FOLDER).is_dir() {
        return true;
    }
    // Without modules, or without this one, there is none.
    let loaded = capture(Command::new("modprobe").args(["--quiet", "pktgen"]));
    loaded.is_ok() && Path::new(FOLDER).is_dir()
}

/// Sends, and returns when all is sent.
pub(super) fn send(script: &Script) -> Result<Done> {
    let control = Path::new(FOLDER).join("pgctrl");
    write(&control, "reset")?;
    let threads = script.threads;
    let mut devices = Vec::new();
    for thread in 0..threads {
        let file = Path::new(FOLDER).join(format!("kpktgend_{thread}"));
        let cpus = || format!("pktgen has a thread for each CPU and no number {thread}: use fewer");
        let device = format!("{}@{thread}", script.interface);
        write(&file, &format!("add_device {device}")).with_context(cpus)?;
        let device = Path::new(FOLDER).join(device);
        for command in commands(script, thread) {
            write(&device, &command)?;
        }
        devices.push(device);
    }
    // It returns when all threads are done.
    write(&control, "start")?;
    let mut sum = Done::default();
    for device in devices {
        let done = parse(&read(&device)?)?;
        sum.sent += done.sent;
        sum.errors += done.errors;
    }
    write(&control, "reset")?;
    Ok(sum)
}

/// The settings of one thread's device.
fn commands(script: &Script, thread: u32) -> Vec<String> {
    let Script { mac, target, source, size, burst, threads, .. } = script;
    let share = |all: u64| {
        all / u64::from(*threads) + u64::from(u64::from(thread) < all % u64::from(*threads))
    };
    let flows = script.flows.max(1);
    let last = Ipv4Addr::from_bits(source.to_bits().saturating_add(flows - 1));
    let (address, port) = (target.ip(), target.port());
    // Ports of their own make flows to a card that looks at ports, addresses to one that does not.
    let last_port = FIRST_PORT + flows.min(u32::from(u16::MAX) - FIRST_PORT);
    let mut commands = vec![
        format!("count {}", share(script.count)),
        format!("pkt_size {size}"),
        format!("burst {burst}"),
        "clone_skb 0".to_owned(),
        format!("dst_mac {mac}"),
        format!("dst_min {address}"),
        format!("dst_max {address}"),
        format!("udp_dst_min {port}"),
        format!("udp_dst_max {port}"),
        format!("src_min {source}"),
        format!("src_max {last}"),
        format!("udp_src_min {FIRST_PORT}"),
        format!("udp_src_max {last_port}"),
        "flag QUEUE_MAP_CPU".to_owned(),
    ];
    commands.push(match share(script.rate) {
        0 => "delay 0".to_owned(),
        rate => format!("ratep {rate}"),
    });
    commands
}

/// The first source port.
const FIRST_PORT: u32 = 9000;

/// Reads what a device says of itself.
fn parse(text: &str) -> Result<Done> {
    let number = |name: &str| -> Option<u64> {
        text.split_once(name)?.1.split_whitespace().next()?.parse().ok()
    };
    let done = text.contains("Result: OK");
    ensure!(done, "pktgen has not sent: {}", text.lines().last().unwrap_or_default());
    let sent = number("pkts-sofar:").context("pktgen does not tell what it has sent")?;
    let errors = number("errors:").context("pktgen does not tell its errors")?;
    Ok(Done { sent, errors })
}

fn write(file: &PathBuf, command: &str) -> Result<()> {
    fs::write(file, format!("{command}\n"))
        .with_context(|| format!("pktgen: {} refuses `{command}`", file.display()))
}

fn read(file: &PathBuf) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
Params: count 50000  min_pkt_size: 64  max_pkt_size: 64
     frags: 0  delay: 0  clone_skb: 0  ifname: nic0@0
Current:
     pkts-sofar: 50000  errors: 3
     started: 10us  stopped: 20us idle: 5us
     seq_num: 50001  cur_dst_mac_offset: 0  cur_src_mac_offset: 0
Result: OK: 10(c5+d5) usec, 50000 (64byte,0frags)
  4000000pps 2048Mb/sec (2048000000bps) errors: 3
";

    #[test]
    fn results_are_read() {
        assert_eq!(parse(SAID).unwrap(), Done { sent: 50_000, errors: 3 });
        assert!(parse(&SAID.replace("OK", "Idle")).is_err());
    }

    #[test]
    fn threads_share_count_and_rate() {
        let script = Script {
            interface: "nic0".to_owned(),
            mac: "02:00:00:00:00:02".to_owned(),
            target: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 4433),
            source: Ipv4Addr::new(198, 18, 0, 1),
            count: 101,
            size: 64,
            threads: 2,
            burst: 8,
            flows: 4,
            rate: 1000,
        };
        let (first, second) = (commands(&script, 0), commands(&script, 1));
        assert!(first.contains(&"count 51".to_owned()) && second.contains(&"count 50".to_owned()));
        assert!(first.contains(&"src_max 198.18.0.4".to_owned()));
        assert!(second.contains(&"ratep 500".to_owned()));
        let unbounded = Script { rate: 0, ..script };
        assert!(commands(&unbounded, 0).contains(&"delay 0".to_owned()));
    }
}
