//! Lost, forged and broken datagrams. Retransmission runs on the real clock: few tests use it.

use std::time::{Duration, Instant};

use xdtls_common::record::HEADER_LEN;
use xdtls_proto::engine::{Engine, Progress};

use crate::World;
use crate::pair::{Pair, Record, To, split};
use crate::pki::KeyType;

fn protected(record: &&Record) -> bool {
    record.0.epoch == 1
}

fn explicit_nonce(record: &Record) -> u64 {
    u64::from_be_bytes(record.1[HEADER_LEN..HEADER_LEN + 8].try_into().unwrap())
}

#[test]
fn every_lost_datagram_is_sent_again() {
    let world = World::new(KeyType::Ecdsa);
    let mut pair = Pair::new(world.connect(), &world.acceptor());
    // Once each: both ClientHellos, then the first datagram of either side's flight.
    let mut lost = Vec::new();
    pair.run_with_timers(&mut |to, datagram| {
        let (_, first) = &split(datagram)[0];
        let message = (to, first[HEADER_LEN], first.get(HEADER_LEN + 5).copied());
        let lose = lost.len() < 4 && !lost.contains(&message);
        if lose {
            lost.push(message);
        }
        lose
    });
    assert_eq!(lost.len(), 4);
    let (client, server) = pair.finish();
    assert_eq!(client.master_secret, server.master_secret);
}

#[test]
fn retransmitted_flights_have_a_datagram_for_each_message_and_nonces_count_up() {
    let world = World::new(KeyType::Ecdsa);
    let mut pair = Pair::new(world.connect(), &world.acceptor());
    let mut after_first_flight = false;
    let mut lose = |to: To, _: &[u8]| {
        let lost = after_first_flight && to == To::Server;
        after_first_flight |= to == To::Client;
        lost
    };
    pair.run_losing(&mut lose);
    let first_try = pair.records_to(To::Server);
    std::thread::sleep(Duration::from_millis(401));
    pair.client.handle_timeout(Instant::now());
    pair.run_losing(&mut lose);
    let second_try = &pair.records_to(To::Server)[first_try.len()..];

    let flight = &first_try[2..];
    assert!(flight.len() < second_try.len(), "{} {}", flight.len(), second_try.len());
    assert!(second_try.iter().all(|datagram| datagram.len() == 1));
    let both = [flight.concat(), second_try.concat()].concat();
    let finished: Vec<_> = both.iter().filter(protected).collect();
    assert_eq!(finished.len(), 2);
    assert_eq!([finished[0].0.sequence, finished[1].0.sequence], [0, 1]);
    assert_eq!(explicit_nonce(finished[1]), explicit_nonce(finished[0]).wrapping_add(1));
}

#[test]
fn first_deadline_is_400_ms_and_early_timeouts_do_nothing() {
    let world = World::new(KeyType::Ecdsa);
    let now = Instant::now();
    let mut client = world.connect();
    let left = client.deadline(now).unwrap() - now;
    assert!((300..=401).contains(&left.as_millis()), "{left:?}");
    assert!(client.poll_transmit().is_some());
    client.handle_timeout(now);
    assert_eq!(client.poll_transmit(), None);
    assert_eq!(client.progress(), Progress::Pending);
}

#[test]
fn noise_is_harmless_at_every_step() {
    let world = World::new(KeyType::Ecdsa);
    let mut pair = Pair::new(world.connect(), &world.acceptor());
    let noise: [&[u8]; 7] = [
        &[],
        &[22],
        &[0; 300],
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0],
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 41, 0, 9, 1, 2],
        &[22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 42, 0, 3, 1, 2, 3],
        &[22, 0xfe, 0xfd, 0, 7, 0, 0, 0, 0, 0, 43, 0, 3, 1, 2, 3],
    ];
    let now = Instant::now();
    for _ in 0..12 {
        for bytes in noise {
            pair.client.handle_record(now, bytes);
            if let Some(server) = &mut pair.server {
                server.handle_record(now, bytes);
            }
        }
        let Some(datagram) = pair.client.poll_transmit() else { break };
        pair.deliver_to_server(now, &datagram);
        for bytes in noise {
            pair.client.handle_record(now, bytes);
        }
        while let Some(datagram) = pair.server.as_mut().and_then(Engine::poll_transmit) {
            pair.deliver_to_client(now, &datagram);
        }
    }
    pair.finish();
}

#[test]
fn forged_protected_records_are_dropped_and_the_handshake_goes_on() {
    let world = World::new(KeyType::Ecdsa);
    let mut pair = Pair::new(world.connect(), &world.acceptor());
    let mut flight = Vec::new();
    pair.run_losing(&mut |to, datagram| {
        let last = to == To::Server && datagram.windows(3).any(|bytes| bytes == [20, 0xfe, 0xfd]);
        if last {
            flight = datagram.to_vec();
        }
        last
    });
    // A forged Finished comes together with the real ChangeCipherSpec, and the real one after it.
    let mut forged = flight.clone();
    *forged.last_mut().unwrap() ^= 1;
    pair.deliver_to_server(Instant::now(), &forged);
    assert_eq!(pair.server_progress(), Progress::Pending);
    pair.deliver_to_server(Instant::now(), &flight);
    pair.run();
    pair.finish();
}

#[test]
fn noise_brings_no_answer() {
    let mut client = World::new(KeyType::Ecdsa).connect();
    assert!(client.poll_transmit().is_some());
    for _ in 0..500 {
        client.handle_record(Instant::now(), &[22; 40]);
    }
    assert_eq!(client.poll_transmit(), None);
}
