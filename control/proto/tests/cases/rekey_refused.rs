//! Associations that shall take the place of others and do not: whatever goes wrong, the old one goes
//! on, and nothing is left of the other.

use std::time::Duration;

use xdtls_common::DropReason;
use xdtls_common::id::{LocalId, PeerId};
use xdtls_common::record::content_type::{CHANGE_CIPHER_SPEC, HANDSHAKE, RETURN_ROUTABILITY_CHECK};
use xdtls_proto::association::CloseCause;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::failure::FailureClass;
use xdtls_proto::handshakes::{Replacement, Start};
use xdtls_proto::ids::QUARANTINE;
use xdtls_proto::rekey::RekeyLimits;

use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World};

fn world() -> World {
    World::established(Setup::default(), Script::new("client one"))
}

/// A client wishes for an association in the place of `old`, its peer's `peer`.
fn replace(world: &mut World, client: usize, old: LocalId, peer: PeerId) {
    let endpoint = Endpoint { remote: world.nodes[GATEWAY].address, local: None };
    let start = Start::Replace(Replacement { old, peer, endpoint });
    world.nodes[client].begin(world.now, start);
    world.run_ms(0);
}

/// A client wishes for an association in the place of its first.
fn replace_first(world: &mut World, client: usize) {
    let first = &world.nodes[client].journal.known[0];
    let (old, peer) = (first.local, first.peer);
    replace(world, client, old, peer);
}

/// Both ends can still talk on what they had first, or on what has taken its place.
fn assert_goes_on(world: &mut World, client: usize) {
    for (from, to) in [(GATEWAY, client), (client, GATEWAY)] {
        let (id, before) = (world.nodes[from].newest(), world.received(to).len());
        world.send(from, id, b"still here");
        world.run_ms(50);
        assert_eq!(world.received(to).len(), before + 1);
    }
}

fn failure(world: &World, node: usize) -> (FailureClass, String) {
    let ended = &world.nodes[node].journal.ended;
    let failed = ended.iter().find_map(|ended| ended.outcome.clone().err()).unwrap();
    (failed.class, failed.reason)
}

#[test]
fn of_two_that_are_opened_at_once_one_takes_over_and_the_other_is_closed() {
    let mut world = world();
    replace_first(&mut world, CLIENT);
    world.run_ms(3);
    replace_first(&mut world, CLIENT);
    world.run_ms(1000);
    for node in [GATEWAY, CLIENT] {
        assert_eq!(world.nodes[node].journal.known.len(), 3);
        assert_eq!(world.nodes[node].journal.replaced.len(), 1);
        assert_eq!(world.nodes[node].established(), 2, "the new one, and the replaced one");
    }
    assert_goes_on(&mut world, CLIENT);
}

#[test]
fn a_token_that_is_not_the_associations_is_refused_at_the_door() {
    let mut world = world();
    // The key of another association, of which the client has one too.
    world.establish(CLIENT);
    let [first, second] = &world.nodes[CLIENT].journal.known[..] else { panic!() };
    let (first, peer, second) = (first.local, first.peer, second.local);
    let key_of_second = world.nodes[CLIENT].ancestry.find(second).unwrap();
    world.nodes[CLIENT].ancestry.put(first, key_of_second);
    replace(&mut world, CLIENT, first, peer);
    world.run_ms(20_000);
    assert!(world.nodes[GATEWAY].dropped(DropReason::RekeyToken) > 0);
    assert_eq!(world.nodes[GATEWAY].journal.known.len(), 2, "no engine was made for it");
    let (class, reason) = failure(&world, CLIENT);
    assert_eq!(class, FailureClass::TimedOut);
    assert!(reason.contains("alert 49"), "{reason}");
    assert_goes_on(&mut world, CLIENT);
}

#[test]
fn an_association_that_the_gateway_does_not_know_cannot_be_replaced() {
    let mut world = world();
    let old = world.id(GATEWAY);
    world.nodes[GATEWAY].ancestry.remove(old);
    replace_first(&mut world, CLIENT);
    world.run_ms(20_000);
    assert!(world.nodes[GATEWAY].dropped(DropReason::RekeyToken) > 0);
    assert_goes_on(&mut world, CLIENT);
}

#[test]
fn whoever_has_stolen_a_key_still_lacks_the_identity() {
    let mut world = world();
    let address = "198.51.100.2:5000".parse().unwrap();
    let thief = world.add_client(address, Script::new("client two"));
    world.establish(thief);
    let victim = world.nodes[CLIENT].journal.known[0].local;
    let peer = world.nodes[CLIENT].journal.known[0].peer;
    let own = world.nodes[thief].journal.known[0].local;
    let stolen = world.nodes[CLIENT].ancestry.find(victim).unwrap();
    world.nodes[thief].ancestry.put(own, stolen);
    replace(&mut world, thief, own, peer);
    world.run_ms(1000);
    let (class, reason) = failure(&world, GATEWAY);
    assert_eq!(class, FailureClass::Authentication);
    assert_eq!(reason, "client two: it is not whose association was to be replaced");
    assert_eq!(world.nodes[GATEWAY].established(), 2);
    assert!(world.nodes[GATEWAY].journal.replaced.is_empty());
    assert!(world.nodes[thief].journal.replaced.is_empty(), "a refusal replaces nothing");
    assert_goes_on(&mut world, CLIENT);
}

#[test]
fn a_gateway_that_does_not_repeat_the_token_keeps_the_association_it_has() {
    let script = Script { keeps_associations: true, ..Script::new("gateway") };
    let setup = Setup { script, ..Setup::default() };
    let mut world = World::established(setup, Script::new("client one"));
    replace_first(&mut world, CLIENT);
    world.run_ms(20_000);
    let (_, reason) = failure(&world, CLIENT);
    let wanted = "the server does not let one association replace another";
    assert!(reason.ends_with(wanted), "{reason}");
    assert_goes_on(&mut world, CLIENT);
}

#[test]
fn a_handshake_that_fails_is_tried_again_while_the_old_association_goes_on() {
    let client_rekey = RekeyLimits { records: 20, ..RekeyLimits::default() };
    let setup = Setup { client_rekey, ..Setup::default() };
    let mut world = World::established(setup, Script::new("client one"));
    world.network.lose = Some(Box::new(|packet| packet.bytes[8] == HANDSHAKE));
    for _ in 0..60 {
        assert_goes_on(&mut world, CLIENT);
        world.run_ms(1000);
    }
    let ended = world.nodes[CLIENT].journal.ended.clone();
    assert!(ended.len() > 1 && ended[1..].iter().all(|ended| ended.outcome.is_err()));
    assert!(ended.len() < 5, "{} wishes in a minute", ended.len());
    assert!(world.nodes.iter().all(|node| node.established() == 1));
    world.network.lose = None;
    for _ in 0..30 {
        assert_goes_on(&mut world, CLIENT);
        world.run_ms(1000);
    }
    assert!(!world.nodes[CLIENT].journal.replaced.is_empty());
    assert_goes_on(&mut world, CLIENT);
}

#[test]
fn an_heir_that_gets_no_answer_is_given_up() {
    let client_rekey = RekeyLimits { records: 20, ..RekeyLimits::default() };
    let setup = Setup { client_rekey, ..Setup::default() };
    let mut world = World::established(setup, Script::new("client one"));
    let client = world.nodes[CLIENT].address;
    world.network.lose = Some(Box::new(move |packet| {
        packet.from == client && packet.bytes[8] == RETURN_ROUTABILITY_CHECK
    }));
    for _ in 0..60 {
        assert_goes_on(&mut world, CLIENT);
        world.run_ms(1000);
    }
    let heir = world.nodes[CLIENT].journal.known[1].local;
    assert!(world.nodes[CLIENT].journal.closed.contains(&(heir, CloseCause::Dead)));
    assert!(world.nodes[GATEWAY].journal.replaced.is_empty());
    world.network.lose = None;
    for _ in 0..20 {
        assert_goes_on(&mut world, CLIENT);
        world.run_ms(1000);
    }
    assert!(!world.nodes[GATEWAY].journal.replaced.is_empty());
}

#[test]
fn when_the_old_association_ends_meanwhile_its_heir_does_too() {
    for node in [GATEWAY, CLIENT] {
        for after_ms in [0, 15, 35, 55, 75, 85] {
            let mut world = world();
            replace_first(&mut world, CLIENT);
            world.run_ms(after_ms);
            let newest = world.nodes[node].newest();
            world.close(node, newest);
            // What the gateway has answered and the client never uses ends when it is not heard of.
            world.run(Duration::from_secs(250));
            for node in &world.nodes {
                assert_eq!(node.established(), 0, "after {after_ms} ms");
            }
        }
    }
}

#[test]
fn without_a_free_slot_the_old_association_goes_on() {
    let client_rekey = RekeyLimits { records: 10, ..RekeyLimits::default() };
    let setup = Setup { capacity: 1, client_rekey, ..Setup::default() };
    let mut world = World::established(setup, Script::new("client one"));
    for _ in 0..60 {
        assert_goes_on(&mut world, CLIENT);
        world.run_ms(1000);
    }
    assert!(world.nodes[GATEWAY].dropped(DropReason::NoFreeId) > 0);
    assert_eq!(world.nodes[GATEWAY].established(), 1);
    assert_eq!(world.half_open(), 0);
}

#[test]
fn the_slots_of_failed_heirs_rest_and_come_back() {
    let setup = Setup { capacity: 2, ..Setup::default() };
    let mut world = World::established(setup, Script::new("client one"));
    let gateway = world.nodes[GATEWAY].address;
    world.network.lose =
        Some(Box::new(move |packet| packet.to == gateway && packet.bytes[8] == CHANGE_CIPHER_SPEC));
    let cut = world.nodes[CLIENT].journal.reserved;
    replace_first(&mut world, CLIENT);
    world.run_ms(1);
    world.network.lose =
        Some(Box::new(move |packet| packet.to == gateway && packet.bytes[4..8] != [0; 4]));
    world.run_ms(16_000);
    assert!(world.nodes[CLIENT].journal.reserved > cut);
    assert_eq!(world.nodes[GATEWAY].established(), 1);
    world.network.lose = None;
    world.run(QUARANTINE);
    replace_first(&mut world, CLIENT);
    world.run_ms(1000);
    assert_eq!(world.nodes[GATEWAY].journal.replaced.len(), 1);
    assert_goes_on(&mut world, CLIENT);
}
