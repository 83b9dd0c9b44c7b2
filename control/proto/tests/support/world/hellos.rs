//! Cookies: what the gateway judges them with, and ClientHellos that carry good ones.

use std::net::SocketAddr;
use std::sync::Arc;

use xdtls_common::client_hello::ClientHello;
use xdtls_common::cookie::{CookieSecrets, HelloPath, Judgement, PERIOD_S, SECRETS, judge, mapped};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::prefix::Prefix;
use xdtls_common::record::content_type::HANDSHAKE;
use xdtls_proto::shard::Front;

use super::{GATEWAY, World};
use crate::support::messages::{CLIENT_HELLO, Hello, message, record};
use crate::support::rng::Rng;
use crate::support::scripted::Script;

/// What the clock of cookies shows when a world begins.
const FIRST_SECOND: u32 = 1000;

impl World {
    /// What the gateway judges ClientHellos with: a new secret each period.
    pub(crate) fn front(&self) -> Front {
        self.front_of(GATEWAY)
    }

    /// The same of any node that answers.
    pub(crate) fn front_of(&self, node: usize) -> Front {
        let now_s = FIRST_SECOND + (self.now - self.start).as_secs() as u32;
        let local_port = self.nodes[node].address.port();
        let secrets = self.secrets(self.nodes[node].secret, now_s / PERIOD_S + 1);
        Front { secrets, now_s, local_port, limits: self.setup.replies }
    }

    /// The ring whose newest secret is that of this period. It is drawn once and kept for that long.
    fn secrets(&self, seed: u64, newest: u32) -> Arc<CookieSecrets> {
        let mut rings = self.rings.borrow_mut();
        rings.retain(|(_, period), _| *period == newest);
        let ring = rings.entry((seed, newest)).or_insert_with(|| {
            let mut ring = [[0; 2]; SECRETS];
            for period in newest + 1 - SECRETS as u32..=newest {
                let mut secret = Rng::new(seed ^ u64::from(period) << 32);
                ring[period as usize % SECRETS] = [secret.next(), secret.next()];
            }
            Arc::new(CookieSecrets::new(ring))
        });
        Arc::clone(ring)
    }

    /// A datagram with a ClientHello without cookie.
    pub(crate) fn first_hello(client_id: u32) -> Vec<u8> {
        let hello = Script::new("anybody").hello([1; 32]);
        let prefix = Prefix { sender: client_id, receiver: 0 }.encode();
        let message = message(CLIENT_HELLO, 0, &hello.client_body());
        [&prefix[..], &record(HANDSHAKE, 0, 0, &message)].concat()
    }

    /// A datagram with a ClientHello of message number 1 and a good cookie.
    pub(crate) fn hello_with_cookie(
        &self,
        from: SocketAddr,
        client_id: u32,
        random: [u8; 32],
    ) -> Vec<u8> {
        let datagram = |hello: &Hello| {
            record(HANDSHAKE, 0, 1, &message(CLIENT_HELLO, 1, &hello.client_body()))
        };
        let mut hello = Script::new("anybody").hello(random);
        let records = datagram(&hello);
        let (front, gateway) = (self.front(), self.nodes[GATEWAY].address);
        let path = HelloPath {
            peer_address: mapped(from.ip()),
            peer_port: from.port(),
            local_address: mapped(gateway.ip()),
            local_port: front.local_port,
            client_id,
        };
        let mut cursor = SliceCursor::new(&records);
        let parsed = ClientHello::parse(&mut cursor).unwrap();
        let mut cursor = SliceCursor::new(&records);
        match judge(&*front.secrets, front.now_s, &path, &parsed, &mut cursor) {
            Judgement::Reply(cookie) => hello.cookie = cookie.to_vec(),
            other => panic!("{other:?}"),
        }
        let prefix = Prefix { sender: client_id, receiver: 0 }.encode();
        [&prefix[..], &datagram(&hello)].concat()
    }
}
