//! How a node is doing, in the order in which people read it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::counters::Totals;
use crate::datapath::fast_path::Chosen;
use crate::datapath::link::LinkStatus;
use crate::xsk::XskReport;

/// What does not change while a node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The program's version.
    pub version: String,
    /// `gateway` or `client`.
    pub role: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// How packets reach it: `xdp` or `socket`.
    pub datapath: String,
    /// How its XDP program runs, if there is one: `native` or `generic`.
    pub xdp_mode: Option<String>,
    /// Whether AF_XDP sockets share memory with the driver, if there are any.
    pub zero_copy: Option<bool>,
    /// How packets leave it: `xdp` or `socket`.
    pub transmit: String,
    /// Why packets travel that way and what it costs: the words of the start-up line.
    pub datapath_reason: String,
    /// How what backends send reaches it, where an interface is named for that: `xdp` or `socket`.
    pub inside: Option<String>,
    /// Why that way and what it costs: the words of the start-up line.
    pub inside_reason: Option<String>,
    /// Threads that open and seal.
    pub workers: usize,
    /// Threads that do handshakes.
    pub handshake_workers: usize,
    /// The largest datagram at the inside that fits the path, in bytes, with any cipher suite.
    pub max_plaintext: u16,
}

impl About {
    /// What there is to say of a node that listens on `address`.
    pub fn new(role: &str, address: SocketAddr, max_plaintext: u16, chosen: &Chosen) -> Self {
        let fast = chosen.fast_path.as_ref();
        let by_xdp = fast.is_some_and(|fast| fast.transmits.outside.is_some());
        let inside_by_xdp = fast.is_some_and(|fast| fast.programs.inside.is_some());
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: role.to_owned(),
            address,
            datapath: way(fast.is_some()),
            xdp_mode: fast.map(|fast| fast.mode.to_owned()),
            zero_copy: fast.map(|fast| fast.zero_copy),
            transmit: way(by_xdp),
            datapath_reason: chosen.words.clone(),
            inside: chosen.inside_words.as_ref().map(|_| way(inside_by_xdp)),
            inside_reason: chosen.inside_words.clone(),
            workers: 1,
            handshake_workers: 1,
            max_plaintext,
        }
    }
}

impl About {
    /// The same of a node whose outside interface has been deleted.
    #[must_use]
    pub fn without(&self, link: &LinkStatus) -> Self {
        Self {
            datapath: way(false),
            xdp_mode: None,
            zero_copy: None,
            transmit: way(false),
            datapath_reason: deleted(link),
            ..self.clone()
        }
    }

    /// The same of a node whose inside interface has been deleted.
    #[must_use]
    pub fn without_inside(&self, link: &LinkStatus) -> Self {
        Self { inside: Some(way(false)), inside_reason: Some(deleted(link)), ..self.clone() }
    }
}

fn way(xdp: bool) -> String {
    if xdp { "xdp" } else { "socket" }.to_owned()
}

fn deleted(link: &LinkStatus) -> String {
    format!(
        "sockets, because the interface {} has been deleted since the start; a restart brings XDP \
         back",
        link.name
    )
}

/// How a node is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What it is.
    #[serde(flatten)]
    pub about: About,
    /// Whether it takes new associations; not any more once it was told to stop.
    pub ready: bool,
    /// Seconds since its start.
    pub uptime_s: u64,
    /// What it has counted.
    #[serde(flatten)]
    pub totals: Totals,
    /// How frames and rings of AF_XDP are, if there are any.
    pub af_xdp: Option<XskReport>,
    /// Its backends, in the order of the configuration.
    pub backends: Vec<BackendStatus>,
    /// What is bounded, next to what is used of it.
    pub limits: Vec<LimitStatus>,
    /// The outside's interface that XDP was attached to, if it was.
    pub interface: Option<LinkStatus>,
    /// The same of the inside.
    pub inside_interface: Option<LinkStatus>,
}

/// How a backend is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Flows that are open now.
    pub flows: u64,
    /// Whether a datagram could not be sent to it within the last ten seconds.
    pub failing: bool,
    /// Datagrams that it has not taken, as far as the kernel tells.
    pub failures: u64,
}

/// Something bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitStatus {
    /// The name of the limit in the configuration.
    pub name: String,
    /// How much of it is used now.
    pub used: u64,
    /// How much there may be.
    pub limit: u64,
}
