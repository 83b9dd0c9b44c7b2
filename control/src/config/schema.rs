//! Which tables and keys there are, and what their values may be.
//!
//! Each function reads all of its keys before it gives up on a missing one: every fault of the
//! file is to be found in one run. `None` means that a fault has been reported.

mod links;

use std::collections::HashMap;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use xdtls_common::access::PREFIXES_MAX;

use super::document::Section;
use super::error::nearest;
use super::value::Value;
use super::{
    ASSOCIATIONS, Admin, Backend, Config, FLOW_IDLE_TIMEOUT, Forward, Gateway, Limits, Metrics,
    PATH_MTU, Process, REKEY_BYTES, REKEY_RECORDS, REKEY_TIME, RekeyLimits, peers,
};
use crate::access::{AccessRules, parse_prefix};
use crate::datapath::options::{Datapath, DatapathOptions, Transmit};
use crate::handshake::SessionLimits;
use xdtls_common::front::FrontLimits;

const THREADS_MAX: usize = 256;
const HALF_OPEN: RangeInclusive<u32> = 1..=1_000_000;
const BACKEND_FLOWS: RangeInclusive<u32> = 1..=1 << 20;
const HELLOS_PER_SECOND: RangeInclusive<u32> = 0..=10_000_000;
const HANDSHAKE_DEADLINE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(600);
const SESSIONS: RangeInclusive<u32> = 0..=1_000_000;
const SESSION_LIFETIME: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
const DRAIN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
const IDLE_TIMEOUT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(7 * 24 * 3600);
/// What IPv6 demands of every link (RFC 8200, section 5).
const PATH_MTU_IPV6_MIN: u16 = 1280;
/// `sun_path` holds 108 bytes, the last of which is zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

pub(super) fn config(mut root: Section<'_>) -> Option<Config> {
    let gateway = gateway(root.table("gateway"));
    let clients = root.table("clients");
    let identities = peers::identities(&mut root, clients.has("psk_file"));
    let clients = peers::clients(clients);
    let limits = limits(root.table("limits"));
    let peer_tables = root.tables("peer");
    let (names, backends) = backends(&mut root, peer_tables.is_empty());
    let peers = links::peers(peer_tables, &names, gateway.as_ref().map(|gateway| gateway.listen));
    let rules = peers::rules(&mut root, &names);
    let outside = gateway.as_ref().map(|gateway| &gateway.datapath);
    let forward = forward(root.table("forward"), &names, outside);
    let access = access(root.table("access"));
    let admin = admin(root.table("admin"));
    let process = process(root.table("process"));
    let metrics = metrics(root.table("metrics"));
    root.finish();
    Some(Config {
        gateway: gateway?,
        identities: identities?,
        clients: clients?,
        limits,
        backends: backends?,
        peers: peers?,
        rules: rules?,
        forward: forward?,
        access: access?,
        admin: admin?,
        process: process?,
        metrics: metrics?,
    })
}

fn gateway(mut table: Section<'_>) -> Option<Gateway> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let listen = table.required("listen", "\"0.0.0.0:4433\"").and_then(|v| v.parse::<SocketAddr>());
    let workers = table.integer("workers", 1..=THREADS_MAX, cpus);
    let handshake_workers = table.integer("handshake_workers", 1..=THREADS_MAX, (cpus - 1).max(1));
    let path_mtu = table.integer("path_mtu", PATH_MTU, 1500);
    let datapath = datapath(&mut table);
    let require_server_name = match table.value("require_server_name", "false") {
        Some(value) => value.boolean(),
        None => Some(false),
    };
    if path_mtu < PATH_MTU_IPV6_MIN
        && listen.is_some_and(|address| address.is_ipv6())
        && let Some(value) = table.value("path_mtu", "1500")
    {
        value.report(
            format!("must be at least {PATH_MTU_IPV6_MIN} with an IPv6 listen address"),
            "raise it or remove the line (default 1500)",
        );
    }
    table.finish();
    Some(Gateway {
        listen: listen?,
        workers,
        handshake_workers,
        path_mtu,
        datapath: datapath?,
        require_server_name: require_server_name?,
    })
}

fn datapath(table: &mut Section<'_>) -> Option<DatapathOptions> {
    fn choice<T: FromStr<Err: Display> + Default>(
        table: &mut Section<'_>,
        key: &'static str,
    ) -> Option<T> {
        match table.value(key, "\"auto\"") {
            Some(value) => value.parse(),
            None => Some(T::default()),
        }
    }
    let interface = table.value("interface", "\"eth0\"").map(|value| value.string());
    let datapath = choice(table, "datapath");
    let xdp_mode = choice(table, "xdp_mode");
    let zero_copy = choice(table, "zero_copy");
    let transmit = choice(table, "transmit");
    let answer_hellos = choice(table, "answer_hellos");
    let interface = match interface {
        Some(name) => Some(name?.to_owned()),
        None => None,
    };
    if let (Some(Datapath::Xdp), None) = (datapath, &interface) {
        table.missing("interface", "name the outside's interface: xdp needs it".to_owned());
        return None;
    }
    if let (Some(Datapath::Socket), Some(Transmit::Xdp)) = (datapath, transmit)
        && let Some(value) = table.value("transmit", "\"auto\"")
    {
        value.report("`xdp` needs the datapath xdp", "write for example `transmit = \"auto\"`");
        return None;
    }
    Some(DatapathOptions {
        datapath: datapath?,
        interface,
        xdp_mode: xdp_mode?,
        zero_copy: zero_copy?,
        transmit: transmit?,
        answer_hellos: answer_hellos?,
    })
}

fn limits(mut table: Section<'_>) -> Limits {
    let default = Limits::default();
    let never = Duration::ZERO;
    let idle = table.duration("idle_timeout", IDLE_TIMEOUT, default.idle_timeout.unwrap_or(never));
    let limits = Limits {
        associations: table.integer("associations", ASSOCIATIONS, default.associations),
        half_open: table.integer("half_open", HALF_OPEN, default.half_open),
        half_open_per_source: table.integer(
            "half_open_per_source",
            HALF_OPEN,
            default.half_open_per_source,
        ),
        handshake_rate_per_source: table.integer(
            "handshake_rate_per_source",
            HALF_OPEN,
            default.handshake_rate_per_source,
        ),
        handshake_burst_per_source: table.integer(
            "handshake_burst_per_source",
            HALF_OPEN,
            default.handshake_burst_per_source,
        ),
        handshake_deadline: table.duration(
            "handshake_deadline",
            HANDSHAKE_DEADLINE,
            default.handshake_deadline,
        ),
        idle_timeout: Some(idle).filter(|idle| *idle != never),
        sessions: session_limits(&mut table, default.sessions),
        rekey: rekey_limits(&mut table, default.rekey),
        flow_idle_timeout: table.duration(
            "flow_idle_timeout",
            FLOW_IDLE_TIMEOUT,
            default.flow_idle_timeout,
        ),
        backend_flows: table.integer("backend_flows", BACKEND_FLOWS, default.backend_flows),
        drain: table.duration("drain", DRAIN, default.drain),
        front: front_limits(&mut table, default.front),
    };
    table.finish();
    limits
}

fn session_limits(table: &mut Section<'_>, default: SessionLimits) -> SessionLimits {
    SessionLimits {
        sessions: table.integer("sessions", SESSIONS, default.sessions),
        lifetime: table.duration("session_lifetime", SESSION_LIFETIME, default.lifetime),
    }
}

fn rekey_limits(table: &mut Section<'_>, default: RekeyLimits) -> RekeyLimits {
    RekeyLimits {
        records: table.integer("rekey_after_records", REKEY_RECORDS, default.records),
        bytes: table.integer("rekey_after_bytes", REKEY_BYTES, default.bytes),
        time: table.duration("rekey_after_time", REKEY_TIME, default.time),
    }
}

fn front_limits(table: &mut Section<'_>, default: FrontLimits) -> FrontLimits {
    let mut rate = |key, default| table.integer(key, HELLOS_PER_SECOND, default);
    FrontLimits {
        replies: rate("hello_replies", default.replies),
        replies_per_source: rate("hello_replies_per_source", default.replies_per_source),
        slow_hellos: rate("slow_hellos", default.slow_hellos),
    }
}

/// The names too, in the backends' order: what refers to a name is judged even if its backend has
/// another fault.
fn backends(root: &mut Section<'_>, required: bool) -> (Vec<String>, Option<Vec<Backend>>) {
    let tables = root.tables("backend");
    if tables.is_empty() && required {
        root.missing("backend", "add a [[backend]] table with `name` and `address`".to_owned());
    }
    let mut lines = HashMap::new();
    let mut names = Vec::new();
    let backends = all(tables.into_iter().map(|table| backend(table, &mut names, &mut lines)));
    (names, backends)
}

fn backend<'a>(
    mut table: Section<'a>,
    names: &mut Vec<String>,
    lines: &mut HashMap<&'a str, usize>,
) -> Option<Backend> {
    let name = table.required("name", "\"app\"").and_then(|value| {
        let name = value.string()?;
        if name.is_empty() {
            value.wrong("must not be empty");
            return None;
        }
        first_use(&value, name, lines)?;
        Some(name.to_owned())
    });
    names.extend(name.clone());
    let address = table.required("address", "\"10.0.0.2:9000\"").and_then(|value| {
        let address = value.parse::<SocketAddr>()?;
        if address.port() == 0 || address.ip().is_unspecified() {
            value.wrong(format!("`{address}` is no address to send to"));
            return None;
        }
        Some(address)
    });
    let source_addresses = match table.value("source_addresses", "[\"10.0.0.1\"]") {
        Some(value) => source_addresses(&value, address),
        None => Some(Vec::new()),
    };
    table.finish();
    Some(Backend { name: name?, address: address?, source_addresses: source_addresses? })
}

fn source_addresses(list: &Value<'_>, backend: Option<SocketAddr>) -> Option<Vec<IpAddr>> {
    let mut lines = HashMap::new();
    all(list.array("[\"10.0.0.1\"]")?.into_iter().map(|value| {
        let source = value.parse::<IpAddr>()?;
        first_use(&value, source, &mut lines)?;
        if let Some(backend) = backend.filter(|backend| backend.is_ipv4() != source.is_ipv4()) {
            value.report(
                format!("`{source}` cannot send to {backend}: one is IPv4, the other IPv6"),
                "use addresses of one family",
            );
            return None;
        }
        Some(source)
    }))
}

fn forward(
    mut table: Section<'_>,
    backends: &[String],
    outside: Option<&DatapathOptions>,
) -> Option<Forward> {
    let interface = peers::optional(table.value("interface", "\"eth1\""), |value| {
        let name = value.string()?;
        if outside.is_some_and(|options| options.interface.as_deref() == Some(name)) {
            value.report(
                format!("`{name}` is the outside's interface, which has an XDP program of its own"),
                "remove the line: what backends send comes through the kernel",
            );
            return None;
        }
        Some(name.to_owned())
    });
    let default_backend = peers::optional(table.value("default_backend", "\"app\""), |value| {
        backend_index(value, backends)
    });
    table.finish();
    Some(Forward { interface: interface?, default_backend: default_backend? })
}

fn access(mut table: Section<'_>) -> Option<AccessRules> {
    let mut list = |key| match table.value(key, "[\"192.0.2.0/24\"]") {
        Some(value) => prefixes(&value),
        None => Some(Vec::new()),
    };
    let (allow, deny) = (list("allow"), list("deny"));
    table.finish();
    Some(AccessRules { allow: allow?, deny: deny? })
}

fn prefixes(list: &Value<'_>) -> Option<Vec<IpNet>> {
    let items = list.array("[\"192.0.2.0/24\"]")?;
    if items.len() > PREFIXES_MAX as usize {
        list.wrong(format!("a list has at most {PREFIXES_MAX} prefixes, not {}", items.len()));
        return None;
    }
    all(items.into_iter().map(|value| {
        let parsed = parse_prefix(value.string()?);
        parsed.map_err(|wrong| value.wrong(wrong)).ok()
    }))
}

fn admin(mut table: Section<'_>) -> Option<Admin> {
    let socket = match table.value("socket", "\"/run/xdtls/admin.sock\"") {
        Some(value) => value.path().and_then(|path| {
            let bytes = path.as_os_str().len();
            if bytes > SOCKET_PATH_BYTES_MAX {
                value.report(
                    format!(
                        "a socket's path has at most {SOCKET_PATH_BYTES_MAX} bytes, not {bytes}"
                    ),
                    "choose a shorter path",
                );
                return None;
            }
            Some(Some(path))
        }),
        None => Some(None),
    };
    table.finish();
    Some(Admin { socket: socket? })
}

fn process(mut table: Section<'_>) -> Option<Process> {
    let user = match table.value("user", "\"xdtls\"") {
        Some(value) => value.string().and_then(|user| {
            if user.is_empty() {
                value.wrong("must not be empty");
                return None;
            }
            Some(Some(user.to_owned()))
        }),
        None => Some(None),
    };
    table.finish();
    Some(Process { user: user? })
}

fn metrics(mut table: Section<'_>) -> Option<Metrics> {
    let listen = match table.value("listen", "\"127.0.0.1:9090\"") {
        Some(value) => value.parse::<SocketAddr>().and_then(|address| {
            if !address.ip().is_loopback() {
                value.report(
                    format!(
                        "`{address}` can be reached from outside, and asks nobody who they are"
                    ),
                    "use a loopback address, and a proxy with authentication to export it",
                );
                return None;
            }
            Some(Some(address))
        }),
        None => Some(None),
    };
    table.finish();
    Some(Metrics { listen: listen? })
}

/// The position of the backend that `value` names.
pub(super) fn backend_index(value: &Value<'_>, backends: &[String]) -> Option<usize> {
    let name = value.string()?;
    let index = backends.iter().position(|backend| backend == name);
    if index.is_none() {
        let remedy = match nearest(name, backends.iter().map(String::as_str)) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("add a [[backend]] table with `name = \"{name}\"`"),
        };
        value.report(format!("there is no backend `{name}`"), remedy);
    }
    index
}

/// Reports a second use of what may stand only once.
pub(super) fn first_use<K: std::hash::Hash + Eq + std::fmt::Display>(
    value: &Value<'_>,
    key: K,
    lines: &mut HashMap<K, usize>,
) -> Option<()> {
    let Some(line) = lines.get(&key) else {
        lines.insert(key, value.line());
        return Some(());
    };
    let wrong = format!("`{key}` is used on line {line} already");
    value.report(wrong, "change or remove one of the two");
    None
}

/// All items, if none is missing. Unlike `collect`, this reads on after the first that is.
pub(super) fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let items: Vec<Option<T>> = items.collect();
    items.into_iter().collect()
}
