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

/// Who may be at the other ends of the links, and what opens to them, by link. Links show the first
/// identity.
///
/// # Errors
///
/// What is wrong with the identity, or with a link.
pub(crate) fn links(
    config: &Config,
    identities: &[Identity],
    trust: Option<&Trust>,
) -> Result<(Links, Vec<OpensslConnector>)> {
    let mut links = Links { first_route: first_route(config), ..Links::default() };
    let mut connectors = Vec::new();
    if config.peers.is_empty() {
        return Ok((links, connectors));
    }
    let ([identity, ..], Some(trust)) = (identities, trust) else {
        bail!("links need certificates: add an [[identity]], and `ca` to [clients]");
    };
    links.own_key = identity.key_sha256().context("cannot use the configured certificate")?;
    let shown = std::slice::from_ref(identity);
    for Peer { name, certificate_name, key_sha256, .. } in &config.peers {
        if *key_sha256 == Some(links.own_key) {
            bail!("peer {name}: key_sha256 is this node's own key");
        }
        let connector = OpensslConnector::with_certificates(shown, trust, certificate_name)
            .with_context(|| format!("cannot open to peer {name}"))?;
        let certificate_name = certificate_name.clone();
        links.peers.push(LinkPeer { certificate_name, key_sha256: *key_sha256 });
        connectors.push(connector);
    }
    Ok((links, connectors))
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
        let Links { own_key, first_route, .. } = self.admission.links;
        let mut peers = Peers::new(responders, own_key, first_route);
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
        let Links { own_key, first_route, .. } = self.admission.links;
        let policy = |route| policy_of_link(self.admission.clone(), route);
        let links = self.connectors.iter().cloned().zip((first_route..).map(policy)).collect();
        OpenerSettings { own: own_key, links }
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
