//! The gateway's configuration: a TOML file, checked as a whole before anything starts.
//!
//! [`Config`] is plain data in which everything holds that can be known without opening a network
//! socket or reading a certificate: values are in range, files exist, names resolve.
//! `docs/examples/gateway.toml` shows every key.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

mod document;
pub mod duration;
mod error;
mod peers;
mod schema;
mod value;

use crate::access::AccessRules;
use crate::datapath::options::DatapathOptions;
use crate::handshake::SessionLimits;
pub use error::{ConfigError, ConfigErrors, Problem};
use xdtls_common::front::FrontLimits;
pub use xdtls_proto::name_pattern::{NamePattern, NamePatternError};
use xdtls_proto::policy::PeerPattern;
use xdtls_proto::rekey::RekeyLimits;

/// Associations that a gateway or client may be configured to hold.
pub const ASSOCIATIONS: RangeInclusive<u32> = 1..=1 << 20;

/// Path MTUs in bytes: what every IPv4 host takes (RFC 1122, section 3.3.3) up to jumbo frames.
pub const PATH_MTU: RangeInclusive<u16> = 576..=9216;

/// Records of one direction after which keys are replaced. The most is well below what AES-GCM
/// allows, 2^24.5, so that there is time for it; the fewest cost a handshake each.
pub const REKEY_RECORDS: RangeInclusive<u64> = 256..=1 << 24;

/// The same in bytes of plaintext, both directions together.
pub const REKEY_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 38;

/// The same in time.
pub const REKEY_TIME: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);

/// How long a flow without datagrams may be kept.
pub const FLOW_IDLE_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// A checked configuration of `xdtls gateway` or `xdtls peer`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// `[gateway]`
    pub gateway: Gateway,
    /// `[[identity]]`: what the gateway shows to clients. At least one, in the file's order.
    pub identities: Vec<Identity>,
    /// `[clients]`
    pub clients: Clients,
    /// `[limits]`
    pub limits: Limits,
    /// `[[backend]]`: at least one where there are no peers, with different names, in the file's
    /// order.
    pub backends: Vec<Backend>,
    /// `[[peer]]`: links to other nodes, in the file's order. Only `xdtls peer` has any.
    pub peers: Vec<Peer>,
    /// `[[rule]]`: the first that matches decides. May be empty.
    pub rules: Vec<Rule>,
    /// `[forward]`
    pub forward: Forward,
    /// `[access]`: who may send to the gateway at all. Default: everybody.
    pub access: AccessRules,
    /// `[admin]`
    pub admin: Admin,
    /// `[process]`
    pub process: Process,
    /// `[metrics]`
    pub metrics: Metrics,
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    ///
    /// All faults of the file, or that it cannot be read.
    pub fn load(file: &Path) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            let problem = Problem::Unreadable(error);
            ConfigErrors(vec![ConfigError { file: file.to_owned(), line: None, problem }])
        })?;
        Self::parse(&text, file)
    }

    /// Checks the text of a configuration. `file` names it in errors, and relative paths start at
    /// its folder.
    ///
    /// # Errors
    ///
    /// All faults of the text; if it is not TOML at all, only the first.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigErrors> {
        let document = document::Document::new(file, text);
        let config = match DeTable::parse(text) {
            Ok(table) => schema::config(document::Section::root(&document, table.get_ref())),
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                document.report(offset, Problem::Syntax(error.message().to_owned()));
                None
            }
        };
        document.finish(config)
    }
}

/// `[gateway]`: where it listens and with how many threads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gateway {
    /// UDP address of the outside. Required.
    pub listen: SocketAddr,
    /// Worker threads, each with its own shard of the associations: 1 to 256. Default: the CPUs.
    pub workers: usize,
    /// Handshake threads: 1 to 256. Default: one fewer than CPUs, at least one.
    pub handshake_workers: usize,
    /// Largest IP packet to clients, in bytes: 576 to 9216, from 1280 with IPv6. Default: 1500.
    pub path_mtu: u16,
    /// `datapath`, `interface`, `xdp_mode`, `zero_copy`, `transmit`, `answer_hellos`: how packets travel. Default:
    /// `auto`.
    pub datapath: DatapathOptions,
    /// Whether clients are refused that ask for no server name, or for one that no identity has.
    /// Default: no, they get the first identity.
    pub require_server_name: bool,
}

/// `[[identity]]`: a certificate of the gateway and its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// PEM file with the chain, the leaf first. Required; it exists.
    pub certificate: PathBuf,
    /// File with the leaf's private key, PEM or DER. Required; it exists.
    pub key: PathBuf,
    /// File with the passphrase of the key. Default: none; it exists.
    pub key_passphrase_file: Option<PathBuf>,
    /// The names that clients ask for to be shown it. Default: none, those of the certificate.
    pub server_names: Vec<NamePattern>,
}

/// `[clients]`: whom the gateway lets in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Clients {
    /// PEM file with the CA certificates that client certificates chain to. Required unless there
    /// are pre-shared keys; it exists.
    pub ca: Option<PathBuf>,
    /// Files with lists of revoked certificates, PEM or DER. Default: none; they exist.
    pub crl: Vec<PathBuf>,
    /// File with pre-shared keys. Default: none; it exists.
    pub psk_file: Option<PathBuf>,
    /// Whether a pre-shared key may do alone, without a key exchange. Default: no.
    pub allow_no_forward_secrecy: bool,
}

/// `[limits]`: bounds of everything that clients can make the gateway keep.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Slots for associations: 1 to 1048576. Default: 65536.
    pub associations: u32,
    /// Associations in a handshake at once: 1 to 1000000. Default: 1024.
    pub half_open: u32,
    /// The same for a single source address: 1 to 1000000. Default: 16.
    pub half_open_per_source: u32,
    /// Handshakes that a single source may begin each second, once its burst is used up: 1 to
    /// 1000000. Default: 25.
    pub handshake_rate_per_source: u32,
    /// Handshakes that a single source may begin at once: 1 to 1000000. Default: 200.
    pub handshake_burst_per_source: u32,
    /// Time that a handshake may take: 1s to 10m. Default: 15s.
    pub handshake_deadline: Duration,
    /// Time without datagrams after which an association ends: up to 168h. Default: `None`, never
    /// (`0s` in the file).
    pub idle_timeout: Option<Duration>,
    /// `sessions`, `session_lifetime`: sessions that clients may continue, which spares both ends the
    /// costly part of a handshake: 0, which is none, to 1000000, each for 1s to 24h.
    /// Default: 4096, 1h.
    pub sessions: SessionLimits,
    /// `rekey_after_records`, `rekey_after_bytes`, `rekey_after_time`: when clients are asked to
    /// replace an association by one with new keys: after 256 to 16777216 records of one direction,
    /// 1 MiB to 256 GiB of plaintext, 1m to 168h. Default: 8388608 records, 64 GiB, 4h.
    pub rekey: RekeyLimits,
    /// Time without datagrams after which a backend flow closes: 1s to 24h. Default: 2m.
    pub flow_idle_timeout: Duration,
    /// Backend flows at once: 1 to 1048576. Default: 65536.
    pub backend_flows: u32,
    /// Time in which associations may end by themselves before the gateway does: up to 1h. Default:
    /// none.
    pub drain: Duration,
    /// `hello_replies`, `hello_replies_per_source`, `slow_hellos`: what each CPU, or without XDP each
    /// worker, may do in a second for senders that have not shown a cookie: 0, which is no limit, to
    /// 10000000.
    /// Default: 10000000, 10000, 1000.
    pub front: FrontLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            associations: 65_536,
            half_open: 1_024,
            half_open_per_source: 16,
            handshake_rate_per_source: 25,
            handshake_burst_per_source: 200,
            handshake_deadline: Duration::from_secs(15),
            idle_timeout: None,
            sessions: SessionLimits { sessions: 4096, lifetime: Duration::from_secs(3600) },
            rekey: RekeyLimits::default(),
            flow_idle_timeout: Duration::from_secs(120),
            backend_flows: 65_536,
            drain: Duration::ZERO,
            front: FrontLimits {
                replies: 10_000_000,
                replies_per_source: 10_000,
                slow_hellos: 1_000,
            },
        }
    }
}

/// `[[backend]]`: a UDP service on the inside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Backend {
    /// Name for rules and statistics. Required; no other backend has it.
    pub name: String,
    /// Where plaintext goes. Required; neither address nor port is zero.
    pub address: SocketAddr,
    /// Local addresses of the flows, of the same family as `address` and without repetition.
    /// Default: none, the kernel chooses.
    pub source_addresses: Vec<IpAddr>,
}

/// `[[peer]]`: a link to another node that may be opened by either.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Name for logs and statistics. Required; no other peer or backend has it.
    pub name: String,
    /// The DNS name, or common name, of the peer's certificate. Required; no other peer has it.
    pub certificate_name: String,
    /// SHA-256 of the SubjectPublicKeyInfo of the peer's certificate. Default: any key of a
    /// certificate with the name.
    pub key_sha256: Option<[u8; 32]>,
    /// Where the peer listens. Default: only the peer opens.
    pub address: Option<SocketAddr>,
    /// UDP address of this host: what local programs send there comes out at the peer. Required.
    pub listen: SocketAddr,
    /// The local program that gets what comes from the peer. Required; of the same family.
    pub deliver: SocketAddr,
}

/// `[[rule]]`: sends certain clients to a backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// Which clients. Required.
    pub peer: RulePeer,
    /// Position in [`Config::backends`]. Required.
    pub backend: usize,
}

/// What a rule looks at: one of `certificate_name`, `uri`, `email`, `ip`, `spki_sha256`, `ca` and
/// `psk_identity`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RulePeer {
    /// What the configuration says itself.
    Pattern(PeerPattern),
    /// PEM file with certificates, one of which is an authority of the client's certificate; it
    /// exists.
    Authority(PathBuf),
}

/// `[forward]`: how clients reach backends.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Forward {
    /// Network interface towards the backends, by which XDP takes in what they send; not the outside's.
    /// Default: none, it comes through the kernel.
    pub interface: Option<String>,
    /// Position in [`Config::backends`]. Default: none, such clients are refused.
    pub default_backend: Option<usize>,
}

/// `[admin]`: how to ask a running gateway.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Admin {
    /// Unix socket that `xdtls status` talks to. Default: none.
    pub socket: Option<PathBuf>,
}

/// `[process]`: as whom the gateway runs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Process {
    /// User that it becomes once it is set up. Default: whoever starts it.
    pub user: Option<String>,
}

/// `[metrics]`: counters for Prometheus, over HTTP.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Metrics {
    /// TCP address, of the loopback interface. Default: none.
    pub listen: Option<SocketAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../docs/examples/gateway.toml");

    /// All files that the example names, commented out or not.
    const FILES: [&str; 7] = [
        "gateway.pem",
        "gateway.key",
        "gateway.pass",
        "ca.pem",
        "ca.crl",
        "psk.txt",
        "sensors-ca.pem",
    ];

    fn parse(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        for name in FILES {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        Config::parse(text, &folder.path().join("gateway.toml")).unwrap()
    }

    #[test]
    fn the_example_is_read_as_it_says() {
        let config = parse(EXAMPLE);
        assert_eq!(config.gateway.listen, "0.0.0.0:4433".parse().unwrap());
        assert!(config.identities[0].key.ends_with("gateway.key"));
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.rules[0].backend, 1);
        assert_eq!(config.forward.default_backend, Some(0));
        assert_eq!(config.admin.socket, Some(PathBuf::from("/run/xdtls/admin.sock")));
    }

    #[test]
    fn the_example_of_a_peer_is_read_as_it_says() {
        const PEER: &str = include_str!("../../../docs/examples/peer.toml");
        let folder = tempfile::tempdir().unwrap();
        for name in ["hamburg.pem", "hamburg.key", "ca.pem"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let uncommented = PEER.replace("#key_sha256", "key_sha256");
        for (text, key) in [(PEER, None), (&*uncommented, Some([0; 32]))] {
            let config = Config::parse(text, &folder.path().join("peer.toml")).unwrap();
            let [peer] = &config.peers[..] else { panic!("{:?}", config.peers) };
            assert_eq!((peer.name.as_str(), peer.key_sha256), ("berlin", key));
            assert!(config.backends.is_empty());
        }
    }

    #[test]
    fn the_example_shows_the_defaults() {
        // Keys are commented out without a space, prose has one.
        let uncommented = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => key,
            _ => line,
        });
        let config = parse(&uncommented.collect::<Vec<_>>().join("\n"));
        assert_eq!(config.limits, Limits::default());
        assert!(!config.gateway.require_server_name && !config.clients.allow_no_forward_secrecy);
        assert_eq!((config.clients.crl.len(), config.identities[0].server_names.len()), (1, 2));
        assert!(config.clients.psk_file.is_some());
        assert_eq!(config.rules.len(), 7, "one of each kind");
        assert_eq!(config.gateway.path_mtu, 1500);
        let interface = Some("eth0".to_owned());
        let datapath = DatapathOptions { interface, ..DatapathOptions::default() };
        assert_eq!(config.gateway.datapath, datapath);
        assert_eq!(config.forward.interface.as_deref(), Some("eth1"));
        assert_eq!(config.process.user.as_deref(), Some("xdtls"));
        assert_eq!(config.backends[0].source_addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    }
}
