//! More new handshakes than can be done: those that were begun are finished, the others wait, and
//! what has waited too long is shed and said.

use std::time::Duration;

use xdtls_common::DropReason;
use xdtls_proto::handshakes::OverloadChange;

use crate::support::node::Lag;
use crate::support::scripted::Script;
use crate::support::world::{GATEWAY, Setup, World};

const CLIENTS: u64 = 100;

/// A gateway whose handshake thread needs so long for each step.
fn starved(step_ms: u64) -> World {
    let mut world = World::with_gateway(Setup { capacity: 4096, ..Setup::default() });
    world.nodes[GATEWAY].lag = Lag { step: Duration::from_millis(step_ms), ..Lag::default() };
    world
}

fn address(client: u64) -> std::net::SocketAddr {
    format!("198.51.100.{client}:5000").parse().unwrap()
}

fn changes(world: &World) -> (usize, usize) {
    let changes = &world.nodes[GATEWAY].journal.overload;
    let began = changes.iter().filter(|it| matches!(it, OverloadChange::Began { .. })).count();
    (began, changes.len() - began)
}

/// 100 handshakes of two steps take the thread eight seconds; each has fifteen.
#[test]
fn a_hundred_handshakes_at_once_finish_on_a_starved_machine() {
    let mut world = starved(40);
    let clients: Vec<_> = (1..=CLIENTS)
        .map(|number| world.add_client(address(number), Script::new("client")))
        .collect();
    clients.iter().for_each(|client| _ = world.open(*client));
    world.run_ms(16_000);
    assert!(clients.iter().all(|client| world.nodes[*client].established() == 1));
    // Our clients give an attempt up after 1.2 s: few of those were begun all the same.
    let begun = world.nodes[GATEWAY].journal.reserved;
    assert!(begun < CLIENTS * 3 / 2, "{begun}");
    let shed = world.nodes[GATEWAY].dropped(DropReason::Overload);
    assert!(shed > 50, "{shed}");
    assert_eq!(changes(&world), (1, 1));
}

#[test]
fn foreign_clients_that_go_on_asking_keep_their_place() {
    let mut world = starved(40);
    for number in 1..=CLIENTS {
        world.add_foreign(address(number), number as u32, Script::new("client"));
    }
    world.run_ms(16_000);
    assert!(world.foreign.iter().all(|foreign| foreign.known.is_some()));
    assert_eq!(world.nodes[GATEWAY].journal.reserved, CLIENTS, "each once");
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::Overload), 0);
    assert_eq!(changes(&world), (1, 1));
}

#[test]
fn what_was_begun_is_finished_before_the_next_begins() {
    let mut world = starved(40);
    for number in 1..=CLIENTS {
        world.add_foreign(address(number), number as u32, Script::new("client"));
    }
    world.run_ms(1000);
    // Twelve pairs of steps, and what is between two steps of one handshake at the moment.
    assert!((11..=13).contains(&world.nodes[GATEWAY].established()));
    assert!(world.half_open() <= 4, "the others wait");
    world.run_ms(16_000);
    assert_eq!(world.nodes[GATEWAY].established() as u64, CLIENTS);
}

#[test]
fn without_load_nothing_waits_and_nothing_is_said() {
    let mut world = starved(1);
    for number in 1..=CLIENTS {
        world.add_foreign(address(number), number as u32, Script::new("client"));
        world.run_ms(20);
    }
    world.run_ms(1000);
    assert_eq!(world.nodes[GATEWAY].established() as u64, CLIENTS);
    assert_eq!(changes(&world), (0, 0));
    assert!(world.nodes[GATEWAY].journal.drops.is_empty());
}

/// The worker is late with keys, and so with everything.
#[test]
fn nothing_new_begins_while_a_worker_is_late() {
    let mut world = World::with_gateway(Setup { capacity: 4096, ..Setup::default() });
    world.nodes[GATEWAY].lag = Lag { install: Duration::from_millis(300), ..Lag::default() };
    world.add_foreign(address(1), 1, Script::new("client"));
    world.run_ms(350);
    assert_eq!(changes(&world), (1, 0));
    assert_eq!(world.nodes[GATEWAY].established(), 1);
    world.nodes[GATEWAY].lag = Lag::default();
    world.add_foreign(address(2), 2, Script::new("client"));
    world.run_ms(300);
    assert_eq!(world.nodes[GATEWAY].journal.reserved, 1);
    world.run_ms(500);
    assert_eq!(world.nodes[GATEWAY].established(), 2, "half a second later it has its turn");
    world.run_ms(3000);
    assert_eq!(changes(&world), (1, 1));
    assert!(world.nodes[GATEWAY].journal.drops.is_empty());
}

#[test]
fn a_client_that_has_gone_away_is_not_served() {
    let mut world = starved(2000);
    for number in 1..=2 {
        let hello = world.hello_with_cookie(address(number), 9, [1; 32]);
        world.deliver(GATEWAY, address(number), hello);
    }
    world.run_ms(5000);
    assert_eq!(world.nodes[GATEWAY].journal.reserved, 1);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::Overload), 1);
    let ended = world.nodes[GATEWAY].journal.overload.last();
    assert!(matches!(ended, Some(OverloadChange::Ended { shed: 1, .. })), "{ended:?}");
}
