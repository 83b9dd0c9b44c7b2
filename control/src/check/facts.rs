//! What `check` sees: the configured files, and what the machine says of the configured addresses.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use zeroize::Zeroizing;

use crate::config::{self, Config, Peer, RulePeer};
use crate::datapath::interface::Interface;
use crate::handshake::{Identity, first_line};
use crate::peer::leads_back;
use crate::wall_clock;

/// Everything that is judged, besides the configuration itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Seconds since 1970.
    pub now_s: i64,
    /// `[[identity]]`, in the configuration's order.
    pub identities: Vec<IdentityFiles>,
    /// `clients.ca`.
    pub ca: Option<Result<Vec<u8>, String>>,
    /// `clients.crl`, in the configuration's order.
    pub crls: Vec<Result<Vec<u8>, String>>,
    /// `clients.psk_file`.
    pub psk: Option<Secret>,
    /// `rule.ca`, of those rules that have it, in the configuration's order.
    pub rule_authorities: Vec<Result<Vec<u8>, String>>,
    /// Whether the address that is listened on is ours.
    pub listen: Result<(), String>,
    /// `[[backend]]`, in the configuration's order.
    pub backends: Vec<Reach>,
    /// `[[peer]]`, in the configuration's order.
    pub peers: Vec<LinkFacts>,
    /// SHA-256 of the SubjectPublicKeyInfo that links are opened with, if it can be read.
    pub own_key: Option<[u8; 32]>,
    /// The outside's interface, if one is named.
    pub interface: Option<Result<Interface, String>>,
    /// The inside's, if one is named.
    pub inside: Option<Result<Interface, String>>,
    /// Open files that this process may have; `None` is no limit.
    pub files_max: Option<u64>,
    /// Ports that the kernel gives to sockets which ask for none (`ip_local_port_range`).
    pub ephemeral_ports: u64,
    /// Whether the user that the gateway is to become exists.
    pub user: Option<bool>,
}

/// A certificate and its key, as their files hold them.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    /// The certificate's file.
    pub certificate: Result<Vec<u8>, String>,
    /// The key's file.
    pub key: Secret,
    /// The file of the key's passphrase.
    pub passphrase: Option<Secret>,
}

impl IdentityFiles {
    /// What the gateway would make of them; `None` where one cannot be read.
    pub(super) fn loaded(&self, identity: &config::Identity) -> Option<Identity> {
        let passphrase = match &self.passphrase {
            Some(secret) => Some(first_line(secret.content.as_ref().ok()?)),
            None => None,
        };
        Some(Identity {
            certificate_chain_pem: self.certificate.clone().ok()?,
            key: Zeroizing::new(self.key.content.clone().ok()?),
            passphrase,
            server_names: identity.server_names.clone(),
        })
    }
}

/// A file that only we should be able to read.
#[derive(Clone)]
pub struct Secret {
    /// What it holds.
    pub content: Result<Vec<u8>, String>,
    /// Its permission bits.
    pub mode: u32,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret (mode {:o})", self.mode)
    }
}

impl Secret {
    fn read(path: &Path) -> Self {
        let mode = fs::metadata(path).map_or(0, |found| found.permissions().mode());
        Self { content: read(path), mode }
    }
}

/// How a backend can be reached.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Whether there is a route to it.
    pub route: Result<(), String>,
    /// Those of its source addresses that are not ours, and what the kernel says of them.
    pub foreign_sources: Vec<(IpAddr, String)>,
}

/// What the machine says of a link.
#[derive(Clone, Debug)]
pub struct LinkFacts {
    /// Whether its address is this node's own.
    pub leads_back: bool,
    /// Whether the address for local programs is ours.
    pub listen: Result<(), String>,
}

impl Facts {
    /// Looks at everything that `config` names. Opens sockets for a moment, sends nothing.
    pub async fn gather(config: &Config) -> Self {
        let outside = interface(config.gateway.datapath.interface.as_deref()).await;
        let inside = interface(config.forward.interface.as_deref()).await;
        let identity = |identity: &crate::config::Identity| IdentityFiles {
            certificate: read(&identity.certificate),
            key: Secret::read(&identity.key),
            passphrase: identity.key_passphrase_file.as_deref().map(Secret::read),
        };
        let rule_authorities = config.rules.iter().filter_map(|rule| match &rule.peer {
            RulePeer::Authority(path) => Some(read(path)),
            RulePeer::Pattern(_) => None,
        });
        let user = config.process.user.as_deref();
        Self {
            now_s: wall_clock::now_s(),
            identities: config.identities.iter().map(identity).collect(),
            ca: config.clients.ca.as_deref().map(read),
            crls: config.clients.crl.iter().map(|path| read(path)).collect(),
            psk: config.clients.psk_file.as_deref().map(Secret::read),
            rule_authorities: rule_authorities.collect(),
            listen: bindable(config.gateway.listen.ip()),
            backends: config.backends.iter().map(reach).collect(),
            peers: config.peers.iter().map(|peer| link(peer, config.gateway.listen)).collect(),
            own_key: own_key(config),
            interface: outside,
            inside,
            files_max: getrlimit(Resource::Nofile).maximum,
            ephemeral_ports: ephemeral_ports(),
            user: user.map(|user| nix::unistd::User::from_name(user).is_ok_and(|it| it.is_some())),
        }
    }
}

async fn interface(name: Option<&str>) -> Option<Result<Interface, String>> {
    let found = Interface::find(name?).await;
    Some(found.map_err(|error| format!("{error:#}")))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| error.to_string())
}

/// Whether sockets can be bound to an address; the port is left to the kernel.
fn bindable(address: IpAddr) -> Result<(), String> {
    UdpSocket::bind((address, 0)).map(drop).map_err(|error| error.to_string())
}

fn link(peer: &Peer, outside: SocketAddr) -> LinkFacts {
    LinkFacts {
        leads_back: peer.address.is_some_and(|address| leads_back(address, outside)),
        listen: bindable(peer.listen.ip()),
    }
}

/// What is wrong with the files is found elsewhere.
fn own_key(config: &Config) -> Option<[u8; 32]> {
    let config::Identity { certificate, key, key_passphrase_file, .. } =
        config.identities.first()?;
    Identity::read(certificate, key, key_passphrase_file.as_deref()).ok()?.key_sha256().ok()
}

fn reach(backend: &crate::config::Backend) -> Reach {
    let sources = backend.source_addresses.iter();
    let foreign = sources.filter_map(|source| Some((*source, bindable(*source).err()?)));
    Reach {
        route: route_to(backend.address).map_err(|error| error.to_string()),
        foreign_sources: foreign.collect(),
    }
}

/// A connected UDP socket has a route; nothing is sent.
fn route_to(address: SocketAddr) -> io::Result<()> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    UdpSocket::bind(any)?.connect(address)
}

fn ephemeral_ports() -> u64 {
    const DEFAULT: u64 = 60_999 - 32_768 + 1;
    let read = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let range = read.and_then(|text| {
        let mut bounds = text.split_whitespace().map(|bound| bound.parse::<u64>().ok());
        let (low, high) = (bounds.next()??, bounds.next()??);
        high.checked_sub(low)
    });
    range.map_or(DEFAULT, |range| range + 1)
}
