//! The kinds of handshake that faults strike.
//!
//! One more kind takes a constant here and a test in `matrix.rs` that names it.

use xdtls::handshake::{OpensslAcceptor, OpensslConnector};
use xdtls_common::prefix::PREFIX_LEN;
use xdtls_common::record::content_type::HANDSHAKE;
use xdtls_common::record::{HEADER_LEN, records};

use super::end::Packet;
use crate::{World, psk, resumption};

/// Handshake message types (RFC 5246 §7.4).
pub(super) const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
/// With a pre-shared key and without a hint it comes with a key exchange only.
const SERVER_KEY_EXCHANGE: u8 = 12;

/// What makes the engines of a lab.
pub(super) struct Makers {
    pub(super) gateway: OpensslAcceptor,
    pub(super) client: OpensslConnector,
    pub(super) neighbour: OpensslConnector,
}

/// A kind of handshake.
pub(super) struct Mode {
    pub(super) name: &'static str,
    /// Makers whose next handshake is of this kind. Those of resumed handshakes have had a full one.
    pub(super) makers: fn(&World) -> Makers,
    /// Whether an undisturbed handshake, given as the types of its plaintext messages, is of it.
    pub(super) is_shown_by: fn(&[u8]) -> bool,
}

/// Certificates on both sides.
pub(super) const FULL: Mode = Mode {
    name: "full",
    makers: |world| {
        let connector = world.connector("gw.example");
        Makers { gateway: world.acceptor(), client: connector.clone(), neighbour: connector }
    },
    is_shown_by: |messages| messages.contains(&CERTIFICATE),
};

/// A session continued, and certificates with it.
pub(super) const RESUMED: Mode = Mode {
    name: "resumed",
    makers: |world| {
        let gateway = resumption::remembering(world, 16, 600);
        let with_session = || {
            let connector = world.connector("gw.example");
            resumption::handshake(&connector, &gateway);
            connector
        };
        Makers { client: with_session(), neighbour: with_session(), gateway }
    },
    is_shown_by: |messages| {
        !messages.contains(&CERTIFICATE) && !messages.contains(&SERVER_KEY_EXCHANGE)
    },
};

/// A pre-shared key that both sides have.
pub(super) const PSK: Mode = Mode {
    name: "psk",
    makers: |_| {
        let connector = psk::connector(psk::IDENTITY, psk::KEY);
        Makers { gateway: psk::acceptor(), client: connector.clone(), neighbour: connector }
    },
    is_shown_by: |messages| {
        messages.contains(&SERVER_KEY_EXCHANGE) && !messages.contains(&CERTIFICATE)
    },
};

/// Type and record of each plaintext handshake message of these datagrams.
pub(super) fn messages(packets: &[Packet]) -> Vec<(u8, Vec<u8>)> {
    let mut messages = Vec::new();
    for packet in packets {
        let datagram = &packet.bytes[PREFIX_LEN..];
        for (header, range) in records(datagram).map(Result::unwrap) {
            if header.content_type == HANDSHAKE && header.epoch == 0 {
                let record = datagram[range].to_vec();
                messages.push((record[HEADER_LEN], record));
            }
        }
    }
    messages
}
