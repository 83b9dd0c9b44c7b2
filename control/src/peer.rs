//! What the links of a configuration need for their handshakes: keys, engines, and who may be at the
//! other end.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use xdtls_proto::engine::PeerIdentity;
use xdtls_proto::handshakes::initiators::Initiators;
use xdtls_proto::handshakes::peers::{OpenerSettings, Peers};
use xdtls_proto::handshakes::responders::Responders;
use xdtls_proto::handshakes::{Limits, RoutePolicy};
use xdtls_proto::ids::IdAllocator;

use crate::config::{Config, Peer};
use crate::gateway::policy_of_clients;
use crate::handshake::{Identity, OpensslAcceptor, OpensslConnector, read_file};
use crate::links::endpoint;
use crate::random;
use crate::registry::Registry;

/// What the links' handshakes are made from.
#[derive(Clone)]
pub struct LinkParts {
    /// SHA-256 of the SubjectPublicKeyInfo that we open with.
    own: [u8; 32],
    /// By link.
    connectors: Vec<OpensslConnector>,
}

impl LinkParts {
    /// Reads the files that `config` names. Links show the first identity.
    ///
    /// # Errors
    ///
    /// What is wrong with the files, or with a link.
    pub fn read(config: &Config) -> Result<Self> {
        let [identity, ..] = &config.identities[..] else { bail!("there is no identity") };
        let identity = Identity::read(&identity.certificate, &identity.key)?;
        let own = identity.key_sha256().context("cannot use the configured certificate")?;
        let ca = read_file(&config.clients.ca)?;
        let connector = |peer: &Peer| {
            if peer.key_sha256 == Some(own) {
                bail!("peer {}: key_sha256 is this node's own key", peer.name);
            }
            OpensslConnector::new(&identity, &ca, &peer.certificate_name)
                .with_context(|| format!("cannot open to peer {}", peer.name))
        };
        Ok(Self { own, connectors: config.peers.iter().map(connector).collect::<Result<_>>()? })
    }

    /// Handshakes of one thread.
    pub fn handshakes(
        &self,
        config: &Config,
        acceptor: &OpensslAcceptor,
        limits: &Limits,
        outside: SocketAddr,
        (ids, registry): (IdAllocator, &Arc<Registry>),
    ) -> Peers<OpensslAcceptor, OpensslConnector> {
        let responders = Responders::new(
            acceptor.clone(),
            ids.clone(),
            limits.clone(),
            policy(config, self.own),
            random::source(),
        )
        .with_ancestors(registry.ancestors());
        let mut peers = Peers::new(responders, self.own, first_route(config));
        let links = self.connectors.iter().zip(&config.peers).enumerate();
        for (number, (connector, peer)) in links {
            let (ids, limits, random) = (ids.clone(), limits.clone(), random::source());
            let towards = peer.address.map(|address| endpoint(address, outside));
            let initiators = Initiators::new(connector.clone(), ids, limits, random)
                .with_addresses(towards)
                .with_ancestors(registry.ancestors())
                .with_policy(policy_of_link(config, number));
            peers.add_link(initiators, peer.key_sha256);
        }
        peers
    }

    /// The same for links that are there already.
    pub fn settings(&self, config: &Config) -> OpenerSettings<OpensslConnector> {
        let connectors = self.connectors.iter().cloned().enumerate();
        let links = connectors.map(|(number, it)| (it, policy_of_link(config, number))).collect();
        OpenerSettings { own: self.own, links }
    }

    /// Who is let in, and where they lead: peers to their links, everybody else as rules say.
    pub fn policy(&self, config: &Config) -> RoutePolicy {
        policy(config, self.own)
    }
}

/// The route of the first link: those of backends come before.
pub fn first_route(config: &Config) -> u16 {
    config.backends.len() as u16
}

fn policy(config: &Config, own: [u8; 32]) -> RoutePolicy {
    let links = config.peers.clone();
    let first = first_route(config);
    let clients = policy_of_clients(config);
    Box::new(move |identity| {
        match links.iter().position(|peer| identity.names.iter().any(|it| names(peer, it))) {
            // A node that meets itself, or a copy of its key.
            Some(_) if identity.spki_sha256 == own => None,
            // Whoever has a peer's name and not its key is nobody.
            Some(link) => is_peer(&links[link], identity).then_some(first + link as u16),
            None => clients(identity),
        }
    })
}

fn policy_of_link(config: &Config, number: usize) -> RoutePolicy {
    let (peer, route) = (config.peers[number].clone(), first_route(config) + number as u16);
    Box::new(move |identity| is_peer(&peer, identity).then_some(route))
}

fn names(peer: &Peer, name: &str) -> bool {
    peer.certificate_name.eq_ignore_ascii_case(name)
}

fn is_peer(peer: &Peer, identity: &PeerIdentity) -> bool {
    let key_fits = peer.key_sha256.is_none_or(|key| key == identity.spki_sha256);
    key_fits && identity.names.iter().any(|name| names(peer, name))
}

/// Whether datagrams to this address come back to the node that listens on `outside`: sockets can be
/// bound to the addresses of this host only.
pub fn leads_back(address: SocketAddr, outside: SocketAddr) -> bool {
    let everywhere = outside.ip().is_unspecified();
    let one = outside.ip().to_canonical() == address.ip().to_canonical();
    let ours = || UdpSocket::bind((address.ip(), 0)).is_ok();
    address.port() == outside.port() && (one || everywhere && ours())
}
