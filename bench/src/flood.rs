//! `xdtls-bench flood`: sends one kind of flood through an interface, and counts what comes back.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use xdtls_bench_plan::IDENTITIES_MAX;
use xdtls_bench_plan::reply::Watched;
use xdtls_netlab::capture;

use crate::cores::pin;
use crate::generator::{Generator, Replies, Sent};
use crate::interrupt::Interrupt;
use crate::kind::{self, Kind, Route, Script, Shape};

/// How often cookies that have not come are asked for again.
const COLLECTING_ROUNDS: u32 = 20;

/// How many hellos a second ask for cookies: every one is to be answered, in userspace too.
const COLLECTING_RATE: u64 = 50_000;

/// Replies are complete when none has come for so long.
const QUIET: Duration = Duration::from_millis(100);

/// How long replies are waited for at most.
const REPLIES_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a card may be without a carrier because a program was attached to it.
const CARRIER_TIMEOUT: Duration = Duration::from_secs(30);

/// How the line on standard error begins after which the flood is on its way.
pub const BEGINS: &str = "sending";

/// How often progress is printed.
const PROGRESS: Duration = Duration::from_secs(1);

/// Sends a stated number of frames to a gateway, written by an eBPF program as fast as the
/// interface takes them. Use it only against your own machines: it forges source addresses.
///
/// The frames leave through the named interface and nothing else, past all firewalls and queues of
/// this host. Replies to the forged addresses are counted where they come in and go no further.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Interface to send from
    #[arg(long, value_name = "IF")]
    pub interface: String,
    /// IPv4 address and UDP port of the gateway
    #[arg(long, value_name = "ADDR:PORT")]
    pub target: SocketAddrV4,
    /// What to send
    #[arg(long, value_enum)]
    pub kind: Kind,
    /// How many frames to send
    #[arg(long, value_name = "N")]
    pub count: u64,
    /// Frames a second; 0 is as fast as possible
    #[arg(long, value_name = "PPS", default_value_t = 0)]
    pub rate: u64,
    /// Bytes of UDP payload, at least, up to 1472
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub size: usize,
    /// Network of the forged source addresses; default: what RFC 2544 reserves for benchmarks
    #[arg(long, value_name = "NET/BITS", default_value = "198.18.0.0/15", value_parser = network)]
    pub sources: (Ipv4Addr, u32),
    /// How many senders take turns, up to 1048576; each has an address, a port and an id
    #[arg(long, value_name = "N", default_value_t = 65_536,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(IDENTITIES_MAX)))]
    pub senders: u32,
    /// MAC address of the gateway or the next hop [default: what the kernel's neighbours say]
    #[arg(long, value_name = "MAC", value_parser = mac)]
    pub mac: Option<[u8; 6]>,
    /// For wrong-generation: low bits of an id that are its slot
    #[arg(long, value_name = "BITS", default_value_t = 16)]
    pub slot_bits: u32,
    /// For wrong-generation: the rest of the ids
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub generation: u32,
    /// What all that varies is drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// CPU to send on; its number chooses the receive queue of a veth peer
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,
    /// Leave the prefix out, for servers that know none
    #[arg(long)]
    pub no_prefix: bool,
    /// Print one JSON object as the only line of standard output
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
It needs root and an interface with XDP in its driver. If the interface is half of a veth pair, the
other half must have an XDP program or `gro on`, or the kernel discards what is sent.

Examples:
  cargo xtask flood --interface veth0 --target 192.0.2.2:4433 --kind hello --count 10000000
  cargo xtask flood --interface veth0 --target 192.0.2.2:4433 --kind stolen-cookie --count 100000 \\
    --senders 1000 --rate 50000";

/// What a flood has done.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Report {
    /// What has been sent.
    pub sent: Sent,
    /// What had come back when the last frame was sent.
    pub replies_meanwhile: Replies,
    /// What has come back in all.
    pub replies: Replies,
    /// Hellos sent and answered to get cookies, before the flood.
    pub collecting: Option<(Sent, Replies)>,
    /// Whether a signal has ended it early.
    pub interrupted: bool,
}

/// Sends, waits for replies and reports.
pub fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::register()?;
    if let Some(cpu) = options.cpu {
        pin(cpu)?;
    }
    let route = route(options)?;
    let shape = Shape {
        size: options.size,
        prefix: !options.no_prefix,
        identities: options.senders,
        slot_bits: options.slot_bits,
        generation: options.generation,
        seed: options.seed,
    };
    let script = kind::plan(options.kind, &route, &shape)?;
    let mut generator = Generator::load(&options.interface, options.senders)?;
    generator.set_plan(&script)?;
    let watched = Watched {
        network: script.plan.network,
        host_mask: script.plan.host_mask,
        prefix: script.plan.prefix,
        keeps_cookies: u32::from(options.kind.needs_cookies()),
    };
    let had_carrier = has_carrier(&options.interface);
    generator.watch_replies(&options.interface, &watched)?;
    if had_carrier {
        wait_for_carrier(&options.interface, &interrupt)?;
    }
    let mut collecting = None;
    if options.kind.needs_cookies() {
        let hello = kind::plan(Kind::Hello, &route, &shape)?;
        collecting = Some(collect(&mut generator, &hello, options.senders, &interrupt)?);
        generator.set_plan(&script)?;
    }
    let before = generator.replies()?;
    eprintln!("{BEGINS} {} frames to {}", options.count, options.target);
    let mut next = Instant::now() + PROGRESS;
    let sent = generator.send(options.count, options.rate, &interrupt, |frames| {
        if Instant::now() >= next {
            next += PROGRESS;
            eprintln!("{frames} of {} frames sent", options.count);
        }
    })?;
    let replies_meanwhile = generator.replies()? - before;
    let replies = settled(&generator)? - before;
    let interrupted = interrupt.has_come();
    print(options, &Report { sent, replies_meanwhile, replies, collecting, interrupted })?;
    ensure!(!interrupted, "interrupted after {} frames", sent.frames);
    Ok(())
}

/// Waits for a card that attaching has reset.
fn wait_for_carrier(interface: &str, interrupt: &Interrupt) -> Result<()> {
    let deadline = Instant::now() + CARRIER_TIMEOUT;
    while !has_carrier(interface) {
        interrupt.check()?;
        ensure!(Instant::now() < deadline, "{interface} has lost its carrier: look at the cable");
        thread::sleep(QUIET);
    }
    Ok(())
}

fn has_carrier(interface: &str) -> bool {
    let carrier = Path::new("/sys/class/net").join(interface).join("carrier");
    std::fs::read_to_string(carrier).is_ok_and(|carrier| carrier.trim() == "1")
}

fn print(options: &Options, report: &Report) -> Result<()> {
    if options.json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    let Report { sent, replies, collecting, .. } = report;
    if let Some((asked, got)) = collecting {
        println!("cookies:  {} hellos, {} replies", asked.frames, got.hello_verify_requests);
    }
    let rate = sent.frames as f64 / sent.seconds.max(f64::MIN_POSITIVE);
    println!("sent:     {} frames, {} bytes, {rate:.0} a second", sent.frames, sent.bytes);
    println!(
        "replies:  {} HelloVerifyRequests, {} ServerHellos, {} others, {} bytes",
        replies.hello_verify_requests, replies.server_hellos, replies.other, replies.bytes
    );
    println!("What was dropped, and why, the gateway tells: `xdtls status --socket PATH`.");
    Ok(())
}

/// Asks for a cookie for each sender until all have one.
fn collect(
    generator: &mut Generator,
    hello: &Script,
    senders: u32,
    interrupt: &Interrupt,
) -> Result<(Sent, Replies)> {
    let before = generator.replies()?;
    let mut all = Sent::default();
    for _ in 0..COLLECTING_ROUNDS {
        generator.set_plan(hello)?;
        let sent = generator.send(u64::from(senders), COLLECTING_RATE, interrupt, |_| {})?;
        all.frames += sent.frames;
        all.bytes += sent.bytes;
        all.seconds += sent.seconds;
        let replies = settled(generator)? - before;
        if generator.cookies_missing(senders)? == 0 {
            return Ok((all, replies));
        }
        interrupt.check()?;
    }
    let missing = generator.cookies_missing(senders)?;
    bail!("{missing} of {senders} cookies have not come: does a gateway answer at the target?")
}

/// The replies once no more come.
fn settled(generator: &Generator) -> Result<Replies> {
    let deadline = Instant::now() + REPLIES_TIMEOUT;
    let mut last = generator.replies()?;
    loop {
        thread::sleep(QUIET);
        let now = generator.replies()?;
        if now == last || Instant::now() >= deadline {
            return Ok(now);
        }
        last = now;
    }
}

impl std::ops::Sub for Replies {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            hello_verify_requests: self.hello_verify_requests - before.hello_verify_requests,
            server_hellos: self.server_hellos - before.server_hellos,
            other: self.other - before.other,
            bytes: self.bytes - before.bytes,
        }
    }
}

fn route(options: &Options) -> Result<Route> {
    let own = Path::new("/sys/class/net").join(&options.interface).join("address");
    let own = std::fs::read_to_string(own)
        .with_context(|| format!("there is no interface {} here", options.interface))?;
    let destination_mac = match options.mac {
        Some(mac) => mac,
        None => neighbour(&options.interface, *options.target.ip())?,
    };
    let (network, network_bits) = options.sources;
    Ok(Route {
        destination_mac,
        source_mac: mac(own.trim())?,
        target: options.target,
        network,
        network_bits,
    })
}

/// The MAC address of the next hop towards `target`.
pub fn neighbour(interface: &str, target: Ipv4Addr) -> Result<[u8; 6]> {
    let ip = |arguments: &[&str]| capture(Command::new("ip").args(arguments));
    let found = ip(&["-o", "route", "get", &target.to_string(), "oif", interface])?;
    let mut words = found.split_whitespace();
    let via = words.find(|word| *word == "via").and_then(|_| words.next());
    let hop: Ipv4Addr = via.map_or(Ok(target), str::parse)?;
    // Anything that is sent there makes the kernel look for the neighbour; port 9 discards.
    UdpSocket::bind("0.0.0.0:0")?.send_to(&[0], (hop, 9))?;
    thread::sleep(QUIET);
    let found = ip(&["-o", "neighbour", "show", "to", &hop.to_string(), "dev", interface])?;
    let mut words = found.split_whitespace();
    let address = words.find(|word| *word == "lladdr").and_then(|_| words.next());
    let unknown = || format!("the MAC address of {hop} is not known here: give it with --mac");
    mac(address.with_context(unknown)?)
}

fn network(text: &str) -> Result<(Ipv4Addr, u32)> {
    let (address, bits) = text.split_once('/').context("expected NET/BITS")?;
    let bits = bits.parse()?;
    ensure!((8..=32).contains(&bits), "expected 8 to 32 bits");
    Ok((address.parse()?, bits))
}

fn mac(text: &str) -> Result<[u8; 6]> {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16));
    let bytes = bytes.collect::<Result<Vec<_>, _>>().context("expected a MAC address")?;
    bytes.try_into().ok().context("expected a MAC address, six bytes like 02:00:00:00:00:01")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        assert_eq!(network("198.18.0.0/15").unwrap(), (Ipv4Addr::new(198, 18, 0, 0), 15));
        assert!(network("198.18.0.0").is_err() && network("0.0.0.0/0").is_err());
        assert_eq!(mac("02:00:00:0a:ff:01").unwrap(), [2, 0, 0, 10, 255, 1]);
        assert!(mac("02:00:00:0a:ff").is_err() && mac("02:00:00:0a:ff:0g").is_err());
    }
}
