//! `xdtls-nic pktgen`: packets at a gateway, and what became of each.
//!
//! The kernel's pktgen writes garbage; ClientHellos come from the generator of `bench`, valid
//! records from a client of ours. What is counted on the way is read before and after, and the
//! difference has to add up to what was sent.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use xdtls_bench::flood;
use xdtls_netlab::{capture, program};

mod account;
mod counters;
mod kernel;
mod records;

pub use account::Account;
use counters::Snapshot;
use records::{Client, Credentials};

use crate::load::{Record, files, state_folder};

/// Counters are complete when none has changed for so long.
const QUIET: Duration = Duration::from_millis(300);

/// How long they are waited for at most.
const SETTLE_PATIENCE: Duration = Duration::from_secs(20);

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// What no association can want, by the kernel's pktgen where it has that
    Garbage,
    /// ClientHellos without a cookie from forged addresses, by our own generator
    Hellos,
    /// Valid records of one association, by a client of ours
    Records,
}

/// Sends packets to a gateway and accounts for each of them.
///
/// With a gateway that `load` has started on this machine, everything is accounted for: dropped by
/// reason, answered, or lost at a card, a ring or a socket. Without one, only what was sent is known.
/// Use it only against your own machines: it forges source addresses.
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
    #[arg(long, value_enum, default_value = "garbage")]
    pub profile: Profile,
    /// How many packets
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub count: u64,
    /// Packets a second; 0 is as fast as possible
    #[arg(long, value_name = "PPS", default_value_t = 0)]
    pub rate: u64,
    /// Bytes of a frame without its checksum; with records, of a datagram's plaintext
    #[arg(long, value_name = "BYTES", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(63..=1400))]
    pub size: u32,
    /// Threads of the kernel's pktgen, one for a CPU
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: u32,
    /// Packets that the kernel's pktgen hands to the driver at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub burst: u32,
    /// Source addresses and ports that take turns
    #[arg(long, value_name = "N", default_value_t = 1_024,
          value_parser = clap::value_parser!(u32).range(1..=32_768))]
    pub flows: u32,
    /// First of the forged source addresses; default: of those that RFC 2544 reserves for benchmarks
    #[arg(long, value_name = "ADDR", default_value = "198.18.0.1")]
    pub source: Ipv4Addr,
    /// MAC address of the gateway or the next hop [default: what the kernel's neighbours say]
    #[arg(long, value_name = "MAC")]
    pub mac: Option<String>,
    /// Use our own generator although the kernel has one
    #[arg(long)]
    pub own_generator: bool,
    /// With records: folder with client.pem, client.key and ca.pem [default: what `load` has made]
    #[arg(long, value_name = "DIR")]
    pub certificates: Option<PathBuf>,
    /// With records: name that the gateway's certificate has
    #[arg(long, value_name = "NAME", default_value = "gateway")]
    pub server_name: String,
    /// Folder that was given to `load` [default: load in the target folder]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Print one JSON object as the only line of standard output
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask load --interface eth1
  cargo xtask pktgen --interface eth0 --target 192.0.2.2:4433 --count 10000000 --threads 4
  cargo xtask pktgen --interface eth0 --target 192.0.2.2:4433 --profile hellos --count 100000
  cargo xtask pktgen --interface eth0 --target 192.0.2.2:4433 --profile records --size 1200";

/// What a run has done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What was sent.
    pub profile: Profile,
    /// Who has sent it.
    pub generator: String,
    /// How long sending took, in seconds.
    pub seconds: f64,
    /// HelloVerifyRequests that have come back, if they were counted.
    pub replies: Option<u64>,
    /// Whether the gateway's counters could be read.
    pub gateway: bool,
    /// What became of it; without a gateway, what the sender lost.
    #[serde(flatten)]
    pub account: Account,
}

/// Sends, counts and reports; a failure if a packet is not accounted for.
pub fn run(options: &Options) -> Result<ExitCode> {
    ensure!(rustix::process::geteuid().is_root(), "generating packets needs root");
    let gateway =
        Record::read(&state_folder(options.state.as_deref())?)?.filter(Record::is_running);
    let generator = Generator::choose(options)?;
    if !options.json {
        println!("generator:   {}", generator.name());
    }
    let before = settled(options, gateway.as_ref())?;
    let begin = Instant::now();
    let Sent { packets, replies } = generator.send(options)?;
    let seconds = begin.elapsed().as_secs_f64();
    let after = settled(options, gateway.as_ref())?;
    let account = Account::of(options.profile, packets, &before, &after);
    let (profile, generator) = (options.profile, generator.name().to_owned());
    let gateway = gateway.is_some();
    let report = Report { profile, generator, seconds, replies, gateway, account };
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    let complete = !report.gateway || report.account.unaccounted == 0;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was sent, and what came back.
struct Sent {
    packets: u64,
    replies: Option<u64>,
}

/// Who sends.
enum Generator {
    Kernel,
    Own,
    Client(Client),
}

impl Generator {
    fn choose(options: &Options) -> Result<Self> {
        Ok(match options.profile {
            Profile::Garbage if !options.own_generator && kernel::is_there() => Self::Kernel,
            Profile::Garbage | Profile::Hellos => Self::Own,
            Profile::Records => {
                let state = state_folder(options.state.as_deref())?;
                let own = || files::certificates_in(&state);
                let folder = options.certificates.clone().unwrap_or_else(own);
                let credentials = Credentials {
                    server_name: options.server_name.clone(),
                    certificate: folder.join("client.pem"),
                    key: folder.join("client.key"),
                    ca: folder.join("ca.pem"),
                };
                Self::Client(Client::start(options.target.into(), &credentials)?)
            }
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Kernel => "the kernel's pktgen",
            Self::Own => "our own generator: the kernel's pktgen is not here, or cannot write this",
            Self::Client(_) => "xdtls connect: the kernel's pktgen cannot seal records",
        }
    }

    fn send(&self, options: &Options) -> Result<Sent> {
        match self {
            Self::Kernel => {
                let done = kernel::send(&kernel_script(options)?)?;
                if done.errors > 0 {
                    eprintln!("the driver has refused {} packets", done.errors);
                }
                Ok(Sent { packets: done.sent, replies: None })
            }
            Self::Own => send_flood(options),
            Self::Client(client) => {
                let size = options.size as usize;
                Ok(Sent { packets: client.send(options.count, size, options.rate)?, replies: None })
            }
        }
    }
}

fn kernel_script(options: &Options) -> Result<kernel::Script> {
    let known = || flood::neighbour(&options.interface, *options.target.ip());
    let mac = match &options.mac {
        Some(mac) => mac.clone(),
        None => known()?.map(|byte| format!("{byte:02x}")).join(":"),
    };
    Ok(kernel::Script {
        interface: options.interface.clone(),
        mac,
        target: options.target,
        source: options.source,
        count: options.count,
        size: options.size,
        threads: options.threads,
        burst: options.burst,
        flows: options.flows,
        rate: options.rate,
    })
}

/// Ethernet, IPv4 and UDP headers, in bytes.
const HEADERS: u32 = 42;

/// Runs the generator of `bench` to its end.
fn send_flood(options: &Options) -> Result<Sent> {
    let kind = if options.profile == Profile::Hellos { "hello" } else { "garbage" };
    let mut command = Command::new(program("xdtls-bench")?);
    command.args(["flood", "--json", "--kind", kind, "--interface", &options.interface]);
    for (option, value) in [
        ("--target", options.target.to_string()),
        ("--count", options.count.to_string()),
        ("--rate", options.rate.to_string()),
        ("--size", (options.size - HEADERS).to_string()),
        ("--senders", options.flows.to_string()),
        ("--sources", format!("{}/15", options.source)),
    ] {
        command.args([option, &value]);
    }
    command.args(options.mac.iter().flat_map(|mac| ["--mac", mac]));
    let text = capture(&mut command)?;
    let line = text.lines().last().context("the generator has no report")?;
    let report: flood::Report = serde_json::from_str(line).context("the generator's report")?;
    let replies = Some(report.replies.hello_verify_requests);
    Ok(Sent { packets: report.sent.frames, replies })
}

/// All counters, once they change no more.
fn settled(options: &Options, gateway: Option<&Record>) -> Result<Snapshot> {
    let look = || Snapshot::now(&options.interface, gateway);
    let deadline = Instant::now() + SETTLE_PATIENCE;
    let mut last = look()?;
    loop {
        sleep(QUIET);
        let now = look()?;
        if now.counts() == last.counts() || Instant::now() >= deadline {
            return Ok(now);
        }
        last = now;
    }
}

fn print(report: &Report) {
    let Report { seconds, gateway, account, .. } = report;
    let rate = account.sent as f64 / seconds.max(f64::MIN_POSITIVE);
    println!("sent:        {}, {rate:.0} a second", account.sent);
    if !gateway {
        println!("No gateway is loaded here, so what became of them is not known.");
    } else {
        println!("received:    {}, by the XDP program", account.received);
    }
    if let Some(replies) = report.replies {
        println!("replies:     {replies} HelloVerifyRequests");
    }
    for (fate, count) in &account.fates {
        println!("  {count:>10}  {fate}");
    }
    if *gateway {
        println!("unaccounted: {}", account.unaccounted);
    }
}
