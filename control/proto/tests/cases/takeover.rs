//! The way from the handshake to the worker under adversarial timing: data that comes before the
//! keys do is delivered once, in order, and nothing of it is lost.

use std::time::Duration;

use xdtls_common::DropReason;
use xdtls_common::record::content_type::{APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE};
use xdtls_proto::keys::Role;

use crate::support::forger::sniffed;
use crate::support::node::Lag;
use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World};

fn world(resumed: bool) -> World {
    World::new(Setup::default(), Script { resumed, ..Script::new("client one") })
}

/// A resumed handshake whose client is done, and whose last flight is still in the test's hand.
fn holding_back_the_last_flight() -> (World, Vec<u8>) {
    let mut world = world(true);
    let client = world.nodes[CLIENT].address;
    world.network.lose = Some(Box::new(move |packet| {
        packet.from == client && packet.bytes[8] == CHANGE_CIPHER_SPEC
    }));
    world.open(CLIENT);
    world.run_ms(60);
    world.network.lose = None;
    let flight = [&world.known(CLIENT).prefix()[..], &world.known(CLIENT).final_flight[0]].concat();
    (world, flight)
}

fn deliver(world: &mut World, datagram: Vec<u8>) {
    let from = world.nodes[CLIENT].address;
    world.deliver(GATEWAY, from, datagram);
}

/// Records of data of the client, numbered from 2 on.
fn data(world: &World, bodies: &[&[u8]]) -> Vec<u8> {
    let known = world.known(CLIENT);
    let records = bodies.iter().zip(2..).map(|(b, s)| known.record(APPLICATION_DATA, s, b));
    records.collect::<Vec<_>>().concat()
}

#[test]
fn data_in_the_datagram_of_finished_is_held_and_delivered_in_order() {
    let (mut world, flight) = holding_back_the_last_flight();
    let records = data(&world, &[b"one", b"", b"three"]);
    deliver(&mut world, [flight.clone(), records].concat());
    assert_eq!(world.known(GATEWAY).held, 3);
    assert_eq!(world.received(GATEWAY), [&b"one"[..], b"", b"three"]);
    assert!(world.nodes[GATEWAY].journal.drops.is_empty());

    let records = data(&world, &[b"one", b"", b"three"]);
    deliver(&mut world, [flight, records].concat());
    assert_eq!(world.received(GATEWAY).len(), 3, "a repetition is no news");
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::Replayed), 4);
}

#[test]
fn data_that_overtakes_finished_is_held() {
    let (mut world, flight) = holding_back_the_last_flight();
    for (sequence, body) in [(2, &b"one"[..]), (3, b"two")] {
        let datagram = world.known(CLIENT).datagram(APPLICATION_DATA, sequence, body);
        deliver(&mut world, datagram);
    }
    assert!(world.received(GATEWAY).is_empty());
    deliver(&mut world, flight);
    assert_eq!(world.received(GATEWAY), [b"one", b"two"]);
}

#[test]
fn beyond_eight_records_or_16_kib_nothing_is_held() {
    for (bodies, held) in [(vec![&[7; 4][..]; 10], 8), (vec![&[7; 5000][..]; 4], 3)] {
        let (mut world, flight) = holding_back_the_last_flight();
        let records = data(&world, &bodies);
        deliver(&mut world, [flight, records].concat());
        assert_eq!(world.received(GATEWAY).len(), held);
        let refused = bodies.len() - held;
        assert_eq!(world.nodes[GATEWAY].dropped(DropReason::HeldLimit), refused as u64);
    }
}

#[test]
fn what_is_held_is_judged_by_the_keys_like_anything_else() {
    let (mut world, flight) = holding_back_the_last_flight();
    let known = world.known(CLIENT);
    let mut forged = known.record(APPLICATION_DATA, 3, b"forged");
    forged[20] ^= 1;
    let good = known.record(APPLICATION_DATA, 2, b"good");
    let records = [&good[..], &forged, &good].concat();
    deliver(&mut world, [flight, records].concat());
    assert_eq!(world.received(GATEWAY), [b"good"]);
    let drops = &world.nodes[GATEWAY].journal.drops;
    assert_eq!(drops[&DropReason::NotAuthentic], 1);
    assert_eq!(drops[&DropReason::Replayed], 1);
}

/// A client may send data before it has our Finished (RFC 7918): that it has come says nothing
/// about our final flight.
#[test]
fn held_data_does_not_end_the_keeping_of_the_final_flight() {
    let mut world = World::with_gateway(Setup::default());
    let address = "198.51.100.9:9".parse().unwrap();
    let gateway = world.nodes[GATEWAY].address;
    world.network.lose = Some(Box::new(move |packet| {
        packet.from == gateway && packet.bytes[8] == CHANGE_CIPHER_SPEC
    }));
    world.add_foreign(address, 77, Script::new("foreign"));
    world.run_ms(45);
    let flight = world.network.in_flight_to(gateway).unwrap().bytes.clone();
    let early = sniffed(&world.network, Role::Client).record(APPLICATION_DATA, 9, b"early");
    world.deliver(GATEWAY, address, [flight, early].concat());
    assert_eq!(world.received(GATEWAY), [b"early"]);
    world.network.lose = None;
    world.run_ms(1000);
    assert!(world.foreign[0].known.is_some(), "the final flight has been repeated");
}

#[test]
fn data_meets_the_keys_in_order_however_late_the_worker_installs_them() {
    for resumed in [false, true] {
        for install_ms in [1, 5, 15, 40, 300] {
            let mut world = world(resumed);
            let install = Duration::from_millis(install_ms);
            for node in [GATEWAY, CLIENT] {
                world.nodes[node].lag = Lag { install, ..Lag::default() };
            }
            world.network.link.jitter = Duration::ZERO;
            let sent = exchange_numbers(&mut world);
            for node in [GATEWAY, CLIENT] {
                let wanted: Vec<&[u8]> = sent.iter().map(|number| &number[..]).collect();
                assert_eq!(world.received(node), wanted, "{resumed} {install_ms}");
            }
        }
    }
}

#[test]
fn data_is_delivered_once_however_late_all_threads_are() {
    let mut forwarded = 0;
    for resumed in [false, true] {
        for (install_ms, handshakes_ms) in
            [(0, 5), (0, 30), (0, 200), (5, 5), (40, 30), (300, 30), (30, 300)]
        {
            let mut world = world(resumed);
            for node in [GATEWAY, CLIENT] {
                let install = Duration::from_millis(install_ms);
                let handshakes = Duration::from_millis(handshakes_ms);
                world.nodes[node].lag = Lag { install, handshakes, ..Lag::default() };
            }
            let sent = exchange_numbers(&mut world);
            for node in [GATEWAY, CLIENT] {
                let mut received = world.received(node);
                received.sort_unstable();
                assert_eq!(received, sent, "{resumed} {install_ms} {handshakes_ms}");
                forwarded += world.nodes[node].journal.forwarded;
            }
        }
    }
    assert!(forwarded > 0, "some data came between the keys and the worker");
}

/// Each end sends a number each 5 ms, from when it has installed its keys.
fn exchange_numbers(world: &mut World) -> Vec<[u8; 1]> {
    world.open(CLIENT);
    let numbers: Vec<_> = (0..40_u8).map(|number| [number]).collect();
    let mut next = [0; 2];
    for _ in 0..2000 {
        world.run_ms(5);
        for node in [GATEWAY, CLIENT] {
            if world.nodes[node].established() > 0 && next[node] < numbers.len() {
                let id = world.id(node);
                world.send(node, id, &numbers[next[node]]);
                next[node] += 1;
            }
        }
    }
    numbers
}

#[test]
fn data_can_be_sent_as_soon_as_the_keys_are_installed_and_waits_for_the_peers() {
    let mut world = world(false);
    let lag = Lag { install: Duration::from_millis(100), ..Lag::default() };
    world.nodes[CLIENT].lag = lag;
    world.open(CLIENT);
    assert!(
        world.run_until(Duration::from_secs(1), |world| world.nodes[GATEWAY].established() == 1)
    );
    let id = world.id(GATEWAY);
    (0..20_u8).for_each(|number| world.send(GATEWAY, id, &[number]));
    world.run_ms(50);
    assert!(world.received(CLIENT).is_empty());
    world.run_ms(100);
    let numbers: Vec<_> = (0..20_u8).map(|number| [number]).collect();
    assert_eq!(world.received(CLIENT), numbers, "held or forwarded, and without a limit");
}

/// A foreign client seals its Finished anew each time it repeats it.
#[test]
fn data_between_two_copies_of_finished_is_delivered() {
    let (mut world, flight) = holding_back_the_last_flight();
    let client = sniffed(&world.network, Role::Client);
    let change_cipher_spec = flight[..8 + 13 + 1].to_vec();
    let finished = client.reveal(&flight[8 + 13 + 1..]);
    let prefix = world.known(CLIENT).prefix();
    deliver(&mut world, [&prefix[..], &client.record(APPLICATION_DATA, 2, b"between")].concat());
    let again = client.record(HANDSHAKE, 3, &finished);
    deliver(&mut world, [change_cipher_spec, again].concat());
    assert_eq!(world.nodes[GATEWAY].established(), 1);
    assert_eq!(world.received(GATEWAY), [b"between"]);
}
