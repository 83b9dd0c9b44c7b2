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
        let now_s = FIRST_SECOND + (self.now - self.start).as_secs() as u32;
        let local_port = self.nodes[GATEWAY].address.port();
        Front { secrets: self.secrets(now_s / PERIOD_S + 1), now_s, local_port }
    }

    /// The ring whose newest secret is that of this period. It is drawn once in a period.
    fn secrets(&self, newest: u32) -> Arc<CookieSecrets> {
        let mut kept = self.ring.borrow_mut();
        if let Some((period, ring)) = &*kept
            && *period == newest
        {
            return Arc::clone(ring);
        }
        let mut seeds = [[0; 2]; SECRETS];
        for period in newest + 1 - SECRETS as u32..=newest {
            let mut seed = Rng::new(self.setup.seed ^ u64::from(period) << 32);
            seeds[period as usize % SECRETS] = [seed.next(), seed.next()];
        }
        let ring = Arc::new(CookieSecrets::new(seeds));
        *kept = Some((newest, Arc::clone(&ring)));
        ring
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
