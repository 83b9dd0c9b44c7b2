//! One association takes the place of another: everything that arrives is delivered, and nothing
//! twice, whatever the network does meanwhile.

use std::collections::HashSet;
use std::time::Duration;

use xdtls_common::id::LocalId;
use xdtls_common::record::content_type::APPLICATION_DATA;
use xdtls_proto::association::CloseCause;
use xdtls_proto::rekey::RekeyLimits;

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

/// The id that a node sends on by now, of the association that it had first.
fn current(world: &World, node: usize) -> LocalId {
    let journal = &world.nodes[node].journal;
    let mut id = journal.known[0].local;
    while let Some((_, new)) = journal.replaced.iter().find(|(old, _)| *old == id) {
        id = *new;
    }
    id
}

/// Both ends send `count` datagrams, no two of which are the same, one each millisecond.
fn converse(world: &mut World, serial: &mut u32, count: u32) {
    for _ in 0..count {
        *serial += 1;
        for node in [GATEWAY, CLIENT] {
            let id = current(world, node);
            world.send(node, id, &[&serial.to_be_bytes()[..], &[node as u8]].concat());
        }
        world.run_ms(1);
    }
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
        converse(&mut world, &mut 0, 2000);
        world.run_ms(5000);
        assert_all_that_arrived_is_delivered_once(&world, &format!("seed {seed}"));
        renewed += world.nodes[CLIENT].journal.replaced.len();
    }
    assert!(renewed > 150, "new keys {renewed} times in 60 worlds");
}

#[test]
fn the_old_association_receives_for_two_minutes_and_then_ends() {
    let mut world = World::established(eager(), Script::new("client one"));
    let (old, old_peer) = (world.id(CLIENT), world.id(GATEWAY));
    converse(&mut world, &mut 0, 150);
    world.run_ms(1000);
    assert_eq!(world.nodes[CLIENT].journal.replaced, [(old, world.id(CLIENT))]);
    assert_eq!(world.nodes[GATEWAY].journal.replaced, [(old_peer, world.id(GATEWAY))]);
    world.run(Duration::from_secs(117));
    assert!(world.nodes.iter().all(|node| node.established() == 2));
    world.run(Duration::from_secs(3));
    assert!(world.nodes.iter().all(|node| node.established() == 1));
    let ended = |world: &World, node: usize| world.nodes[node].journal.closed.clone();
    assert_eq!(ended(&world, GATEWAY), [(old_peer, CloseCause::Replaced)]);
    assert_eq!(ended(&world, CLIENT), [(old, CloseCause::PeerClosed)]);
}
