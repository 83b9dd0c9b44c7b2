//! What the links of a configuration need for their handshakes: keys, engines, and who may be at the
//! other end.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use xdtls_proto::handshakes::initiators::Initiators;
use xdtls_proto::handshakes::peers::{OpenerSettings, Peers};
use xdtls_proto::handshakes::responders::Responders;
use xdtls_proto::handshakes::{Limits, RoutePolicy};
use xdtls_proto::ids::IdAllocator;
use xdtls_proto::policy::{Admission, LinkPeer, Links, Refusal};

use crate::config::{Config, Peer};
use crate::credentials::{Credentials, route_policy};
use crate::handshake::{Identity, OpensslAcceptor, OpensslConnector, Trust};
use crate::links::endpoint;
use crate::random;
use crate::registry::Registry;

/// What the links' handshakes are made from.
#[derive(Clone, Default)]
pub struct LinkParts {
    /// SHA-256 of the SubjectPublicKeyInfo that we open with.
    own: [u8; 32],
    /// By link.
    connectors: Vec<OpensslConnector>,
}

impl LinkParts {
    /// Makes them. Links show the first identity.
    ///
    /// # Errors
    ///
    /// What is wrong with the identity, or with a link.
    pub fn new(config: &Config, identities: &[Identity], trust: Option<&Trust>) -> Result<Self> {
        if config.peers.is_empty() {
            return Ok(Self::default());
        }
        let ([identity, ..], Some(trust)) = (identities, trust) else {
            bail!("links need certificates: add an [[identity]], and `ca` to [clients]");
        };
        let own = identity.key_sha256().context("cannot use the configured certificate")?;
        let shown = std::slice::from_ref(identity);
        let connector = |peer: &Peer| {
            if peer.key_sha256 == Some(own) {
                bail!("peer {}: key_sha256 is this node's own key", peer.name);
            }
            OpensslConnector::with_certificates(shown, trust, &peer.certificate_name)
                .with_context(|| format!("cannot open to peer {}", peer.name))
        };
        Ok(Self { own, connectors: config.peers.iter().map(connector).collect::<Result<_>>()? })
    }

    /// Who may be at the other ends.
    pub fn links(&self, config: &Config) -> Links {
        let peer = |peer: &Peer| LinkPeer {
            certificate_name: peer.certificate_name.clone(),
            key_sha256: peer.key_sha256,
        };
        let peers = config.peers.iter().map(peer).collect();
        Links { own_key: self.own, first_route: first_route(config), peers }
    }
}

impl Credentials {
    /// Handshakes of one thread.
    pub(crate) fn handshakes(
        &self,
        config: &Config,
        limits: &Limits,
        outside: SocketAddr,
        (ids, registry): (IdAllocator, &Arc<Registry>),
    ) -> Peers<OpensslAcceptor, OpensslConnector> {
        let (acceptor, policy) = (self.acceptor.clone(), route_policy(self.admission.clone()));
        let random = random::source();
        let responders = Responders::new(acceptor, ids.clone(), limits.clone(), policy, random)
            .with_ancestors(registry.ancestors());
        let mut peers = Peers::new(responders, self.links.own, first_route(config));
        for (openers, peer) in self.opener_settings().links.into_iter().zip(&config.peers) {
            let (connector, policy) = openers;
            let towards = peer.address.map(|address| endpoint(address, outside));
            let (ids, limits, random) = (ids.clone(), limits.clone(), random::source());
            let initiators = Initiators::new(connector, ids, limits, random)
                .with_addresses(towards)
                .with_ancestors(registry.ancestors())
                .with_policy(policy);
            peers.add_link(initiators, peer.key_sha256);
        }
        peers
    }

    /// The same for links that are there already.
    pub(crate) fn opener_settings(&self) -> OpenerSettings<OpensslConnector> {
        let routes = self.admission.links.first_route..;
        let links = self.links.connectors.iter().cloned().zip(routes);
        let policy = |route| policy_of_link(self.admission.clone(), route);
        let links = links.map(|(connector, route)| (connector, policy(route))).collect();
        OpenerSettings { own: self.links.own, links }
    }
}

/// Admits who leads to the link that has this route.
fn policy_of_link(admission: Arc<Admission>, link: u16) -> RoutePolicy {
    let judge = route_policy(admission);
    Box::new(move |identity| match judge(identity)? {
        route if route == link => Ok(route),
        _ => Err(Refusal::NoRule),
    })
}

/// The route of the first link: those of backends come before.
pub fn first_route(config: &Config) -> u16 {
    config.backends.len() as u16
}

/// Whether datagrams to this address come back to the node that listens on `outside`: sockets can be
/// bound to the addresses of this host only.
pub fn leads_back(address: SocketAddr, outside: SocketAddr) -> bool {
    let everywhere = outside.ip().is_unspecified();
    let one = outside.ip().to_canonical() == address.ip().to_canonical();
    let ours = || UdpSocket::bind((address.ip(), 0)).is_ok();
    address.port() == outside.port() && (one || everywhere && ours())
}
