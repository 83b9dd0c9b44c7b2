//! Handshakes between our engines, and with foreign ones, over a network in memory.

// Clippy allows this in `#[test]` functions only, not in what they share.
#![allow(clippy::unwrap_used)]

mod choosing;
mod complete;
mod failing;
mod faults;
mod foreign;
mod lossy;
mod overlay;
mod pair;
mod pki;
mod psk;
mod resumption;
mod revocation;
mod takeover;

use std::time::Instant;

use xdtls::handshake::{OpensslAcceptor, OpensslConnector, OpensslEngine};
use xdtls_proto::engine::ConnectEngine;

use crate::pair::MAX_DATAGRAM;
use crate::pki::{Authority, KeyType, Leaf, Usage};

/// What the server's certificate needs, the number and OpenSSL's name of each suite.
const SUITES: [(KeyType, u16, &str); 6] = [
    (KeyType::Ecdsa, 0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (KeyType::Ecdsa, 0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (KeyType::Ecdsa, 0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (KeyType::Rsa, 0xc02f, "ECDHE-RSA-AES128-GCM-SHA256"),
    (KeyType::Rsa, 0xc030, "ECDHE-RSA-AES256-GCM-SHA384"),
    (KeyType::Rsa, 0xcca8, "ECDHE-RSA-CHACHA20-POLY1305"),
];

/// The ordinary world: one authority, one server name, one client.
pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) server: Leaf,
    pub(crate) client: Leaf,
}

impl World {
    pub(crate) fn new(key_type: KeyType) -> Self {
        let authority = Authority::new("test authority");
        let server = authority.issue(&["gw", "gw.example"], key_type, Usage::Server);
        let client = authority.issue(&["client one"], KeyType::Ecdsa, Usage::Client);
        Self { authority, server, client }
    }

    pub(crate) fn acceptor(&self) -> OpensslAcceptor {
        OpensslAcceptor::new(&[self.server.identity()], &self.authority.pem()).unwrap()
    }

    pub(crate) fn connector(&self, server_name: &str) -> OpensslConnector {
        let identity = self.client.identity();
        OpensslConnector::new(&identity, &self.authority.pem(), server_name).unwrap()
    }

    pub(crate) fn connect(&self) -> OpensslEngine {
        self.connector("gw.example").connect(Instant::now(), MAX_DATAGRAM, None).unwrap()
    }
}
