//! What silence means: a client asks a gateway that answers nothing and gives it up in the end;
//! whoever is told to closes what is idle.

use std::time::Duration;

use xdtls_common::record::content_type::{ALERT, APPLICATION_DATA, RETURN_ROUTABILITY_CHECK};
use xdtls_proto::association::CloseCause;

use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World, other};

fn world(extension: bool, idle_timeout: Option<Duration>) -> World {
    let script = |name| Script { extension, ..Script::new(name) };
    let setup = Setup { script: script("gateway"), idle_timeout, ..Setup::default() };
    World::established(setup, script("client one"))
}

/// Lets nothing through any more.
fn cut(world: &mut World) {
    world.network.lose = Some(Box::new(|_| true));
}

/// When, in ms, and of what type `node` has sent records since `start_ms`.
fn sent_since(world: &World, node: usize, start_ms: u64) -> Vec<(u64, u8)> {
    let known = world.known(other(node));
    let sent = world.timed_sent_by(node).filter(|(time_ms, _)| *time_ms >= start_ms);
    sent.flat_map(|(time_ms, bytes)| {
        known.open(bytes).into_iter().map(move |(kind, ..)| (time_ms - start_ms, kind))
    })
    .collect()
}

fn send(world: &mut World, node: usize) {
    let id = world.id(node);
    world.send(node, id, b"are you there?");
}

#[test]
fn a_client_probes_a_silent_gateway_and_gives_it_up() {
    let mut world = world(true, None);
    cut(&mut world);
    let start = world.now_ms();
    send(&mut world, CLIENT);
    world.run_ms(5000);
    send(&mut world, CLIENT);
    world.run_ms(24_999);
    assert!(world.nodes[CLIENT].journal.closed.is_empty());
    world.run_ms(1);
    let dead = (world.id(CLIENT), CloseCause::Dead);
    assert_eq!(world.nodes[CLIENT].journal.closed, [dead]);
    let wanted = [
        (0, APPLICATION_DATA),
        (5000, APPLICATION_DATA),
        (10_000, RETURN_ROUTABILITY_CHECK),
        (15_000, RETURN_ROUTABILITY_CHECK),
        (20_000, RETURN_ROUTABILITY_CHECK),
        (25_000, RETURN_ROUTABILITY_CHECK),
        (30_000, ALERT),
    ];
    assert_eq!(sent_since(&world, CLIENT, start), wanted);
}

#[test]
fn an_answer_to_a_probe_is_a_sign_of_life() {
    let mut world = world(true, None);
    let start = world.now_ms();
    send(&mut world, CLIENT);
    world.run_ms(100_000);
    let probes = [(0, APPLICATION_DATA), (10_000, RETURN_ROUTABILITY_CHECK)];
    assert_eq!(sent_since(&world, CLIENT, start), probes);
    assert_eq!(sent_since(&world, GATEWAY, start), [(10_010, RETURN_ROUTABILITY_CHECK)]);
    assert_eq!(world.nodes[CLIENT].established(), 1);
}

#[test]
fn a_late_answer_starts_the_silence_anew() {
    let mut world = world(true, None);
    cut(&mut world);
    send(&mut world, CLIENT);
    world.run_ms(29_000);
    let datagram = world.known(GATEWAY).datagram(APPLICATION_DATA, 50, b"sorry");
    world.deliver_from(GATEWAY, datagram);
    let start = world.now_ms();
    world.run_ms(50_000);
    assert!(sent_since(&world, CLIENT, start).is_empty(), "nothing was sent since");
    send(&mut world, CLIENT);
    world.run_ms(29_999);
    assert_eq!(world.nodes[CLIENT].established(), 1);
    world.run_ms(1);
    assert_eq!(world.nodes[CLIENT].established(), 0);
}

#[test]
fn forged_and_replayed_records_are_no_sign_of_life() {
    let mut world = world(true, None);
    let replayed = world.known(GATEWAY).datagram(APPLICATION_DATA, 50, b"old");
    let mut forged = world.known(GATEWAY).datagram(APPLICATION_DATA, 51, b"new");
    forged[30] ^= 1;
    world.deliver_from(GATEWAY, replayed.clone());
    cut(&mut world);
    send(&mut world, CLIENT);
    for _ in 0..300 {
        world.run_ms(100);
        world.deliver_from(GATEWAY, replayed.clone());
        world.deliver_from(GATEWAY, forged.clone());
    }
    assert_eq!(world.nodes[CLIENT].journal.closed[0].1, CloseCause::Dead);
}

#[test]
fn who_has_sent_nothing_asks_nothing() {
    let mut world = world(true, None);
    cut(&mut world);
    let start = world.now_ms();
    world.run_ms(100_000);
    assert!(sent_since(&world, CLIENT, start).is_empty());
    assert_eq!(world.nodes[CLIENT].established(), 1);
}

#[test]
fn gateways_and_clients_without_the_extension_do_not_judge_silence() {
    for (extension, node) in [(true, GATEWAY), (false, CLIENT), (false, GATEWAY)] {
        let mut world = world(extension, None);
        cut(&mut world);
        let start = world.now_ms();
        send(&mut world, node);
        world.run_ms(100_000);
        assert_eq!(sent_since(&world, node, start), [(0, APPLICATION_DATA)]);
        assert_eq!(world.nodes[node].established(), 1);
    }
}

#[test]
fn idle_associations_are_closed_after_the_configured_time() {
    let mut world = world(true, Some(Duration::from_secs(60)));
    // Installed 40 ms after the start, of which 200 ms are over.
    world.run_ms(50_000);
    send(&mut world, CLIENT);
    world.run_ms(9000);
    send(&mut world, GATEWAY);
    world.run_ms(59_999);
    assert!(world.nodes.iter().all(|node| node.established() == 1));
    // Deadlines are looked at every 100 ms.
    world.run_ms(100);
    let idle = (world.id(GATEWAY), CloseCause::Idle);
    assert_eq!(world.nodes[GATEWAY].journal.closed, [idle]);
    world.run_ms(10);
    let told = (world.id(CLIENT), CloseCause::PeerClosed);
    assert_eq!(world.nodes[CLIENT].journal.closed, [told]);
}

#[test]
fn receiving_alone_keeps_an_association_from_being_idle() {
    let mut world = world(true, Some(Duration::from_secs(60)));
    for _ in 0..10 {
        world.run_ms(50_000);
        send(&mut world, CLIENT);
    }
    world.run_ms(20);
    assert_eq!(world.received(GATEWAY).len(), 10);
    assert!(world.nodes.iter().all(|node| node.established() == 1));
}
