//! Handshakes that succeed, and what they look like on the wire.

use std::time::Instant;

use openssl::sha::sha256;
use xdtls::handshake::{OpensslAcceptor, OpensslConnector, OpensslEngine};
use xdtls_common::record::{HEADER_LEN, content_type};
use xdtls_proto::engine::{ConnectEngine, Engine, Progress};
use xdtls_proto::suite::CipherSuite;

use crate::foreign::{self, offer_extension};
use crate::pair::{MAX_DATAGRAM, Pair, To};
use crate::pki::{Authority, KeyType, Usage};
use crate::{SUITES, World};

#[test]
fn both_ends_agree_on_everything() {
    let world = World::new(KeyType::Ecdsa);
    let mut pair = Pair::new(world.connect(), &world.acceptor());
    pair.run();
    let (client, server) = pair.finish();
    assert_eq!(client.suite, CipherSuite::from_iana(0xc02b).unwrap());
    assert_eq!(client.suite, server.suite);
    assert_eq!(client.master_secret, server.master_secret);
    assert_ne!(*client.master_secret, [0; 48]);
    assert_eq!(client.client_random, server.client_random);
    assert_eq!(client.server_random, server.server_random);
    assert_ne!(client.client_random, client.server_random);
    assert!(client.extension && server.extension);
    assert_eq!(client.identity.names, ["gw.example"]);
    assert_eq!(server.identity.names, ["client one"]);
    let spki = world.server.key.public_key_to_der().unwrap();
    assert_eq!(client.identity.spki_sha256, sha256(&spki));
}

#[test]
fn every_suite_completes() {
    for (key_type, iana, name) in SUITES {
        let world = World::new(key_type);
        let only = |context: &mut openssl::ssl::SslContextBuilder| {
            context.set_cipher_list(name).unwrap();
        };
        let client = foreign::client(Some(&world.client), only);
        let mut pair = Pair::new(client, &world.acceptor());
        pair.run();
        assert_eq!(pair.client.progress(), Progress::Complete, "{name}");
        let server = pair.server.unwrap().finish().unwrap();
        assert_eq!(Some(server.suite), CipherSuite::from_iana(iana), "{name}");
        assert!(!server.extension);
    }
}

#[test]
fn one_server_shows_the_certificate_that_the_client_can_verify() {
    let world = World::new(KeyType::Ecdsa);
    let rsa = world.authority.issue(&["gw", "gw.example"], KeyType::Rsa, Usage::Server);
    let identities = [rsa.identity(), world.server.identity()];
    let acceptor = OpensslAcceptor::new(&identities, &world.authority.pem()).unwrap();
    for (ciphers, iana) in [("aECDSA+AESGCM", 0xc02b), ("aRSA+ECDHE+AESGCM", 0xc02f)] {
        let only = |context: &mut openssl::ssl::SslContextBuilder| {
            context.set_cipher_list(ciphers).unwrap();
        };
        let mut pair = Pair::new(foreign::client(Some(&world.client), only), &acceptor);
        pair.run();
        let server = pair.server.unwrap().finish().unwrap();
        assert_eq!(Some(server.suite), CipherSuite::from_iana(iana));
    }
}

#[test]
fn intermediates_are_sent_with_their_own_key_type() {
    let root = Authority::new("root");
    let below = root.intermediate("below");
    let client = below.issue(&["client", "c.example"], KeyType::Ecdsa, Usage::Client).identity();
    let leaf = below.issue(&["gw", "192.0.2.7"], KeyType::Ecdsa, Usage::Server);
    let with_chain = |mut identity: xdtls::handshake::Identity| {
        identity.certificate_chain_pem.extend(below.pem());
        identity
    };
    let rsa = root.issue(&["gw"], KeyType::Rsa, Usage::Server).identity();
    let identities = [with_chain(leaf.identity()), rsa];
    let acceptor = OpensslAcceptor::new(&identities, &root.pem()).unwrap();
    let connector = OpensslConnector::new(&with_chain(client), &root.pem(), "192.0.2.7").unwrap();
    let mut pair =
        Pair::new(connector.connect(Instant::now(), MAX_DATAGRAM, None).unwrap(), &acceptor);
    pair.run();
    let (client, server) = pair.finish();
    assert_eq!(client.identity.names, ["gw"], "no DNS name: the common name");
    assert_eq!(server.identity.names, ["c.example"]);
}

#[test]
fn extension_is_answered_only_where_it_can_be_read() {
    let world = World::new(KeyType::Ecdsa);
    let outcome = |body| {
        let client = foreign::client(Some(&world.client), |context| offer_extension(context, body));
        let mut pair = Pair::new(client, &world.acceptor());
        pair.run();
        assert_eq!(pair.client.progress(), Progress::Complete);
        pair.server.unwrap().finish().unwrap().extension
    };
    assert!(outcome(&[1, 0]));
    assert!(outcome(&[2, 0, 9]), "a later version may append");
    assert!(!outcome(&[0, 0]));
    assert!(!outcome(&[]));
    assert!(!outcome(b"somebody else's"));
}

#[test]
fn last_flight_is_one_datagram_of_change_cipher_spec_and_finished() {
    let world = World::new(KeyType::Ecdsa);
    let mut pair = Pair::new(world.connect(), &world.acceptor());
    pair.run();
    let last = pair.records_to(To::Client).pop().unwrap();
    let shape: Vec<_> = last.iter().map(|(h, _)| (h.content_type, h.epoch)).collect();
    assert_eq!(shape, [(content_type::CHANGE_CIPHER_SPEC, 0), (content_type::HANDSHAKE, 1)]);
    assert_eq!(last[1].0.sequence, 0);
    for direction in [To::Client, To::Server] {
        let records = pair.records_to(direction).concat();
        let protected: Vec<_> = records.iter().filter(|(h, _)| h.epoch == 1).collect();
        assert_eq!(protected.len(), 1, "Finished and nothing else to the {direction:?}");
        let (header, record) = protected[0];
        assert_eq!(usize::from(header.length), 8 + 12 + 12 + 16);
        assert_eq!(record.len(), HEADER_LEN + 48);
    }
}

#[test]
fn engines_and_their_makers_cross_threads() {
    fn send<T: Send>() {}
    fn send_and_sync<T: Send + Sync + Clone>() {}
    send::<OpensslEngine>();
    send_and_sync::<OpensslAcceptor>();
    send_and_sync::<OpensslConnector>();
}
