//! A network that loses, doubles and disorders: all handshakes end well, and no datagram is altered
//! or delivered twice.

use std::collections::HashSet;
use std::time::Duration;

use xdtls_proto::suite::CipherSuite;

use crate::support::network::Link;
use crate::support::node::Lag;
use crate::support::rng::Rng;
use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World, other};

const SEEDS: u64 = 200;

const DEADLINE_MS: u64 = 120_000;

const LINK: Link = Link {
    loss_per_mille: 300,
    duplicates_per_mille: 100,
    delay: Duration::from_millis(5),
    jitter: Duration::from_millis(60),
    ..Link::CLEAN
};

/// A world in which a seed decides on everything but the network's quality.
fn world(seed: u64) -> World {
    let mut rng = Rng::new(seed);
    let suite = CipherSuite::ALL[rng.below(7) as usize];
    let (resumed, record_per_datagram) = (rng.per_mille(500), rng.per_mille(500));
    let script =
        |name| Script { suites: vec![suite], resumed, record_per_datagram, ..Script::new(name) };
    let mut setup = Setup { seed, shards: 1 + seed as u32 % 3, ..Setup::default() };
    setup.script = script("gateway");
    setup.limits.deadline = Duration::from_millis(DEADLINE_MS);
    let mut world = World::new(setup, script("client one"));
    world.network.link = LINK;
    for node in [GATEWAY, CLIENT] {
        let mut lag = || Duration::from_millis(rng.below(20) * rng.below(2));
        world.nodes[node].lag = Lag { install: lag(), handshakes: lag(), ..Lag::default() };
    }
    world
}

/// A datagram of a size and content that nothing else has.
fn body(seed: u64, node: usize, number: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed << 32 | (node as u64) << 31 | number);
    let head = [seed, node as u64, number].map(u64::to_be_bytes).concat();
    let tail = (0..rng.below(300)).map(|_| rng.next() as u8);
    head.into_iter().chain(tail).collect()
}

/// Whether both ends have given the same association to their workers.
fn fulfilled(world: &World) -> bool {
    let Some(client) = world.nodes[CLIENT].journal.known.last() else { return false };
    let mut known = world.nodes[GATEWAY].journal.known.iter();
    known.any(|gateway| gateway.local.value() == client.peer.value())
        && !world.nodes[CLIENT].journal.ended.is_empty()
}

/// Each end sends 20 datagrams at once when it may, and more later.
fn converse(world: &mut World, seed: u64) {
    let mut begun = [false; 2];
    for round in 0..200 {
        world.run_ms(10);
        for node in [GATEWAY, CLIENT] {
            let first = world.nodes[node].established() > 0 && !begun[node];
            begun[node] |= first;
            if first || round % 50 == 49 && begun[node] {
                let id = world.id(node);
                let numbers = 20 * round..20 * (round + 1);
                numbers.for_each(|number| world.send(node, id, &body(seed, node, number)));
            }
        }
    }
}

#[test]
fn with_30_percent_loss_all_handshakes_finish_and_nothing_arrives_twice_or_altered() {
    let mut delivered = 0;
    for seed in 0..SEEDS {
        let mut world = world(seed);
        world.open(CLIENT);
        while !fulfilled(&world) {
            world.run_ms(100);
            assert!(world.now_ms() < DEADLINE_MS, "seed {seed}");
        }
        assert_eq!(world.nodes[CLIENT].journal.ended[0].outcome, Ok(()), "seed {seed}");
        converse(&mut world, seed);
        world.run_ms(1000);
        for node in [GATEWAY, CLIENT] {
            let received = world.received(node);
            let unique: HashSet<_> = received.iter().collect();
            assert_eq!(unique.len(), received.len(), "seed {seed}");
            for bytes in received {
                let number = u64::from_be_bytes(bytes[16..24].try_into().unwrap());
                assert_eq!(bytes, body(seed, other(node), number), "seed {seed}");
                delivered += 1;
            }
        }
        assert_eq!(world.nodes[CLIENT].established(), 1, "seed {seed}");
    }
    assert!(delivered > SEEDS * 100, "{delivered}");
}

#[test]
fn a_seed_repeats_its_world_exactly() {
    let run = || {
        let mut world = world(7);
        world.open(CLIENT);
        world.run_ms(20_000);
        world.network.sent.into_iter().map(|(_, packet)| packet.bytes).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
