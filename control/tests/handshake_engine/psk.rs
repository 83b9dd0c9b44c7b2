//! Handshakes with a pre-shared key.

use std::sync::Arc;
use std::time::Instant;

use xdtls::handshake::{
    AcceptorOptions, OpensslAcceptor, OpensslConnector, OpensslEngine, PskTable,
};
use xdtls_proto::engine::{ConnectEngine, Engine, Finished, Progress};
use xdtls_proto::suite::CipherSuite;

use crate::pair::{MAX_DATAGRAM, Pair, To};
use crate::pki::KeyType;
use crate::{World, foreign};

pub(crate) const IDENTITY: &str = "sensor-7";
pub(crate) const KEY: &[u8] = b"sixteen bytes, and some more";

fn table() -> Arc<PskTable> {
    let digits: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    Arc::new(PskTable::parse(&format!("{IDENTITY}:{digits}\n")).unwrap())
}

/// A server that knows nothing but the key.
pub(crate) fn acceptor() -> OpensslAcceptor {
    let options = AcceptorOptions { psk: Some(table()), ..AcceptorOptions::default() };
    OpensslAcceptor::with(&options).unwrap()
}

pub(crate) fn connector(identity: &str, key: &[u8]) -> OpensslConnector {
    OpensslConnector::with_psk(identity, key, false, "gw.example").unwrap()
}

fn pair(connector: &OpensslConnector, acceptor: &OpensslAcceptor) -> Pair<OpensslEngine> {
    Pair::new(connector.connect(Instant::now(), MAX_DATAGRAM, None).unwrap(), acceptor)
}

/// Both ends of a handshake that succeeds.
fn shake(connector: &OpensslConnector, acceptor: &OpensslAcceptor) -> (Finished, Finished) {
    let mut pair = pair(connector, acceptor);
    pair.run();
    pair.finish()
}

#[test]
fn both_ends_know_each_other_by_the_identity() {
    let (client, server) = shake(&connector(IDENTITY, KEY), &acceptor());
    assert_eq!(client.suite, CipherSuite::EcdhePskChaCha20Poly1305);
    assert_eq!(client.master_secret, server.master_secret);
    for end in [client, server] {
        assert_eq!(end.identity.psk.as_deref(), Some(IDENTITY));
        assert_eq!(end.identity.to_string(), "psk:sensor-7");
        assert_eq!((end.identity.names.len(), end.identity.chain.len()), (0, 0));
    }
}

/// What of a failed handshake the client can see: what the server has sent it, but for its randoms
/// and key exchange, and how far it thinks that it has come.
fn seen_by_client(identity: &str, key: &[u8]) -> (Vec<(u8, u16)>, Progress) {
    let mut pair = pair(&connector(identity, key), &acceptor());
    pair.run();
    assert_eq!(pair.server_progress(), Progress::Pending);
    let records = pair.records_to(To::Client).concat();
    let seen = records.iter().map(|(header, _)| (header.content_type, header.length));
    (seen.collect(), pair.client.progress())
}

#[test]
fn an_unknown_identity_fails_like_a_wrong_key() {
    let wrong_key = seen_by_client(IDENTITY, b"not the key of this sensor");
    assert_eq!(wrong_key.1, Progress::Pending, "nobody says anything");
    // As long as the known one, since messages are as long as their contents.
    assert_eq!(seen_by_client("sensor-8", KEY), wrong_key);
    assert_eq!(seen_by_client("sensor-8", b"not the key of this sensor"), wrong_key);
}

#[test]
fn certificates_and_keys_are_taken_on_one_port() {
    let world = World::new(KeyType::Ecdsa);
    let identities = [world.server.identity()];
    let trust = xdtls::handshake::Trust::new(&world.authority.pem()).unwrap();
    let options = AcceptorOptions {
        identities: &identities,
        trust: Some(&trust),
        psk: Some(table()),
        ..AcceptorOptions::default()
    };
    let acceptor = OpensslAcceptor::with(&options).unwrap();
    let (_, server) = shake(&world.connector("gw.example"), &acceptor);
    assert_eq!(server.identity.names, ["client one"]);
    let (_, server) = shake(&connector(IDENTITY, KEY), &acceptor);
    assert_eq!(server.identity.psk.as_deref(), Some(IDENTITY));
    // Who offers both uses the key, since it may have no certificate.
    let both = foreign::client(Some(&world.client), |context| {
        context
            .set_cipher_list("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-PSK-CHACHA20-POLY1305")
            .unwrap();
        context.set_psk_client_callback(|_, _, identity, key| {
            identity[..=IDENTITY.len()].copy_from_slice(&[IDENTITY.as_bytes(), &[0]].concat());
            key[..KEY.len()].copy_from_slice(KEY);
            Ok(KEY.len())
        });
    });
    let mut pair = Pair::new(both, &acceptor);
    pair.run();
    let server = pair.server.unwrap().finish().unwrap();
    assert_eq!(server.identity.psk.as_deref(), Some(IDENTITY));
}

#[test]
fn a_key_alone_does_only_where_both_allow_it() {
    let connect = |allowed| OpensslConnector::with_psk(IDENTITY, KEY, allowed, "gw").unwrap();
    let accept = |allowed| {
        OpensslAcceptor::with(&AcceptorOptions {
            psk: Some(table()),
            allow_no_forward_secrecy: allowed,
            ..AcceptorOptions::default()
        })
        .unwrap()
    };
    // With a key exchange wherever both can.
    for (client, server) in [(false, true), (true, false), (true, true)] {
        let (client, _) = shake(&connect(client), &accept(server));
        assert_eq!(client.suite, CipherSuite::EcdhePskChaCha20Poly1305);
    }
    let alone = |ciphers: &'static str| {
        foreign::client(None, |context| {
            context.set_cipher_list(ciphers).unwrap();
            context.set_psk_client_callback(|_, _, identity, key| {
                identity[..=IDENTITY.len()].copy_from_slice(&[IDENTITY.as_bytes(), &[0]].concat());
                key[..KEY.len()].copy_from_slice(KEY);
                Ok(KEY.len())
            });
        })
    };
    for (ciphers, suite) in [
        ("PSK-AES128-GCM-SHA256", CipherSuite::PskAes128Gcm),
        ("PSK-AES256-GCM-SHA384", CipherSuite::PskAes256Gcm),
        ("PSK-CHACHA20-POLY1305", CipherSuite::PskChaCha20Poly1305),
    ] {
        let mut refused = Pair::new(alone(ciphers), &accept(false));
        refused.run();
        assert!(matches!(refused.server_progress(), Progress::Failed(_)), "{ciphers}");
        let mut allowed = Pair::new(alone(ciphers), &accept(true));
        allowed.run();
        assert_eq!(allowed.client.progress(), Progress::Complete, "{ciphers}");
        let server = allowed.server.unwrap().finish().unwrap();
        assert_eq!((server.suite, server.identity.psk.as_deref()), (suite, Some(IDENTITY)));
    }
}
