//! One association takes the place of another: everything that arrives is delivered, and nothing
//! twice, whatever the network does meanwhile.

use std::collections::HashSet;
use std::time::Duration;

use xdtls_common::record::content_type::APPLICATION_DATA;
use xdtls_proto::association::CloseCause;
use xdtls_proto::rekey::RekeyLimits;
use xdtls_proto::shard::PREDECESSORS_MAX;

use crate::support::network::Link;
use crate::support::node::Lag;
use crate::support::rng::Rng;
use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World};

const RECORDS: u64 = 100;

fn worn_after(records: u64) -> RekeyLimits {
    RekeyLimits { records, ..RekeyLimits::default() }
}

/// Clients want new keys after a hundred records.
fn eager() -> Setup {
    Setup { client_rekey: worn_after(RECORDS), ..Setup::default() }
}

/// Both ends send `count` datagrams, no two of which are the same, one each millisecond.
fn converse(world: &mut World, count: u32) {
    for _ in 0..count {
        let number = world.now_ms();
        for node in [GATEWAY, CLIENT] {
            let id = world.nodes[node].newest();
            world.send(node, id, &[&number.to_be_bytes()[..], &[node as u8]].concat());
        }
        world.run_ms(1);
    }
}

fn replaced(world: &World, node: usize) -> usize {
    world.nodes[node].journal.replaced.len()
}

/// Datagrams of data, each counted once, of which a good copy has arrived at a node.
fn arrived(world: &World, node: usize) -> usize {
    let address = world.nodes[node].address;
    let known = &world.nodes[node].journal.known;
    let here = world.arrived.iter().filter(|packet| packet.to == address);
    let data = here.filter(|packet| packet.bytes[8] == APPLICATION_DATA);
    let good = data.filter(|packet| known.iter().any(|k| !k.open(&packet.bytes).is_empty()));
    good.map(|packet| &packet.bytes).collect::<HashSet<_>>().len()
}

fn assert_all_that_arrived_is_delivered_once(world: &World, case: &str) {
    for node in [GATEWAY, CLIENT] {
        let received = world.received(node);
        let distinct: HashSet<_> = received.iter().collect();
        assert_eq!(distinct.len(), received.len(), "{case}: node {node} delivers twice");
        assert_eq!(received.len(), arrived(world, node), "{case}: node {node} loses");
    }
}

#[test]
fn under_load_nothing_is_lost_and_nothing_comes_twice() {
    let mut renewed = 0;
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let resumed = rng.per_mille(300);
        let script = |name| Script { resumed, ..Script::new(name) };
        let setup = Setup { seed, shards: 1 + seed as u32 % 3, ..eager() };
        let mut world = World::established(setup, script("client one"));
        world.network.link = Link {
            loss_per_mille: rng.below(4) * 100,
            duplicates_per_mille: rng.below(3) * 200,
            delay: Duration::from_millis(1 + rng.below(20)),
            jitter: Duration::from_millis(rng.below(2) * rng.below(50)),
            ..Link::CLEAN
        };
        for node in &mut world.nodes {
            let mut lag = || Duration::from_millis(rng.below(40) * rng.below(2));
            node.lag = Lag { install: lag(), handshakes: lag(), ..Lag::default() };
        }
        converse(&mut world, 2000);
        world.run_ms(5000);
        assert_all_that_arrived_is_delivered_once(&world, &format!("seed {seed}"));
        renewed += replaced(&world, CLIENT);
    }
    assert!(renewed > 150, "new keys {renewed} times in 60 worlds");
}

#[test]
fn the_old_association_receives_for_two_minutes_and_then_ends() {
    let mut world = World::established(eager(), Script::new("client one"));
    let (old, old_peer) = (world.id(CLIENT), world.id(GATEWAY));
    converse(&mut world, 150);
    world.run_ms(1000);
    assert_eq!(world.nodes[CLIENT].journal.replaced, [(old, world.id(CLIENT))]);
    assert_eq!(world.nodes[GATEWAY].journal.replaced, [(old_peer, world.id(GATEWAY))]);
    world.run(Duration::from_secs(117));
    assert!(world.nodes.iter().all(|node| node.established() == 2));
    world.run(Duration::from_secs(3));
    assert!(world.nodes.iter().all(|node| node.established() == 1));
    let ended = |world: &World, node: usize| world.nodes[node].journal.closed.clone();
    let (gateway, client) = (ended(&world, GATEWAY), ended(&world, CLIENT));
    let [(gateways, first), (clients, second)] = [gateway[0], client[0]];
    assert_eq!((gateway.len(), gateways, client.len(), clients), (1, old_peer, 1, old));
    // Whoever comes first says so to the other.
    let both = [first, second];
    assert!(both.contains(&CloseCause::Replaced), "{both:?}");
    assert!(both.contains(&CloseCause::PeerClosed), "{both:?}");
}

#[test]
fn bytes_wear_keys_too() {
    let client_rekey = RekeyLimits { bytes: 2000, ..RekeyLimits::default() };
    let setup = Setup { client_rekey, ..Setup::default() };
    let mut world = World::established(setup, Script::new("client one"));
    converse(&mut world, 100);
    assert_eq!(replaced(&world, CLIENT), 0, "{} bytes", 100 * 9 * 2);
    converse(&mut world, 100);
    world.run_ms(1000);
    assert_eq!(replaced(&world, CLIENT), 1);
}

#[test]
fn time_wears_the_keys_of_associations_that_are_used() {
    let client_rekey = RekeyLimits { time: Duration::from_secs(100), ..RekeyLimits::default() };
    let setup = Setup { client_rekey, ..Setup::default() };
    let mut world = World::established(setup, Script::new("client one"));
    converse(&mut world, 10);
    world.run_ms(100);
    let sent = world.network.sent.len();
    world.run(Duration::from_secs(300));
    assert_eq!(world.network.sent.len(), sent, "an idle association stays idle");
    converse(&mut world, 200);
    assert_eq!((replaced(&world, CLIENT), replaced(&world, GATEWAY)), (1, 1));
    assert_all_that_arrived_is_delivered_once(&world, "by time");
}

#[test]
fn the_gateway_asks_for_new_keys_and_asks_only_who_understands() {
    for extension in [true, false] {
        let setup = Setup { rekey: worn_after(RECORDS), ..Setup::default() };
        let script = Script { extension, ..Script::new("client one") };
        let mut world = World::established(setup, script);
        converse(&mut world, 3000);
        world.run_ms(100);
        assert_eq!(replaced(&world, CLIENT) > 5, extension);
        assert_all_that_arrived_is_delivered_once(&world, "asked");
    }
}

#[test]
fn what_an_association_has_carried_is_inherited() {
    let mut world = World::established(eager(), Script::new("client one"));
    converse(&mut world, 1000);
    world.run_ms(1000);
    assert!(replaced(&world, GATEWAY) > 3);
    let (now, id) = (world.now, world.nodes[GATEWAY].newest());
    let traffic = world.nodes[GATEWAY].shards[0].look(now, id).unwrap().traffic;
    assert_eq!((traffic.opened, traffic.sealed), (1000, 1000));
    assert_eq!((traffic.opened_bytes, traffic.sealed_bytes), (9000, 9000));
    assert_eq!(world.counters(GATEWAY).replaced, replaced(&world, GATEWAY) as u64);
}

#[test]
fn at_most_eight_that_were_replaced_still_receive() {
    let client_rekey = worn_after(10);
    let setup = Setup { client_rekey, ..Setup::default() };
    let mut world = World::established(setup, Script::new("client one"));
    converse(&mut world, 3000);
    assert_eq!(replaced(&world, CLIENT), PREDECESSORS_MAX);
    assert!(world.nodes.iter().all(|node| node.established() == PREDECESSORS_MAX + 1));
    world.run(Duration::from_secs(130));
    assert!(world.nodes.iter().all(|node| node.established() == 1));
    converse(&mut world, 1000);
    assert!(replaced(&world, CLIENT) > PREDECESSORS_MAX);
    assert_all_that_arrived_is_delivered_once(&world, "a long line");
}

#[test]
fn when_the_newest_ends_all_that_it_has_replaced_do() {
    for node in [GATEWAY, CLIENT] {
        let mut world = World::established(eager(), Script::new("client one"));
        converse(&mut world, 1000);
        world.run_ms(200);
        let newest = world.nodes[node].newest();
        world.close(node, newest);
        world.run_ms(1000);
        assert!(world.nodes.iter().all(|node| node.established() == 0));
        let causes = world.nodes[node].journal.closed.iter().map(|(_, cause)| *cause);
        assert!(causes.eq(vec![CloseCause::Local; replaced(&world, node) + 1]));
    }
}
