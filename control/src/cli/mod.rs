//! The command line: definitions and help only, what they do is wired in `main`.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use xdtls_proto::rekey::RekeyLimits;

use crate::config::{
    FLOW_IDLE_TIMEOUT, PATH_MTU, REKEY_BYTES, REKEY_RECORDS, REKEY_TIME, duration,
};
use crate::datapath::options::DatapathArgs;
use crate::dev_certs;
use crate::exit::Exit;

mod access;
mod examine;
mod operate;
mod proof;
#[cfg(test)]
mod tests;

pub use access::{Access, AccessAction};
pub use examine::{Check, Doctor};
pub use operate::{
    Asked, Associations, AssociationsAction, DEFAULT_LIMIT, Drops, Reload, Status, Trace,
};
pub use proof::Proof;

/// A DTLS gateway and client at the speed of XDP and AF_XDP
#[derive(Clone, Debug, Parser)]
#[command(name = "xdtls", version, max_term_width = 100, after_help = after_help())]
pub struct Cli {
    /// How much to log: off, error, warn, info, debug or trace
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        display_order = 900,
        env = "XDTLS_LOG",
        hide_env_values = true,
        default_value = "info",
        hide_possible_values = true,
        value_parser = log_level()
    )]
    pub log: LevelFilter,

    /// Form of the log: human, or json for programs, one object a line
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        display_order = 901,
        env = "XDTLS_LOG_FORMAT",
        hide_env_values = true,
        default_value = "human",
        hide_possible_values = true
    )]
    pub log_format: LogFormat,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum LogFormat {
    /// For people.
    Human,
    /// For programs.
    Json,
}

const EXAMPLES: &str = "\
Try it on one machine:
  xdtls dev-certs --out .
  xdtls check --config gateway.toml
  xdtls gateway --config gateway.toml
  xdtls connect --gateway 127.0.0.1:4433 --listen 127.0.0.1:5000 \\
    --certificate client.pem --key client.key --ca ca.pem
  xdtls status";

/// Examples, and what the exit codes mean.
fn after_help() -> String {
    let code = |exit: &Exit| format!("\n  {}  {}", exit.code(), exit.meaning());
    let codes: String = Exit::ALL.iter().map(code).collect();
    format!("{EXAMPLES}\n\nExit codes:{codes}")
}

/// What the program does.
#[derive(Clone, Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, which is read once")]
pub enum Command {
    /// End DTLS associations and forward their datagrams to backends
    Gateway(Gateway),
    /// Be a gateway that also keeps links to peers, which either end may open
    Peer(Peer),
    /// Carry local UDP flows to a gateway, each in an association of its own
    Connect(Box<Connect>),
    /// Find what is wrong with a configuration, without starting anything
    Check(Check),
    /// Find what keeps XDP from a network interface, or slows it down
    Doctor(Doctor),
    /// Make a CA and certificates for development
    #[command(after_help = DEV_CERTS_EXAMPLES)]
    DevCerts(dev_certs::Options),
    /// Ask a running gateway or client how it is doing
    Status(Status),
    /// List, show or close associations of a running gateway or client
    Associations(Associations),
    /// Say what a running gateway or client has dropped, why, and what to do
    Drops(Drops),
    /// Let a running gateway read its certificates, rules and limits again
    Reload(Reload),
    /// Watch the datagrams of one association or address
    Trace(Trace),
    /// Show or change which sources alone may send to a running gateway
    Allow(Access),
    /// Show or change which sources may not send to a running gateway
    Deny(Access),
}

const DEV_CERTS_EXAMPLES: &str = "\
Writes ca, gateway, client and every NAME as DIR/….pem and DIR/….key. A CA that is in DIR already
is used again, so both key types may share it. For development only: the CA's key lies in DIR.

Examples:
  xdtls dev-certs --out certs
  xdtls dev-certs --out certs --key-type rsa
  xdtls dev-certs --out certs --name a.sensors.example --name b.sensors.example --force";

/// `xdtls gateway`
#[derive(Args, Clone, Debug)]
#[command(after_help = GATEWAY_EXAMPLES)]
pub struct Gateway {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,

    /// How packets travel; overrides the configuration.
    #[command(flatten)]
    pub datapath: DatapathArgs,
}

const GATEWAY_EXAMPLES: &str = "\
The whole configuration is checked before anything starts; each fault is reported with its line.

Examples:
  xdtls gateway --config /etc/xdtls/gateway.toml
  xdtls gateway --config gateway.toml --datapath socket --log debug";

/// `xdtls peer`
#[derive(Args, Clone, Debug)]
#[command(after_help = PEER_EXAMPLES)]
pub struct Peer {
    /// Configuration file: a gateway's, with `[[peer]]` tables
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,

    /// How packets travel; overrides the configuration.
    #[command(flatten)]
    pub datapath: DatapathArgs,
}

const PEER_EXAMPLES: &str = "\
What local programs send to a link's `listen` comes out at the peer's `deliver`, and back. Both ends
may open at once; one association is left. A link without `address` waits for its peer to open.

Examples:
  xdtls peer --config /etc/xdtls/peer.toml
  xdtls check --config peer.toml";

/// `xdtls connect`
#[derive(Args, Clone, Debug)]
#[command(after_help = CONNECT_EXAMPLES)]
pub struct Connect {
    /// UDP address of the gateway; an IPv6 address stands in brackets
    #[arg(long, value_name = "HOST:PORT")]
    pub gateway: HostPort,

    /// Local UDP address that takes datagrams; each sender gets an association of its own
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// How this client and the gateway prove who they are.
    #[command(flatten)]
    pub proof: Proof,

    /// Name that the gateway's certificate must have [default: HOST]
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,

    /// Time without datagrams after which an association ends, from 1s to 24h
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = idle_timeout)]
    pub idle_timeout: Duration,

    /// Records of one direction after which an association gets new keys, from 256 to 16777216
    #[arg(long, value_name = "COUNT", default_value_t = RekeyLimits::default().records)]
    #[arg(value_parser = rekey_records())]
    pub rekey_after_records: u64,

    /// The same in bytes of datagrams, both directions together, from 1 MiB to 256 GiB
    #[arg(long, value_name = "BYTES", default_value_t = RekeyLimits::default().bytes)]
    #[arg(value_parser = rekey_bytes())]
    pub rekey_after_bytes: u64,

    /// The same in time, from 1m to 168h
    #[arg(long, value_name = "DURATION", default_value = "4h", value_parser = rekey_time)]
    pub rekey_after_time: Duration,

    /// Local programs, and so associations, at once, at most 2048
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = max_associations())]
    pub max_associations: u32,

    /// Largest IP packet to the gateway in bytes, from 576 to 9216
    #[arg(long, value_name = "BYTES", default_value_t = 1500, value_parser = path_mtu())]
    pub path_mtu: u16,

    /// Unix socket for `xdtls status` [default: none]
    #[arg(long, value_name = "PATH")]
    pub admin_socket: Option<PathBuf>,

    /// How packets to the gateway travel.
    #[command(flatten)]
    pub datapath: DatapathArgs,
}

const CONNECT_EXAMPLES: &str = "\
Durations are written as 500ms, 15s, 2m or 1h.

Examples:
  xdtls connect --gateway gateway.example:4433 --listen 127.0.0.1:5000 \\
    --certificate client.pem --key client.key --ca ca.pem
  xdtls connect --gateway [2001:db8::1]:4433 --server-name gateway.example \\
    --listen [::1]:5000 --certificate client.pem --key client.key --ca ca.pem --crl ca.crl
  xdtls connect --gateway gateway.example:4433 --listen 127.0.0.1:5000 \\
    --psk-identity sensor-7 --psk-file psk.txt";

impl Connect {
    /// Name that the gateway's certificate must have.
    #[must_use]
    pub fn server_name(&self) -> &str {
        self.server_name.as_deref().unwrap_or(&self.gateway.host)
    }

    /// When associations get new keys.
    #[must_use]
    pub fn rekey_limits(&self) -> RekeyLimits {
        RekeyLimits {
            records: self.rekey_after_records,
            bytes: self.rekey_after_bytes,
            time: self.rekey_after_time,
        }
    }
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostPort {
    /// DNS name or IP address, the latter without brackets.
    pub host: String,
    /// UDP port, never 0.
    pub port: u16,
}

/// The text is no host with a port.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum HostPortError {
    /// Nothing stands before the port.
    #[error("the host is missing, write HOST:PORT")]
    Host,
    /// The part after the last colon is no port.
    #[error("the port is missing or not between 1 and 65535, write HOST:PORT")]
    Port,
    /// An IPv6 address without brackets could end anywhere.
    #[error("an IPv6 address stands in brackets, write [ADDRESS]:PORT")]
    Brackets,
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError::Port)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bracketed.is_none() && host.contains([':', '[', ']']) {
            return Err(HostPortError::Brackets);
        }
        let host = bracketed.unwrap_or(host);
        if host.is_empty() {
            return Err(HostPortError::Host);
        }
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(HostPortError::Port)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

fn log_level() -> impl TypedValueParser<Value = LevelFilter> {
    PossibleValuesParser::new(["off", "error", "warn", "info", "debug", "trace"])
        .try_map(|level| level.parse::<LevelFilter>())
}

/// A client's ids keep 20 random bits, which leaves 4,096 slots: two for each program, so that a
/// new association need not wait until the old one's slot has rested.
pub const MAX_PROGRAMS: u32 = 2048;

fn max_associations() -> impl TypedValueParser<Value = u32> {
    value_parser!(u32).range(1..=i64::from(MAX_PROGRAMS))
}

fn path_mtu() -> impl TypedValueParser<Value = u16> {
    value_parser!(u16).range(i64::from(*PATH_MTU.start())..=i64::from(*PATH_MTU.end()))
}

fn rekey_records() -> impl TypedValueParser<Value = u64> {
    value_parser!(u64).range(REKEY_RECORDS)
}

fn rekey_bytes() -> impl TypedValueParser<Value = u64> {
    value_parser!(u64).range(REKEY_BYTES)
}

fn rekey_time(text: &str) -> Result<Duration, String> {
    duration_within(REKEY_TIME, text)
}

fn idle_timeout(text: &str) -> Result<Duration, String> {
    duration_within(FLOW_IDLE_TIMEOUT, text)
}

fn duration_within(range: RangeInclusive<Duration>, text: &str) -> Result<Duration, String> {
    let read = duration::parse(text).map_err(|error| error.to_string())?;
    let (low, high) = range.into_inner();
    if (low..=high).contains(&read) {
        return Ok(read);
    }
    Err(format!("it must be between {} and {}", duration::show(low), duration::show(high)))
}

fn association_id(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let read = u32::from_str_radix(digits, 16).ok().filter(|id| *id != 0);
    read.ok_or_else(|| "write an id as `xdtls associations` shows it, such as 000301f4".to_owned())
}
