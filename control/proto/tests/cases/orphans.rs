//! Associations that only the gateway has, because their client has given the attempt up after the
//! gateway had completed it: how many there are, and that they end.

use std::time::Duration;

use xdtls_common::record::content_type::{
    ALERT, APPLICATION_DATA, HANDSHAKE, RETURN_ROUTABILITY_CHECK,
};
use xdtls_proto::association::{CloseCause, UNHEARD_AFTER};

use crate::support::network::Link;
use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World};

const WISHES: u64 = 500;

const LINK: Link = Link {
    loss_per_mille: 200,
    delay: Duration::from_millis(20),
    jitter: Duration::from_millis(20),
    ..Link::CLEAN
};

/// What became of one wish in a network that loses a fifth of all datagrams, once it has ended.
fn wish(seed: u64, record_per_datagram: bool) -> World {
    let script = |name| Script { record_per_datagram, ..Script::new(name) };
    let setup = Setup { seed, script: script("gateway"), ..Setup::default() };
    let mut world = World::new(setup, script("client one"));
    world.network.link = LINK;
    world.open(CLIENT);
    world.run_ms(20_000);
    world
}

/// How many of the gateway's associations no client has.
fn orphans(world: &World) -> usize {
    world.nodes[GATEWAY].established() - world.nodes[CLIENT].established()
}

/// ADR 0023 has the numbers of a client that gives up sooner: 12 and 34 in 100.
#[test]
fn few_wishes_leave_an_orphan_and_none_for_long() {
    for (record_per_datagram, per_100) in [(false, 4), (true, 11)] {
        let mut worlds: Vec<_> = (0..WISHES).map(|seed| wish(seed, record_per_datagram)).collect();
        let count = |worlds: &[World]| worlds.iter().map(orphans).sum::<usize>();
        let fulfilled = worlds.iter().filter(|world| world.nodes[CLIENT].established() == 1);
        let fulfilled = fulfilled.count() as u64;
        assert!(fulfilled * 100 >= WISHES * 97, "{fulfilled} of {WISHES}, {record_per_datagram}");
        let orphans = count(&worlds);
        assert!((1..=per_100 * WISHES as usize / 100).contains(&orphans), "{orphans}");
        for world in &mut worlds {
            if world.nodes[CLIENT].established() == 1 {
                let id = world.id(CLIENT);
                world.network.link.loss_per_mille = 0;
                world.send(CLIENT, id, b"in use");
            }
            world.run(UNHEARD_AFTER);
        }
        assert_eq!(count(&worlds), 0);
        let unheard = |world: &World| {
            let closed = &world.nodes[GATEWAY].journal.closed;
            closed.iter().filter(|(_, cause)| *cause == CloseCause::Unheard).count()
        };
        assert_eq!(worlds.iter().map(unheard).sum::<usize>(), orphans);
    }
}

#[test]
fn an_association_ends_that_its_client_never_used() {
    let mut world = World::established(Setup::default(), Script::new("client one"));
    let (id, installed) = (world.id(GATEWAY), world.now);
    world.run(UNHEARD_AFTER - Duration::from_millis(200));
    assert!(world.nodes[GATEWAY].journal.closed.is_empty());
    world.run_ms(200);
    assert_eq!(world.nodes[GATEWAY].journal.closed, [(id, CloseCause::Unheard)]);
    assert!(world.now - installed <= UNHEARD_AFTER);
    world.run_ms(20);
    assert_eq!(world.nodes[CLIENT].established(), 0, "the client is told");
}

#[test]
fn whatever_a_client_sends_but_handshakes_shows_that_it_is_there() {
    for (kind, body, lives) in [
        (APPLICATION_DATA, &b"data"[..], true),
        (ALERT, &[1, 90], true),
        (RETURN_ROUTABILITY_CHECK, &[0, 1, 2, 3, 4, 5, 6, 7, 8], true),
        // The client repeats its Finished: it still waits.
        (HANDSHAKE, &[20, 0, 0, 12], false),
    ] {
        let mut world = World::established(Setup::default(), Script::new("client one"));
        let datagram = world.known(CLIENT).datagram(kind, 10, body);
        world.deliver_from(CLIENT, datagram);
        world.run(2 * UNHEARD_AFTER);
        assert_eq!(world.nodes[GATEWAY].established() == 1, lives, "{kind}");
    }
}
