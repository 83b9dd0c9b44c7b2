//! Associations as the operator sees them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use xdtls_common::id::LocalId;
use xdtls_proto::shard::AssociationView;

use crate::registry::Entry;

/// Some associations, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The associations.
    pub associations: Vec<Association>,
    /// How many there are altogether.
    pub total: usize,
    /// The id behind which more follow, if more follow.
    pub next: Option<String>,
}

/// One established association.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    /// Our id, in hexadecimal as everywhere that people see it.
    pub id: String,
    /// The peer's id.
    pub peer_id: String,
    /// The peer's address, where it is known to receive.
    pub address: SocketAddr,
    /// Where its newest record has come from, if that is elsewhere and not validated yet.
    pub new_address: Option<SocketAddr>,
    /// The names of the peer's certificate, or `psk:` and the identity of its pre-shared key.
    pub identity: String,
    /// Where its plaintext goes, where that is a backend.
    pub backend: Option<String>,
    /// What seals and opens its records, under its name in the IANA registry.
    pub suite: String,
    /// Seconds since its handshake.
    pub age_s: u64,
    /// Seconds since a record was sent or received.
    pub idle_s: u64,
    /// Plaintext datagrams opened: outside to inside.
    pub opened: u64,
    /// Their bytes.
    pub opened_bytes: u64,
    /// Plaintext datagrams sealed: inside to outside.
    pub sealed: u64,
    /// Their bytes.
    pub sealed_bytes: u64,
}

impl Association {
    pub(super) fn new(
        id: LocalId,
        entry: &Entry,
        view: &AssociationView,
        backend: Option<&str>,
    ) -> Self {
        Self {
            id: id.to_string(),
            peer_id: view.peer.to_string(),
            address: canonical(view.endpoint.remote),
            identity: shortened(entry.identity.to_string()),
            new_address: view.new_path.map(|path| canonical(path.remote)),
            backend: backend.map(str::to_owned),
            suite: entry.suite.name().to_owned(),
            age_s: entry.since.elapsed().as_secs(),
            idle_s: view.idle.as_secs(),
            opened: view.traffic.opened,
            opened_bytes: view.traffic.opened_bytes,
            sealed: view.traffic.sealed,
            sealed_bytes: view.traffic.sealed_bytes,
        }
    }
}

/// One certificate may carry very many names.
fn shortened(mut identity: String) -> String {
    const MAX: usize = 200;
    if identity.len() > MAX {
        identity.truncate(identity.floor_char_boundary(MAX));
        identity.push('…');
    }
    identity
}

/// An IPv4 address as such, whatever the family of the socket that saw it.
fn canonical(address: SocketAddr) -> SocketAddr {
    (address.ip().to_canonical(), address.port()).into()
}
