//! Two peers that may both open end with one association.

use std::time::Duration;

use xdtls_common::DropReason;
use xdtls_proto::association::CloseCause;
use xdtls_proto::convergence::{DEAD_AFTER, LINGER};
use xdtls_proto::handshakes::peers::YIELD;
use xdtls_proto::keys::Role;

use crate::support::network::Packet;
use crate::support::world::{Peer, Setup, World};

/// The peer with the smaller key, and the other.
const ALPHA: usize = 0;
const BETA: usize = 1;

/// Long enough for two handshakes and the time that the loser lives on.
const LIMIT: Duration = Duration::from_secs(20);

fn converged(peers: &[Peer; 2]) -> World {
    let mut world = World::of_peers(Setup::default(), peers);
    world.converge(LIMIT);
    world
}

/// Which role a node has in the association that data goes by.
fn role(world: &World, node: usize) -> Role {
    let current = world.nodes[node].link.as_ref().unwrap().link.current();
    let known = &world.nodes[node].journal.known;
    known.iter().find(|known| Some(known.local) == current).unwrap().role
}

fn both_hear_each_other(world: &mut World) {
    let before = [ALPHA, BETA].map(|node| world.received(node).len());
    world.send_by_link(ALPHA, b"of alpha");
    world.send_by_link(BETA, b"of beta");
    world.run_ms(50);
    assert_eq!(world.received(BETA)[before[BETA]..], [b"of alpha"]);
    assert_eq!(world.received(ALPHA)[before[ALPHA]..], [b"of beta"]);
}

#[test]
fn of_two_the_one_opened_by_the_smaller_key_is_left() {
    let mut world = converged(&Peer::pair());
    for node in [ALPHA, BETA] {
        assert_eq!(world.nodes[node].journal.known.len(), 2, "both handshakes have ended");
        let closed: Vec<_> = world.nodes[node].journal.closed.iter().map(|it| it.1).collect();
        let expected = [CloseCause::Superseded, CloseCause::PeerClosed];
        assert!(closed.len() == 1 && expected.contains(&closed[0]), "{closed:?}");
    }
    assert_eq!((role(&world, ALPHA), role(&world, BETA)), (Role::Client, Role::Server));
    both_hear_each_other(&mut world);
}

#[test]
fn the_loser_lives_on_for_a_while() {
    let mut world = World::of_peers(Setup::default(), &Peer::pair());
    world.run_ms(500);
    assert_eq!([ALPHA, BETA].map(|node| world.nodes[node].established()), [2, 2]);
    world.run(LINGER - Duration::from_millis(500));
    assert_eq!([ALPHA, BETA].map(|node| world.nodes[node].established()), [2, 2]);
    world.run_ms(500);
    assert_eq!([ALPHA, BETA].map(|node| world.nodes[node].established()), [1, 1]);
}

#[test]
fn where_keys_are_known_crossing_hellos_save_the_second_handshake() {
    let peers = Peer::pair().map(|peer| Peer { knows_key: true, ..peer });
    let mut world = converged(&peers);
    world.run(2 * YIELD);
    assert!(world.has_converged());
    for node in [ALPHA, BETA] {
        assert_eq!(world.nodes[node].journal.known.len(), 1, "one handshake");
    }
    assert!(world.nodes[ALPHA].dropped(DropReason::HelloCrossed) > 0);
    assert_eq!(role(&world, ALPHA), Role::Client);
}

#[test]
fn keys_that_were_seen_are_known_the_next_time() {
    let mut world = converged(&Peer::pair());
    let handshakes = |world: &World| world.nodes[ALPHA].journal.known.len();
    assert_eq!(handshakes(&world), 2);
    // The road is cut until both have noticed it, by the data that is not answered.
    world.network.link.loss_per_mille = 1000;
    world.send_by_link(ALPHA, b"lost");
    world.send_by_link(BETA, b"lost");
    world.run(DEAD_AFTER + Duration::from_secs(1));
    assert_eq!([ALPHA, BETA].map(|node| world.nodes[node].established()), [0, 0]);
    world.network.link.loss_per_mille = 0;
    world.converge(LIMIT);
    both_hear_each_other(&mut world);
    assert_eq!(handshakes(&world), 3);
}

/// Somebody repeats a peer's ClientHello as long as its cookie is good: that puts our own attempt off
/// once.
#[test]
fn a_repeated_hello_does_not_keep_us_from_opening() {
    let peers = Peer::pair().map(|peer| Peer { knows_key: true, ..peer });
    let mut world = World::of_peers(Setup::default(), &peers);
    // Nothing of alpha's arrives but its hellos; beta, whose key is larger, gives way to them.
    world.network.lose = Some(Box::new({
        let alpha = peers[ALPHA].address;
        move |packet: &Packet| packet.from == alpha && packet.bytes[4..8] != [0; 4]
    }));
    world.run(Duration::from_millis(300));
    let hello = |world: &World| {
        let of_alpha = world.timed_sent_by(ALPHA).map(|(_, bytes)| bytes.to_vec());
        of_alpha.filter(|bytes| bytes[4..8] == [0; 4]).last().unwrap()
    };
    world.network.lose = None;
    let overheard = hello(&world);
    world.network.cut_off.insert(peers[ALPHA].address);
    for _ in 0..20 {
        world.run_ms(100);
        world.deliver(BETA, peers[ALPHA].address, overheard.clone());
    }
    let begun = world.sent_by(BETA).filter(|bytes| bytes[4..8] == [0; 4]).count();
    world.network.cut_off.clear();
    world.converge(2 * LIMIT);
    let hellos = world.sent_by(BETA).filter(|bytes| bytes[4..8] == [0; 4]).count();
    assert!(begun > 1 || hellos > begun, "beta has tried again");
    both_hear_each_other(&mut world);
}

#[test]
fn a_restarted_peer_replaces_what_it_has_lost() {
    for node in [ALPHA, BETA] {
        let peers = Peer::pair();
        let mut world = converged(&peers);
        let other = 1 - node;
        let old = world.nodes[other].link.as_ref().unwrap().link.current();
        world.restart(node, &peers[node]);
        world.run_ms(300);
        let new = world.nodes[other].link.as_ref().unwrap().link.current();
        assert!(new.is_some() && new != old, "data goes by the new one at once");
        both_hear_each_other(&mut world);
        world.converge(LIMIT);
        assert_eq!(world.nodes[other].link.as_ref().unwrap().link.current(), new);
    }
}

/// What was sent on the old association before the restart, and comes late, proves nothing.
#[test]
fn records_from_before_a_restart_keep_nothing_alive() {
    let peers = Peer::pair();
    let mut world = converged(&peers);
    assert_eq!(role(&world, ALPHA), Role::Client, "by rank, alpha's own would go first");
    world.network.link.delay = Duration::from_millis(400);
    world.send_by_link(BETA, b"before");
    world.run_ms(1);
    world.network.link.delay = Duration::from_millis(10);
    let old = world.nodes[ALPHA].link.as_ref().unwrap().link.current();
    world.restart(BETA, &peers[BETA]);
    world.run_ms(600);
    assert_eq!(world.received(ALPHA), [b"before"], "it has come, on the old one");
    assert_ne!(world.nodes[ALPHA].link.as_ref().unwrap().link.current(), old);
    both_hear_each_other(&mut world);
}

#[test]
fn an_old_handshake_that_is_replayed_does_nothing() {
    let peers = Peer::pair();
    let mut world = converged(&peers);
    let known = [ALPHA, BETA].map(|node| world.nodes[node].journal.known.len());
    let sent: Vec<_> = world.network.sent.iter().map(|(_, packet)| packet.clone()).collect();
    for wait in [Duration::ZERO, Duration::from_secs(60), Duration::from_secs(180)] {
        world.run(wait);
        for packet in &sent {
            let to = world.nodes.iter().position(|node| node.address == packet.to).unwrap();
            world.deliver(to, packet.from, packet.bytes.clone());
        }
        world.run_ms(100);
        assert!(world.has_converged());
        assert_eq!([ALPHA, BETA].map(|node| world.nodes[node].journal.known.len()), known);
        both_hear_each_other(&mut world);
    }
}

/// A NAT leads a node back to itself, or somebody has copied its key.
#[test]
fn a_node_that_meets_its_own_key_refuses() {
    let [alpha, beta] = Peer::pair();
    let copy = Peer { name: alpha.name, ..beta };
    let mut world =
        World::of_peers(Setup::default(), &[Peer { expects: alpha.name, ..alpha }, copy]);
    world.run(Duration::from_secs(10));
    let journal = &world.nodes[ALPHA].journal;
    let failures = journal.ended.iter().filter_map(|ended| ended.outcome.as_ref().err());
    let reasons: Vec<_> = failures.map(|failure| failure.reason.as_str()).collect();
    let clear = "it shows our own key: this address leads back to this node";
    assert!(reasons.contains(&clear), "{reasons:?}");
    assert_eq!((world.nodes[ALPHA].established(), journal.known.len()), (0, 0));
    assert!(reasons.len() < 20, "each attempt is later than the one before: {reasons:?}");
}

#[test]
fn an_end_that_only_answers_is_enough() {
    for opens in [[true, false], [false, true]] {
        let mut peers = Peer::pair();
        (peers[ALPHA].opens, peers[BETA].opens) = (opens[0], opens[1]);
        let mut world = converged(&peers);
        both_hear_each_other(&mut world);
        assert_eq!(world.nodes[ALPHA].journal.known.len(), 1);
    }
}

#[test]
fn a_closed_link_is_opened_again() {
    let mut world = converged(&Peer::pair());
    let current = world.nodes[ALPHA].link.as_ref().unwrap().link.current().unwrap();
    world.close(ALPHA, current);
    world.run_ms(20);
    world.converge(LIMIT);
    both_hear_each_other(&mut world);
}

/// Both ends find the keys worn at one moment: the opener opens, the other asks for it, and one
/// association takes the place of the old one at both.
#[test]
fn keys_that_both_ends_replace_at_once_are_replaced_once() {
    let mut setup = Setup::default();
    setup.rekey.records = 50;
    let mut world = World::of_peers(setup, &Peer::pair());
    world.converge(LIMIT);
    let handshakes = world.nodes[ALPHA].journal.known.len();
    let old = world.nodes[ALPHA].link.as_ref().unwrap().link.current();
    for _ in 0..70 {
        world.send_by_link(ALPHA, b"of alpha");
        world.send_by_link(BETA, b"of beta");
        world.run_ms(5);
    }
    world.run_ms(500);
    for node in [ALPHA, BETA] {
        assert_eq!(world.nodes[node].journal.known.len(), handshakes + 1, "one handshake");
        assert_eq!(world.nodes[node].journal.replaced.len(), 1);
        assert_eq!(world.received(node).len(), 70, "nothing is lost, and nothing comes twice");
    }
    assert_ne!(world.nodes[ALPHA].link.as_ref().unwrap().link.current(), old);
    world.converge(Duration::from_secs(130));
    both_hear_each_other(&mut world);
}

/// The peer restarts while its partner replaces the keys of what it has lost.
#[test]
fn a_restart_in_the_middle_of_a_replacement_leaves_one() {
    for node in [ALPHA, BETA] {
        let (peers, mut setup) = (Peer::pair(), Setup::default());
        setup.rekey.records = 50;
        let mut world = World::of_peers(setup, &peers);
        world.converge(LIMIT);
        for _ in 0..60 {
            world.send_by_link(ALPHA, b"of alpha");
            world.send_by_link(BETA, b"of beta");
            world.run_ms(1);
        }
        world.run_ms(15);
        world.restart(node, &peers[node]);
        world.converge(Duration::from_secs(200));
        both_hear_each_other(&mut world);
    }
}
