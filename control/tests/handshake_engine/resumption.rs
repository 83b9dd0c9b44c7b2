//! Handshakes that continue an earlier session, those that could and must not, and those that ask for
//! another association's place.

use std::time::{Duration, Instant};

use xdtls::handshake::{
    AcceptorOptions, OpensslAcceptor, OpensslConnector, OpensslEngine, SessionLimits, Trust,
};
use xdtls_common::id::PeerId;
use xdtls_common::record::{HEADER_LEN, content_type};
use xdtls_proto::engine::{ConnectEngine, Finished};
use xdtls_proto::rekey::{RekeyKey, Replaces};
use xdtls_proto::suite::CipherSuite;

use crate::World;
use crate::pair::{MAX_DATAGRAM, Pair, To, local};
use crate::pki::KeyType;

/// Handshake message types (RFC 5246 §7.4).
const CERTIFICATE: u8 = 11;

pub(crate) fn remembering(world: &World, sessions: u32, lifetime_s: u64) -> OpensslAcceptor {
    let trust = Trust::new(&world.authority.pem()).unwrap();
    let sessions = SessionLimits { sessions, lifetime: Duration::from_secs(lifetime_s) };
    let identities = &[world.server.identity()];
    let options =
        AcceptorOptions { identities, trust: Some(&trust), sessions, ..AcceptorOptions::default() };
    OpensslAcceptor::with(&options).unwrap()
}

fn connect(connector: &OpensslConnector, replaces: Option<&Replaces>) -> OpensslEngine {
    connector.connect(Instant::now(), MAX_DATAGRAM, replaces).unwrap()
}

/// What both ends have of a handshake: client's, server's.
pub(crate) fn handshake(
    connector: &OpensslConnector,
    acceptor: &OpensslAcceptor,
) -> (Finished, Finished) {
    let mut pair = Pair::new(connect(connector, None), acceptor);
    pair.run();
    pair.finish()
}

/// Whether the handshake continues a session, by the word of both ends.
fn resumes(connector: &OpensslConnector, acceptor: &OpensslAcceptor) -> bool {
    let (client, server) = handshake(connector, acceptor);
    assert_eq!(client.resumed, server.resumed);
    client.resumed
}

#[test]
fn a_session_is_continued_with_new_keys_and_the_same_identities() {
    for key_type in [KeyType::Ecdsa, KeyType::Rsa] {
        let world = World::new(key_type);
        let (connector, acceptor) = (world.connector("gw.example"), remembering(&world, 10, 60));
        let (first_client, first_server) = handshake(&connector, &acceptor);
        assert!(!first_client.resumed && !first_server.resumed);
        assert_eq!(acceptor.sessions(), 1);

        let mut pair = Pair::new(connect(&connector, None), &acceptor);
        pair.run();
        // Who was asked has to answer last.
        let last = pair.sent.last().unwrap().0;
        assert_eq!(last, To::Server);
        let records = pair.records_to(To::Client).concat();
        let plain = records.iter().filter(|(header, _)| header.epoch == 0);
        let messages = plain.filter(|(header, _)| header.content_type == content_type::HANDSHAKE);
        assert!(messages.map(|(_, record)| record[HEADER_LEN]).all(|kind| kind != CERTIFICATE));
        let (client, server) = pair.finish();
        assert!(client.resumed && server.resumed && client.extension && server.extension);
        assert_eq!(client.identity, first_client.identity);
        assert_eq!(server.identity, first_server.identity);
        assert_eq!(client.master_secret, first_client.master_secret);
        assert_eq!((client.answerer, server.answerer), (PeerId::new(local().value()), None));
        assert_ne!(client.server_random, first_client.server_random);
        assert_ne!(client.client_random, first_client.client_random);
    }
}

#[test]
fn a_session_can_be_continued_again_and_again() {
    let world = World::new(KeyType::Ecdsa);
    let (connector, acceptor) = (world.connector("gw.example"), remembering(&world, 10, 60));
    let resumed: Vec<_> = (0..5).map(|_| resumes(&connector, &acceptor)).collect();
    assert_eq!(resumed, [false, true, true, true, true]);
    assert_eq!(acceptor.sessions(), 1);
}

#[test]
fn without_room_nothing_is_kept() {
    let world = World::new(KeyType::Ecdsa);
    let (connector, acceptor) = (world.connector("gw.example"), remembering(&world, 0, 60));
    assert!((0..3).all(|_| !resumes(&connector, &acceptor)));
    assert_eq!(acceptor.sessions(), 0);
}

#[test]
fn the_oldest_session_gives_way() {
    let world = World::new(KeyType::Ecdsa);
    let acceptor = remembering(&world, 4, 60);
    let connectors: Vec<_> = (0..6).map(|_| world.connector("gw.example")).collect();
    for connector in &connectors {
        assert!(!resumes(connector, &acceptor));
        assert!(acceptor.sessions() <= 4);
    }
    // Some versions of OpenSSL keep one fewer than they may.
    assert!(resumes(&connectors[5], &acceptor) && resumes(&connectors[4], &acceptor));
    assert!(!resumes(&connectors[0], &acceptor) && !resumes(&connectors[1], &acceptor));
}

#[test]
fn a_session_ends_with_its_lifetime() {
    let world = World::new(KeyType::Ecdsa);
    let (connector, acceptor) = (world.connector("gw.example"), remembering(&world, 10, 1));
    assert!(!resumes(&connector, &acceptor));
    std::thread::sleep(Duration::from_millis(2100));
    assert!(!resumes(&connector, &acceptor));
}

#[test]
fn other_settings_of_the_gateway_forget_all_sessions() {
    let world = World::new(KeyType::Ecdsa);
    let connector = world.connector("gw.example");
    let (before, after) = (remembering(&world, 10, 60), remembering(&world, 10, 60));
    assert!(!resumes(&connector, &before));
    assert!(!resumes(&connector, &after));
    assert!(resumes(&connector, &after));
}

#[test]
fn after_an_attempt_that_came_to_nothing_the_next_is_a_full_one() {
    let world = World::new(KeyType::Ecdsa);
    let (connector, acceptor) = (world.connector("gw.example"), remembering(&world, 10, 60));
    assert!(!resumes(&connector, &acceptor));
    let mut pair = Pair::new(connect(&connector, None), &acceptor);
    pair.run_losing(&mut |to, _| to == To::Client);
    drop(pair);
    assert!(!resumes(&connector, &acceptor));
    assert!(resumes(&connector, &acceptor));
}

#[test]
fn another_associations_place_is_asked_for_in_a_full_handshake() {
    let world = World::new(KeyType::Ecdsa);
    let (connector, acceptor) = (world.connector("gw.example"), remembering(&world, 10, 60));
    let (first, _) = handshake(&connector, &acceptor);
    let suite = CipherSuite::EcdheEcdsaAes128Gcm;
    let randoms = (&first.client_random, &first.server_random);
    let key = RekeyKey::derive(suite, &first.master_secret, randoms.0, randoms.1);
    let replaces = Replaces { peer: PeerId::new(77).unwrap(), key };
    let mut pair = Pair::new(connect(&connector, Some(&replaces)), &acceptor);
    pair.run();
    let token = replaces.token(&{
        let (_, hello) = &pair.records_to(To::Server)[0][0];
        hello[HEADER_LEN + 14..][..32].try_into().unwrap()
    });
    for direction in [To::Server, To::Client] {
        let records = pair.records_to(direction).concat();
        let carries = |record: &[u8]| record.windows(token.len()).any(|bytes| bytes == token);
        assert!(records.iter().any(|(_, record)| carries(record)), "{direction:?}");
    }
    let (client, server) = pair.finish();
    assert!(client.replaces && server.replaces && !client.resumed && !server.resumed);
    let (client, server) = handshake(&connector, &acceptor);
    assert!(!client.replaces && !server.replaces && client.resumed);
}
