//! A foreign DTLS client behind a prefix shim: it does not begin again by itself, and knows nothing
//! of ids but to repeat the one it was answered with.

use std::net::SocketAddr;
use std::time::Instant;

use xdtls_common::cursor::SliceCursor;
use xdtls_common::id::{LocalId, PeerId};
use xdtls_common::prefix::{PREFIX_LEN, Prefix};
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::engine::{ConnectEngine, Progress};
use xdtls_proto::exchange::Exchange;
use xdtls_proto::filter::Filter;
use xdtls_proto::handshakes::Installation;
use xdtls_proto::keys::Role;

use super::engine::ScriptedEngine;
use super::forger::Known;
use super::rng::Rng;
use super::scripted::{Script, Scripted};

pub(crate) struct Foreign {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: SocketAddr,
    /// Its association, once it has one.
    pub(crate) known: Option<Known>,
    /// Datagrams that came when the handshake was over.
    pub(crate) received: Vec<Vec<u8>>,
    id: LocalId,
    server: u32,
    exchange: Option<Exchange<ScriptedEngine>>,
}

impl Foreign {
    pub(crate) fn new(
        now: Instant,
        address: SocketAddr,
        gateway: SocketAddr,
        id: LocalId,
        script: Script,
        rng: Rng,
    ) -> Self {
        let engine = Scripted::new(script, rng).connect(now, 1400, None).unwrap();
        let exchange = Some(Exchange::new(Role::Client, engine, Filter::new(0, 0)));
        Self { address, gateway, known: None, received: Vec::new(), id, server: 0, exchange }
    }

    pub(crate) fn receive(&mut self, now: Instant, datagram: &[u8]) {
        let Ok(prefix) = Prefix::parse(&mut SliceCursor::new(datagram)) else { return };
        if prefix.receiver != self.id.value() {
            return;
        }
        let Some(exchange) = &mut self.exchange else {
            return self.received.push(datagram.to_vec());
        };
        self.server = prefix.sender;
        exchange.receive(now, &datagram[PREFIX_LEN..], &mut |_| {});
    }

    /// Does what is due and returns what is to be sent.
    pub(crate) fn settle(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let Some(exchange) = &mut self.exchange else { return Vec::new() };
        exchange.handle_timeout(now);
        let prefix = Prefix { sender: self.id.value(), receiver: self.server }.encode();
        let mut datagrams = Vec::new();
        while let Some(records) = exchange.poll_transmit() {
            datagrams.push([&prefix[..], &records].concat());
        }
        if exchange.progress() == Progress::Complete {
            self.known = self.exchange.take().map(|exchange| self.known(exchange));
        }
        datagrams
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.exchange.as_ref()?.deadline(now)
    }

    fn known(&self, exchange: Exchange<ScriptedEngine>) -> Known {
        Known::of(&Installation {
            local: self.id,
            peer: PeerId::new(self.server).unwrap(),
            endpoint: Endpoint { remote: self.gateway, local: None },
            token: None,
            replaces: None,
            route: 0,
            opener: [0; 32],
            role: Role::Client,
            taken_over: exchange.take_over().unwrap(),
        })
    }
}
