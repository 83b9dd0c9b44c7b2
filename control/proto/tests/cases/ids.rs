//! Ids: a slot rests between two associations, and its next id is another.

use std::time::Duration;

use xdtls_common::DropReason;
use xdtls_common::record::content_type::APPLICATION_DATA;
use xdtls_proto::failure::FailureClass;

use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World};

/// A gateway with room for one association, and `clients` clients.
fn world(clients: u8) -> World {
    let mut world = World::with_gateway(Setup { capacity: 1, ..Setup::default() });
    for number in 1..=clients {
        let address = format!("198.51.100.{number}:5000").parse().unwrap();
        world.add_client(address, Script::new("client"));
    }
    world
}

#[test]
fn a_slot_rests_for_120_seconds() {
    for (rest_ms, refused) in [(119_000, 1), (121_000, 0)] {
        let mut world = world(2);
        world.establish(CLIENT);
        let id = world.id(GATEWAY);
        world.close(GATEWAY, id);
        world.run_ms(rest_ms);
        world.open(CLIENT + 1);
        world.run_ms(100);
        assert_eq!(world.nodes[GATEWAY].dropped(DropReason::NoFreeId), refused);
        assert_eq!(world.nodes[GATEWAY].established() as u64, 1 - refused);
    }
}

#[test]
fn a_client_that_finds_no_free_slot_tries_until_there_is_one() {
    let mut world = world(2);
    world.establish(CLIENT);
    let id = world.id(GATEWAY);
    world.close(GATEWAY, id);
    world.run_ms(112_000);
    world.open(CLIENT + 1);
    world.run_ms(15_000);
    assert_eq!(world.nodes[CLIENT + 1].journal.ended[0].outcome, Ok(()));
}

#[test]
fn an_id_is_never_the_slots_previous_one_and_the_old_one_is_unknown() {
    let mut world = world(5);
    let mut previous = None;
    for client in CLIENT..CLIENT + 5 {
        world.establish(client);
        let id = world.id(GATEWAY);
        assert!(previous.is_none_or(|previous| previous != id));
        if let Some(previous) = previous {
            // What the backend of the client before might still send.
            world.send(GATEWAY, previous, b"not for you");
            // What the client before might still send.
            let late = world.known(client - 1).datagram(APPLICATION_DATA, 30, b"late");
            let from = world.nodes[client - 1].address;
            let unknown = world.nodes[GATEWAY].dropped(DropReason::UnknownId);
            world.deliver(GATEWAY, from, late);
            assert_eq!(world.nodes[GATEWAY].dropped(DropReason::UnknownId), unknown + 1);
        }
        previous = Some(id);
        world.close(GATEWAY, id);
        world.run_ms(121_000);
    }
    assert!(world.received(GATEWAY).is_empty());
    // Four datagrams of backends, and the answer of each client to close_notify.
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::Closed), 4 + 5);
    world.run_ms(20);
    assert!(world.nodes.iter().all(|node| node.journal.plaintext.is_empty()));
}

#[test]
fn what_comes_while_a_slot_rests_came_too_late_and_what_comes_later_is_unknown() {
    let mut world = world(1);
    world.establish(CLIENT);
    let (id, installed) = (world.id(GATEWAY), world.now);
    world.nodes[GATEWAY].close(world.now, id);
    let late = world.known(CLIENT).datagram(APPLICATION_DATA, 30, b"late");
    let counts = |world: &World| {
        [DropReason::Closed, DropReason::UnknownId].map(|it| world.nodes[GATEWAY].dropped(it))
    };
    for (after_s, expected) in [(0, [1, 0]), (119, [3, 0]), (121, [3, 1])] {
        world.run(installed + Duration::from_secs(after_s) - world.now);
        world.deliver_from(CLIENT, late.clone());
        assert_eq!(counts(&world), expected, "after {after_s} s");
    }
    // An id that nobody ever had is unknown all the time.
    world.deliver_from(CLIENT, [&[1, 2, 3, 4, 5, 6, 7, 8], &late[8..]].concat());
    assert_eq!(counts(&world), [3, 2]);
}

#[test]
fn the_id_of_a_failed_handshake_rests_too() {
    let mut world = world(1);
    let hello = world.hello_with_cookie(world.nodes[CLIENT].address, 9, [1; 32]);
    world.deliver_from(CLIENT, hello);
    let answer = world.sent_by(GATEWAY).last().unwrap().to_vec();
    world.run_ms(16_000);
    let to_the_id = [&answer[4..8], &answer[..4], &answer[8..]].concat();
    world.deliver_from(CLIENT, to_the_id.clone());
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::Closed), 1);
    world.run_ms(121_000);
    world.deliver_from(CLIENT, to_the_id);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::UnknownId), 1);
}

#[test]
fn a_clients_slots_rest_too_and_change_their_id() {
    let setup = Setup { client_capacity: 1, ..Setup::default() };
    let mut world = World::with_gateway(setup);
    let mut draws = [0x55, 0x55, 0, 0x66].into_iter();
    let random = Box::new(move || draws.next().unwrap_or(0x77));
    let address = "198.51.100.1:5000".parse().unwrap();
    world.add_client_with_ids(address, Script::new("client"), random);
    world.establish(CLIENT);
    let id = world.id(CLIENT);
    assert_eq!(id.value(), 0x55);
    world.close(CLIENT, id);
    world.open(CLIENT);
    let ended = world.nodes[CLIENT].journal.ended.last().unwrap();
    assert_eq!(ended.outcome, Err(FailureClass::Limit.because("no id is free")));
    assert_eq!(world.nodes[CLIENT].dropped(DropReason::NoFreeId), 1);
    world.run_ms(121_000);
    world.establish(CLIENT);
    assert_eq!(world.id(CLIENT).value(), 0x66);
}
