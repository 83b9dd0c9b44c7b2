//! Handshakes through the real filter, and their keys taken over.

use std::time::Instant;

use xdtls_common::client_hello::{ClientHello, CookieField};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::hello_verify::hello_verify_request;
use xdtls_common::prefix::PREFIX_LEN;
use xdtls_common::record::{content_type, records};
use xdtls_proto::engine::{AcceptEngine, Engine, Progress};
use xdtls_proto::exchange::{Exchange, TakenOver};
use xdtls_proto::filter::Filter;
use xdtls_proto::keys::Role;
use xdtls_proto::record_plane::{ExpandedKey, open, seal};

use crate::pair::{MAX_DATAGRAM, local};
use crate::pki::KeyType;
use crate::{SUITES, World, foreign};

/// Runs a whole handshake and returns both ends.
fn shake<C: Engine>(client: C, world: &World) -> (Exchange<C>, Exchange<impl Engine>) {
    let now = Instant::now();
    let mut client = Exchange::new(Role::Client, client, Filter::new(0, 0));
    let first = client.poll_transmit().unwrap();
    let hello = ClientHello::parse(&mut SliceCursor::new(&first)).unwrap();
    let reply = hello_verify_request(0, hello.record_sequence, b"twelve bytes");
    client.receive(now, &reply[PREFIX_LEN..], &mut |reason| panic!("{reason:?}"));

    let second = client.poll_transmit().unwrap();
    let hello = ClientHello::parse(&mut SliceCursor::new(&second)).unwrap();
    assert_eq!(hello.cookie, CookieField::Cookie(*b"twelve bytes"));
    let engine = world.acceptor().accept(now, local(), &second, MAX_DATAGRAM).unwrap();
    let filter = Filter::new(hello.record_sequence + 1, hello.message_seq);
    let mut server = Exchange::new(Role::Server, engine, filter);
    loop {
        if let Some(datagram) = client.poll_transmit() {
            server.receive(now, &datagram, &mut |reason| panic!("{reason:?}"));
        } else if let Some(datagram) = server.poll_transmit() {
            client.receive(now, &datagram, &mut |reason| panic!("{reason:?}"));
        } else {
            return (client, server);
        }
    }
}

/// Seals at one end and opens at the other.
fn say(from: &mut TakenOver, to: &TakenOver) {
    let key = ExpandedKey::new(&from.seal_keys);
    let offset = key.aead().plaintext_offset();
    let mut record = vec![0; key.aead().record_overhead() + 5];
    record[offset..offset + 5].copy_from_slice(b"hello");
    let counters = from.seal_state.take(key.aead()).unwrap();
    let length = seal(&key, counters, content_type::APPLICATION_DATA, &mut record, 5);
    let (header, _) = records(&record[..length]).next().unwrap().unwrap();
    assert!(to.window.check(header.sequence).is_ok(), "a fresh sequence number");
    let plain = open(&ExpandedKey::new(&to.open_keys), &header, &mut record).unwrap();
    assert_eq!(&record[plain], b"hello");
}

#[test]
fn both_ends_go_on_without_openssl() {
    for key_type in [KeyType::Ecdsa, KeyType::Rsa] {
        let world = World::new(key_type);
        let (client, server) = shake(world.connect(), &world);
        let (mut client, mut server) = (client.take_over().unwrap(), server.take_over().unwrap());
        assert_eq!(client.final_flight.len(), 0);
        assert_eq!(server.final_flight.len(), 1);
        for _ in 0..3 {
            say(&mut client, &server);
            say(&mut server, &client);
        }
    }
}

#[test]
fn every_suite_opens_the_finished_of_a_foreign_client() {
    for (key_type, _, name) in SUITES {
        let world = World::new(key_type);
        let client = foreign::client(Some(&world.client), |context| {
            context.set_cipher_list(name).unwrap();
        });
        let (client, server) = shake(client, &world);
        assert_eq!(client.progress(), Progress::Complete, "{name}");
        let taken_over = server.take_over().unwrap_or_else(|reason| panic!("{name}: {reason}"));
        assert!(!taken_over.extension);
    }
}
