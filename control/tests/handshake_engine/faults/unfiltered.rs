//! What the filter before the engine is for: bare OpenSSL, given datagrams as they come, is wedged by
//! one forged record and hoards memory for a few more. Behind the filter it is and does neither.

use std::process::Command;
use std::time::{Duration, Instant};

use xdtls::handshake::OpensslEngine;
use xdtls_common::DropReason;
use xdtls_common::client_hello::ClientHello;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::hello_verify::hello_verify_request;
use xdtls_common::prefix::PREFIX_LEN;
use xdtls_common::record::{DTLS_1_2, RecordHeader, content_type};
use xdtls_proto::engine::{AcceptEngine, Engine, Progress};
use xdtls_proto::exchange::Exchange;
use xdtls_proto::filter::Filter;
use xdtls_proto::keys::Role;

use super::fault::{LAST_SEQUENCE, hello_request};
use crate::World;
use crate::pair::{MAX_DATAGRAM, To, local};
use crate::pki::KeyType;

/// One end, with the filter or without.
enum End {
    Bare(OpensslEngine),
    Filtered(Exchange<OpensslEngine>),
}

impl End {
    fn receive(&mut self, datagram: &[u8]) {
        match self {
            Self::Bare(engine) => engine.handle_record(Instant::now(), datagram),
            Self::Filtered(exchange) => exchange.receive(Instant::now(), datagram, &mut |_| ()),
        }
    }

    fn handle_timeout(&mut self) {
        match self {
            Self::Bare(engine) => engine.handle_timeout(Instant::now()),
            Self::Filtered(exchange) => exchange.handle_timeout(Instant::now()),
        }
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Bare(engine) => engine.poll_transmit(),
            Self::Filtered(exchange) => exchange.poll_transmit(),
        }
    }

    fn progress(&self) -> Progress {
        match self {
            Self::Bare(engine) => engine.progress(),
            Self::Filtered(exchange) => exchange.progress(),
        }
    }
}

/// A client whose second ClientHello has just been accepted, and the server with its first flight.
fn half_way(world: &World, filtered: bool) -> (End, End) {
    let mut client = world.connect();
    let first = client.poll_transmit().unwrap();
    let hello = ClientHello::parse(&mut SliceCursor::new(&first)).unwrap();
    let reply = hello_verify_request(0, hello.record_sequence, b"twelve bytes");
    client.handle_record(Instant::now(), &reply[PREFIX_LEN..]);
    let second = client.poll_transmit().unwrap();
    let hello = ClientHello::parse(&mut SliceCursor::new(&second)).unwrap();
    let server = world.acceptor().accept(Instant::now(), local(), &second, MAX_DATAGRAM).unwrap();
    if !filtered {
        return (End::Bare(client), End::Bare(server));
    }
    let filter = Filter::new(hello.record_sequence + 1, hello.message_seq);
    let server = Exchange::new(Role::Server, server, filter);
    // The client's engine has read one record, HelloVerifyRequest.
    let client = Exchange::new(Role::Client, client, Filter::new(1, 0));
    (End::Filtered(client), End::Filtered(server))
}

/// Lets a harmless record of this number reach one end, then runs through two retransmissions;
/// whether that end has come to the end of its handshake.
fn finishes(world: &World, filtered: bool, victim: To, sequence: u64) -> bool {
    let (mut client, mut server) = half_way(world, filtered);
    match victim {
        To::Client => client.receive(&hello_request(sequence)),
        To::Server => server.receive(&hello_request(sequence)),
    }
    for wait_ms in [401, 801, 0] {
        loop {
            if let Some(datagram) = client.poll_transmit() {
                server.receive(&datagram);
            } else if let Some(datagram) = server.poll_transmit() {
                client.receive(&datagram);
            } else {
                break;
            }
        }
        let end = if victim == To::Client { &client } else { &server };
        if end.progress() == Progress::Complete {
            return true;
        }
        std::thread::sleep(Duration::from_millis(wait_ms));
        client.handle_timeout();
        server.handle_timeout();
    }
    false
}

#[test]
fn a_far_ahead_record_wedges_bare_openssl_and_not_what_is_behind_the_filter() {
    let world = World::new(KeyType::Ecdsa);
    for victim in [To::Client, To::Server] {
        assert!(!finishes(&world, false, victim, LAST_SEQUENCE), "bare OpenSSL, {victim:?}");
        assert!(finishes(&world, true, victim, LAST_SEQUENCE), "behind the filter, {victim:?}");
        // It is the number that wedges, not the record.
        assert!(finishes(&world, false, victim, 40), "{victim:?}");
    }
}

/// How many handshakes are flooded with how many records each: OpenSSL keeps up to 100.
const HANDSHAKES: usize = 40;
const FLOOD: u64 = 100;

/// What one of the kept records takes at least, in KiB: a read buffer for the longest record.
const READ_BUFFER_KIB: usize = 16;

fn encrypted(sequence: u64) -> Vec<u8> {
    let fragment = [0xee; 48];
    let header = RecordHeader {
        content_type: content_type::HANDSHAKE,
        version: DTLS_1_2,
        epoch: 1,
        sequence,
        length: fragment.len() as u16,
    };
    [&header.encode()[..], &fragment].concat()
}

/// The process's writable memory in KiB (proc(5), `VmData`). OpenSSL allocates with malloc, which
/// nothing in Rust can count.
fn data_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// How many KiB a flood of encrypted records adds to all handshakes together.
fn flooded(world: &World, filtered: bool) -> usize {
    let mut halves: Vec<_> = (0..HANDSHAKES).map(|_| half_way(world, filtered)).collect();
    let before = data_kib();
    for (_, server) in &mut halves {
        for sequence in 0..FLOOD {
            server.receive(&encrypted(sequence));
            server.handle_timeout();
        }
        assert_eq!(server.progress(), Progress::Pending);
    }
    data_kib() - before
}

#[test]
fn an_epoch_1_flood_makes_bare_openssl_hoard_memory_and_not_what_is_behind_the_filter() {
    const ALONE: &str = "XDTLS_TEST_ALONE";
    const NAME: &str = "faults::unfiltered::\
        an_epoch_1_flood_makes_bare_openssl_hoard_memory_and_not_what_is_behind_the_filter";
    // Other tests of this process would allocate in between.
    if std::env::var_os(ALONE).is_none() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", NAME]).env(ALONE, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let world = World::new(KeyType::Ecdsa);
    let filtered = flooded(&world, true);
    let bare = flooded(&world, false);
    let records_kib = HANDSHAKES * FLOOD as usize * READ_BUFFER_KIB;
    assert!(bare > records_kib / 2, "bare OpenSSL took only {bare} KiB");
    assert!(filtered < records_kib / 10, "behind the filter: {filtered} KiB");
}

#[test]
fn what_the_filter_does_not_pass_is_counted() {
    let world = World::new(KeyType::Ecdsa);
    let (_, End::Filtered(mut server)) = half_way(&world, true) else { panic!("it is filtered") };
    let mut dropped = Vec::new();
    for sequence in 0..FLOOD {
        server.receive(Instant::now(), &encrypted(sequence), &mut |reason| dropped.push(reason));
    }
    assert_eq!(dropped, vec![DropReason::EarlyRecordLimit; FLOOD as usize - 4]);
}
