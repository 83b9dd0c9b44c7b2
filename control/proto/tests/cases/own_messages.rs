//! What an association says by itself: that it will not renegotiate, and that it is there.

use xdtls_common::DropReason;
use xdtls_common::path_message::PathMessage;
use xdtls_common::record::content_type::{
    ALERT, APPLICATION_DATA, HANDSHAKE, RETURN_ROUTABILITY_CHECK,
};

use crate::support::messages::{CLIENT_HELLO, message};
use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World, other};

const HELLO_REQUEST: u8 = 0;

/// An association whose ends both know that the handshake is over.
fn world(extension: bool) -> World {
    let script = |name| Script { extension, ..Script::new(name) };
    let setup = Setup { script: script("gateway"), ..Setup::default() };
    let mut world = World::established(setup, script("client one"));
    for node in [CLIENT, GATEWAY] {
        let datagram = world.known(node).datagram(APPLICATION_DATA, 10, b"");
        world.deliver_from(node, datagram);
    }
    world
}

/// Lets the other end of `node` have an authentic record of it.
fn say(world: &mut World, node: usize, content_type: u8, sequence: u64, body: &[u8]) {
    let datagram = world.known(node).datagram(content_type, sequence, body);
    world.deliver_from(node, datagram);
}

/// What `node` has sent behind its first `count` datagrams, opened.
fn said_behind(world: &World, node: usize, count: usize) -> Vec<(u8, Vec<u8>)> {
    let opened =
        world.sent_by(node).skip(count).flat_map(|bytes| world.known(other(node)).open(bytes));
    opened.map(|(content_type, _, body)| (content_type, body)).collect()
}

#[test]
fn renegotiation_is_refused_at_a_bounded_rate() {
    // With the extension a HelloRequest asks for another association instead.
    for (asker, kind, extension) in [(CLIENT, CLIENT_HELLO, true), (GATEWAY, HELLO_REQUEST, false)]
    {
        let mut world = world(extension);
        let refuser = other(asker);
        let count = world.sent_by(refuser).count();
        for sequence in 20..30 {
            say(&mut world, asker, HANDSHAKE, sequence, &message(kind, 9, &[0; 40]));
            world.run_ms(50);
        }
        let refusals = vec![(ALERT, vec![1, 100]); 2];
        assert_eq!(said_behind(&world, refuser, count), refusals[..1]);
        assert_eq!(world.nodes[refuser].dropped(DropReason::RateLimited), 9);
        world.run_ms(600);
        say(&mut world, asker, HANDSHAKE, 30, &message(kind, 9, &[0; 40]));
        assert_eq!(said_behind(&world, refuser, count), refusals);
        assert!(world.nodes.iter().all(|node| node.established() == 1));
    }
}

#[test]
fn other_handshake_messages_are_stale_and_an_empty_one_is_malformed() {
    let mut world = world(true);
    let count = world.sent_by(GATEWAY).count();
    say(&mut world, CLIENT, HANDSHAKE, 20, &message(20, 9, &[0; 12]));
    say(&mut world, CLIENT, HANDSHAKE, 21, &[]);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::StaleHandshake), 1);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::MalformedContent), 1);
    assert!(said_behind(&world, GATEWAY, count).is_empty());
}

#[test]
fn renegotiation_in_the_clear_is_dropped() {
    let mut world = world(true);
    let count = world.sent_by(GATEWAY).count();
    let hello = world.sent_by(CLIENT).next().unwrap()[8..].to_vec();
    let datagram = [&world.known(CLIENT).prefix()[..], &hello].concat();
    world.deliver_from(CLIENT, datagram);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::WrongEpoch), 1);
    assert_eq!(world.sent_by(GATEWAY).count(), count);
}

#[test]
fn a_challenge_is_answered_with_its_cookie() {
    for asker in [CLIENT, GATEWAY] {
        let mut world = world(true);
        let count = world.sent_by(other(asker)).count();
        for (sequence, cookie) in [(20, *b"cookie 1"), (21, *b"cookie 2")] {
            let challenge = PathMessage::Challenge(cookie).encode();
            say(&mut world, asker, RETURN_ROUTABILITY_CHECK, sequence, &challenge);
        }
        let response = |cookie| PathMessage::Response(cookie).encode().to_vec();
        let responses =
            [*b"cookie 1", *b"cookie 2"].map(|cookie| (RETURN_ROUTABILITY_CHECK, response(cookie)));
        assert_eq!(said_behind(&world, other(asker), count), responses);
    }
}

#[test]
fn responses_drops_and_noise_are_not_answered() {
    let mut world = world(true);
    let count = world.sent_by(GATEWAY).count();
    let bodies = [
        PathMessage::Response([1; 8]).encode().to_vec(),
        PathMessage::Drop([1; 8]).encode().to_vec(),
        vec![],
        vec![0; 8],
        vec![0; 10],
        vec![3; 9],
    ];
    for (body, sequence) in bodies.iter().zip(20..) {
        say(&mut world, CLIENT, RETURN_ROUTABILITY_CHECK, sequence, body);
    }
    assert_eq!(world.sent_by(GATEWAY).count(), count);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::MalformedContent), 4);
}

#[test]
fn without_the_extension_type_27_means_nothing() {
    for asker in [CLIENT, GATEWAY] {
        let mut world = world(false);
        let count = world.sent_by(other(asker)).count();
        let challenge = PathMessage::Challenge([1; 8]).encode();
        say(&mut world, asker, RETURN_ROUTABILITY_CHECK, 20, &challenge);
        assert_eq!(world.sent_by(other(asker)).count(), count);
        assert_eq!(world.nodes[other(asker)].dropped(DropReason::WrongRecordType), 1);
    }
}
