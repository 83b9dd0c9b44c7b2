//! ClientHellos with good cookies: what each begins, what a repetition begins, and how many may have
//! begun something at a time.

use std::net::SocketAddr;

use xdtls_common::DropReason;
use xdtls_proto::suite::CipherSuite;

use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World};

fn world() -> World {
    let mut setup = Setup::default();
    setup.limits.half_open = 5;
    setup.limits.half_open_per_source = 3;
    World::with_gateway(setup)
}

fn address(host: u16, port: u16) -> SocketAddr {
    format!("198.51.100.{host}:{port}").parse().unwrap()
}

/// Lets a ClientHello with a good cookie arrive.
fn hello(world: &mut World, from: SocketAddr, client_id: u32, random: u8) {
    let hello = world.hello_with_cookie(from, client_id, [random; 32]);
    world.deliver(GATEWAY, from, hello);
}

#[test]
fn half_open_associations_are_limited_in_all() {
    let mut world = world();
    for host in 1..=8 {
        hello(&mut world, address(host, 5000), 9, 1);
    }
    assert_eq!(world.half_open(), 5);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::HalfOpenLimit), 3);
    world.run_ms(14_990);
    hello(&mut world, address(9, 5000), 9, 1);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::HalfOpenLimit), 4);
    world.run_ms(10);
    assert_eq!(world.half_open(), 0);
    assert_eq!(world.nodes[GATEWAY].journal.ended.len(), 5);
    hello(&mut world, address(9, 5000), 9, 1);
    assert_eq!(world.half_open(), 1);
}

#[test]
fn half_open_associations_of_one_source_are_limited() {
    let mut world = world();
    for port in 1..=5 {
        hello(&mut world, address(1, port), u32::from(port), 1);
    }
    assert_eq!(world.half_open(), 3);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::SourceLimit), 2);
    hello(&mut world, address(2, 1), 1, 1);
    assert_eq!(world.half_open(), 4);
}

#[test]
fn a_source_may_begin_a_burst_of_handshakes_and_then_so_many_a_second() {
    let mut setup = Setup { capacity: 4096, ..Setup::default() };
    setup.limits.rate_per_source = 2;
    setup.limits.burst_per_source = 5;
    let mut world = World::with_gateway(setup);
    let counts = |world: &World| {
        let dropped = world.nodes[GATEWAY].dropped(DropReason::SourceRate);
        (world.half_open(), dropped)
    };
    for port in 1..=9 {
        hello(&mut world, address(1, port), 9, 1);
        hello(&mut world, address(1, port), 9, 1);
    }
    assert_eq!(counts(&world), (5, 8), "a repeat of what has begun costs nothing");
    world.run_ms(1000);
    for port in 10..=14 {
        hello(&mut world, address(1, port), 9, 1);
    }
    assert_eq!(counts(&world), (7, 11));
    hello(&mut world, address(2, 1), 9, 1);
    assert_eq!(counts(&world), (8, 11), "another source has its own");
}

#[test]
fn failed_handshakes_cost_a_source_more_than_others() {
    let suites = vec![CipherSuite::EcdheRsaChaCha20Poly1305];
    for (script, established) in
        [(Script { suites, ..Script::new("fails") }, 0), (Script::new("works"), 40)]
    {
        let mut world = World::with_gateway(Setup { capacity: 1024, ..Setup::default() });
        for port in 1..=40 {
            world.add_foreign(address(1, port), u32::from(port), script.clone());
            world.run_ms(100);
        }
        assert_eq!(world.nodes[GATEWAY].established(), established);
        let refused = world.nodes[GATEWAY].dropped(DropReason::SourceRate);
        assert_eq!(refused > 0, established == 0, "{refused}");
        let failed = world.nodes[GATEWAY].journal.ended.iter().filter(|it| it.outcome.is_err());
        let failed = failed.count();
        // 16 at once, and 16 more in two minutes.
        assert!(established > 0 || (16..=17).contains(&failed), "{failed}");
    }
}

#[test]
fn one_ipv6_host_is_one_source_whatever_address_it_takes() {
    let mut world = world();
    for host in 1..=4 {
        let from = format!("[2001:db8:1:1::{host}]:5000").parse().unwrap();
        hello(&mut world, from, 9, 1);
    }
    assert_eq!(world.half_open(), 3);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::SourceLimit), 1);
    hello(&mut world, "[2001:db8:1:2::1]:5000".parse().unwrap(), 9, 1);
    assert_eq!(world.half_open(), 4);
}

#[test]
fn established_associations_use_no_limit_up() {
    let mut world = world();
    for port in 1..=12 {
        let client = world.add_client(address(1, port), Script::new("client"));
        world.establish(client);
    }
    assert_eq!(world.nodes[GATEWAY].established(), 12);
    assert_eq!(world.half_open(), 0);
    assert!(world.nodes[GATEWAY].journal.drops.is_empty());
}

#[test]
fn a_repeated_hello_joins_its_association() {
    let mut world = world();
    let flights = |world: &World| world.sent_by(GATEWAY).count();
    hello(&mut world, address(1, 1), 9, 1);
    assert_eq!(flights(&world), 1);
    for _ in 0..10 {
        hello(&mut world, address(1, 1), 9, 1);
        world.run_ms(1);
    }
    assert_eq!(world.half_open(), 1);
    assert_eq!(flights(&world), 1, "only its timer repeats the answer");
    world.run_ms(15_000);
    assert_eq!(world.nodes[GATEWAY].journal.ended.len(), 1);
    hello(&mut world, address(1, 1), 9, 1);
    assert_eq!(world.half_open(), 0);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::HandshakeReplayed), 1);
}

#[test]
fn a_hello_replayed_after_its_handshake_begins_nothing_as_long_as_its_cookie_lives() {
    for close in [false, true] {
        let mut world = World::established(Setup::default(), Script::new("client one"));
        if close {
            let id = world.id(GATEWAY);
            world.close(GATEWAY, id);
            world.run_ms(100);
        }
        let replayed = world.sent_by(CLIENT).nth(1).unwrap().to_vec();
        let client = world.nodes[CLIENT].address;
        let answers = |world: &World| {
            world.network.sent.iter().filter(|(_, packet)| packet.to == client).count()
        };
        let (mut replays, before) = (0, answers(&world));
        while world.nodes[GATEWAY].dropped(DropReason::CookieExpired) == 0 {
            world.deliver_from(CLIENT, replayed.clone());
            world.run_ms(1000);
            replays += 1;
            if replays % 20 == 0 {
                // Somebody else comes, so that what is old enough is forgotten.
                hello(&mut world, address(99, replays as u16), 9, 1);
            }
        }
        assert!((120..=122).contains(&replays), "{replays}");
        let refused = world.nodes[GATEWAY].dropped(DropReason::HandshakeReplayed);
        assert_eq!(refused, replays - 1);
        assert_eq!(answers(&world), before);
        assert_eq!(world.nodes[GATEWAY].journal.known.len(), 1);
    }
}

#[test]
fn another_sender_id_port_address_or_list_of_suites_needs_another_cookie() {
    let mut world = world();
    let from = address(1, 1);
    let hello = world.hello_with_cookie(from, 9, [1; 32]);
    let mut other_id = hello.clone();
    other_id[3] ^= 1;
    let mut other_random = hello.clone();
    other_random[8 + 13 + 12 + 2] ^= 1;
    for (from, datagram) in [
        (from, other_id),
        (from, other_random),
        (address(1, 2), hello.clone()),
        (address(2, 1), hello.clone()),
    ] {
        world.deliver(GATEWAY, from, datagram);
    }
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::CookieInvalid), 4);
    assert_eq!(world.half_open(), 0);
    assert_eq!(world.sent_by(GATEWAY).count(), 0);
    world.deliver(GATEWAY, from, hello);
    assert_eq!(world.half_open(), 1);
}

#[test]
fn one_id_port_and_address_but_two_randoms_are_two_handshakes() {
    let mut world = world();
    for random in [1, 2, 1, 2, 2, 1] {
        hello(&mut world, address(1, 1), 9, random);
    }
    assert_eq!(world.half_open(), 2);
    let answers: Vec<_> = world.sent_by(GATEWAY).map(|bytes| &bytes[..8]).collect();
    assert_eq!(answers.len(), 2);
    assert_ne!(answers[0][..4], answers[1][..4], "two ids of ours");
    assert_eq!(answers[0][4..], answers[1][4..], "one id of theirs");
}

#[test]
fn a_client_that_has_restarted_under_its_old_id_is_served() {
    let mut world = World::with_gateway(Setup::default());
    world.network.lose =
        Some(Box::new(|packet| packet.bytes[4..8] != [0; 4] && packet.to.port() != 1));
    world.add_foreign(address(1, 1), 9, Script::new("before"));
    world.run_ms(100);
    assert_eq!(world.half_open(), 1);
    world.network.lose = None;
    world.foreign.clear();
    world.add_foreign(address(1, 1), 9, Script::new("after"));
    world.run_ms(100);
    assert_eq!(world.known(GATEWAY).names, ["after"]);
    world.run_ms(15_000);
    assert_eq!(world.nodes[GATEWAY].journal.ended.len(), 2, "the first has run out of time");
    assert_eq!(world.nodes[GATEWAY].established(), 1);
}

#[test]
fn two_clients_behind_one_address_may_have_the_same_id() {
    let mut world = World::with_gateway(Setup::default());
    let clients = [1, 2].map(|port| {
        // Both draw the same ids.
        let random = Box::new(|| 0x7777_7777);
        world.add_client_with_ids(address(1, port), Script::new("client"), random)
    });
    for client in clients {
        world.open(client);
    }
    world.run_ms(200);
    assert_eq!(world.id(clients[0]), world.id(clients[1]));
    assert_eq!(world.nodes[GATEWAY].established(), 2);
    for client in clients {
        let (own, peer) = (world.id(client), world.known(client).peer);
        world.send(client, own, b"question");
        let at_gateway = world.nodes[GATEWAY].journal.known.iter();
        let id = at_gateway.map(|known| known.local).find(|id| id.value() == peer.value());
        world.send(GATEWAY, id.unwrap(), &[client as u8]);
    }
    world.run_ms(20);
    for client in clients {
        assert_eq!(world.received(client), [[client as u8]]);
    }
    assert_eq!(world.received(GATEWAY), [b"question", b"question"]);
    assert!(world.nodes[GATEWAY].journal.drops.is_empty());
}
