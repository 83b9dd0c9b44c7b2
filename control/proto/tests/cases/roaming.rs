//! Associations that follow their peer to another address, and what does not lead them there.

use std::net::SocketAddr;

use xdtls_common::DropReason;
use xdtls_common::path_message::PathMessage;
use xdtls_common::prefix::PREFIX_LEN;
use xdtls_common::record::content_type::{APPLICATION_DATA, RETURN_ROUTABILITY_CHECK};
use xdtls_proto::association::CloseCause;
use xdtls_proto::paths::{CHALLENGES, PathChange};

use crate::support::network::Packet;
use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World, other};

const ELSEWHERE: &str = "203.0.113.9:1024";
const THIRD_PLACE: &str = "203.0.113.77:4433";

/// What a record of AES-GCM adds to a plaintext, and a datagram with its prefix.
const RECORD: usize = 37;
const OVERHEAD: usize = PREFIX_LEN + RECORD;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn world() -> World {
    World::established(Setup::default(), Script::new("client one"))
}

/// Nobody knows type 27.
fn foreign_world() -> World {
    let script = |name| Script { extension: false, ..Script::new(name) };
    World::established(Setup { script: script("gateway"), ..Setup::default() }, script("client"))
}

fn send(world: &mut World, node: usize, plaintext: &[u8]) {
    let id = world.id(node);
    world.send(node, id, plaintext);
}

/// An authentic record of `node` comes to the other end from anywhere.
fn deliver(world: &mut World, node: usize, from: &str, sequence: u64, plaintext: &[u8]) {
    let datagram = world.known(node).datagram(APPLICATION_DATA, sequence, plaintext);
    world.deliver(other(node), address(from), datagram);
}

fn path(world: &mut World, node: usize) -> (SocketAddr, Option<SocketAddr>) {
    let (now, id) = (world.now, world.id(node));
    let view = world.nodes[node].shards[0].look(now, id).unwrap();
    (view.endpoint.remote, view.new_path.map(|path| path.remote))
}

/// What has been sent to an address: bytes of each datagram.
fn sent_to(world: &World, to: &str) -> Vec<usize> {
    let sent = world.network.sent.iter().filter(|(_, packet)| packet.to == address(to));
    sent.map(|(_, packet)| packet.bytes.len()).collect()
}

/// The path messages that `node` has sent, and where to.
fn path_messages(world: &World, node: usize) -> Vec<(SocketAddr, PathMessage)> {
    let known = world.known(other(node));
    let opened = |packet: &Packet| {
        let opened = known.open(&packet.bytes).into_iter();
        let of_type = opened.filter(|(kind, ..)| *kind == RETURN_ROUTABILITY_CHECK);
        let parsed = of_type.filter_map(|(.., body)| PathMessage::parse(&body).ok());
        parsed.map(|message| (packet.to, message)).collect::<Vec<_>>()
    };
    let from_here =
        world.network.sent.iter().filter(|(_, packet)| packet.from == world.nodes[node].address);
    from_here.flat_map(|(_, packet)| opened(packet)).collect()
}

/// The cookie of the last challenge that `node` has sent.
fn last_cookie(world: &World, node: usize) -> [u8; 8] {
    match path_messages(world, node).last() {
        Some((_, PathMessage::Challenge(cookie))) => *cookie,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_association_follows_its_peer() {
    for mover in [CLIENT, GATEWAY] {
        let (mut world, stayer) = (world(), other(mover));
        world.rebind(mover, address(ELSEWHERE));
        send(&mut world, mover, b"from elsewhere");
        world.run_ms(10);
        send(&mut world, stayer, b"answer");
        assert_eq!(path(&mut world, stayer).1, Some(address(ELSEWHERE)));
        world.run_ms(20);
        assert_eq!(path(&mut world, stayer), (address(ELSEWHERE), None));
        assert_eq!(world.received(stayer), [b"from elsewhere"]);
        assert_eq!(world.received(mover), [b"answer"]);
        assert_eq!(world.nodes[stayer].journal.paths, [PathChange::New, PathChange::Validated]);
        let counters = world.counters(stayer);
        assert_eq!(
            (counters.paths_new, counters.paths_validated, counters.paths_failed),
            (1, 1, 0)
        );
        // Nothing is held back any more, and nobody else is asked anything.
        (0..50).for_each(|_| send(&mut world, stayer, &[7; 1400]));
        world.run_ms(20);
        assert_eq!(world.received(mover).len(), 51);
        assert_eq!(path_messages(&world, stayer).len(), 1);
        assert_eq!(world.nodes[mover].journal.paths, []);
        assert!(world.nodes.iter().all(|node| node.journal.drops.is_empty()));
    }
}

#[test]
fn who_only_listens_can_say_where_it_is() {
    for (mut world, found) in [(world(), true), (foreign_world(), false)] {
        world.rebind(CLIENT, address(ELSEWHERE));
        let now = world.now;
        world.nodes[CLIENT].announce(now);
        world.run_ms(30);
        assert_eq!(path(&mut world, GATEWAY).0 == address(ELSEWHERE), found);
        send(&mut world, GATEWAY, &[0; 1000]);
        world.run_ms(20);
        assert_eq!(world.received(CLIENT).len(), usize::from(found));
    }
}

#[test]
fn there_and_back_again() {
    let mut world = world();
    let home = world.nodes[CLIENT].address;
    for place in [address(ELSEWHERE), address(THIRD_PLACE), home] {
        world.rebind(CLIENT, place);
        send(&mut world, CLIENT, b"here I am");
        world.run_ms(30);
        assert_eq!(path(&mut world, GATEWAY), (place, None));
    }
    assert_eq!(world.counters(GATEWAY).paths_validated, 3);
}

#[test]
fn no_more_than_three_times_goes_to_a_new_address() {
    for (mut world, challenge) in [(world(), OVERHEAD + 9), (foreign_world(), 0)] {
        deliver(&mut world, CLIENT, ELSEWHERE, 50, &[1; 200]);
        let allowed = 3 * (RECORD + 200);
        // One byte too many, what just fits, one record too many.
        let fitting = allowed - challenge - OVERHEAD;
        send(&mut world, GATEWAY, &vec![2; fitting + 1]);
        send(&mut world, GATEWAY, &vec![3; fitting]);
        send(&mut world, GATEWAY, b"");
        assert_eq!(sent_to(&world, ELSEWHERE).iter().sum::<usize>(), allowed);
        assert_eq!(world.nodes[GATEWAY].dropped(DropReason::UnvalidatedPath), 2);
        // What comes from there adds to it, in whatever order, but only once.
        for _ in 0..3 {
            deliver(&mut world, CLIENT, ELSEWHERE, 48, b"");
        }
        send(&mut world, GATEWAY, &[4; 3 * RECORD - OVERHEAD]);
        send(&mut world, GATEWAY, b"");
        assert_eq!(sent_to(&world, ELSEWHERE).iter().sum::<usize>(), allowed + 3 * RECORD);
        assert_eq!(world.nodes[GATEWAY].dropped(DropReason::UnvalidatedPath), 3);
    }
}

#[test]
fn what_was_received_before_moves_nothing() {
    for mut world in [world(), foreign_world()] {
        let home = world.nodes[CLIENT].address;
        send(&mut world, CLIENT, b"first");
        let replayed = world.sent_by(CLIENT).last().unwrap().to_vec();
        world.run_ms(20);
        deliver(&mut world, CLIENT, "198.51.100.1:5000", 50, b"newest");
        // A copy, a record that was overtaken, a forgery far ahead.
        world.deliver(GATEWAY, address(ELSEWHERE), replayed);
        deliver(&mut world, CLIENT, ELSEWHERE, 49, b"overtaken");
        let mut forged = world.known(CLIENT).datagram(APPLICATION_DATA, 1000, b"forged");
        *forged.last_mut().unwrap() ^= 1;
        world.deliver(GATEWAY, address(ELSEWHERE), forged);
        send(&mut world, GATEWAY, b"answer");
        world.run_ms(5000);
        assert_eq!(path(&mut world, GATEWAY), (home, None));
        assert_eq!(world.received(GATEWAY).len(), 3, "data counts, wherever it comes from");
        assert_eq!(sent_to(&world, ELSEWHERE), [0; 0]);
        assert_eq!(world.nodes[GATEWAY].journal.paths, []);
    }
}

#[test]
fn challenges_and_responses_may_be_lost() {
    for lost in [0, 1] {
        let mut world = world();
        let (gateway, mut count) = (world.nodes[GATEWAY].address, 0);
        world.rebind(CLIENT, address(ELSEWHERE));
        send(&mut world, CLIENT, &[0; 100]);
        // The first three challenges, or the answers to them.
        world.network.lose = Some(Box::new(move |packet| {
            let to_gateway = packet.to == gateway;
            let path_message = packet.bytes[PREFIX_LEN] == RETURN_ROUTABILITY_CHECK;
            count += usize::from(path_message && to_gateway == (lost == 1));
            path_message && to_gateway == (lost == 1) && count <= 3
        }));
        world.run_ms(1800);
        assert_eq!(path(&mut world, GATEWAY), (address(ELSEWHERE), None));
        let challenges = path_messages(&world, GATEWAY);
        assert_eq!(challenges.len(), 4);
        let different: std::collections::HashSet<_> =
            challenges.iter().map(|(_, message)| message.encode()).collect();
        assert_eq!(different.len(), 4, "each has a cookie of its own");
    }
}

#[test]
fn a_late_response_to_an_early_challenge_counts() {
    let mut world = world();
    deliver(&mut world, CLIENT, ELSEWHERE, 50, &[0; 200]);
    let early = PathMessage::Response(last_cookie(&world, GATEWAY)).encode();
    world.run_ms(2300);
    assert_eq!(path_messages(&world, GATEWAY).len(), 5);
    let response = world.known(CLIENT).datagram(RETURN_ROUTABILITY_CHECK, 51, &early);
    world.deliver(GATEWAY, address(ELSEWHERE), response);
    assert_eq!(path(&mut world, GATEWAY), (address(ELSEWHERE), None));
}

#[test]
fn who_does_not_answer_is_given_up_and_gets_challenges_only() {
    let mut world = world();
    let home = world.nodes[CLIENT].address;
    deliver(&mut world, CLIENT, ELSEWHERE, 50, &[0; 400]);
    world.run_ms(2990);
    assert_eq!(path(&mut world, GATEWAY), (home, Some(address(ELSEWHERE))));
    world.run_ms(150);
    assert_eq!(path(&mut world, GATEWAY), (home, None));
    assert_eq!(world.nodes[GATEWAY].journal.paths, [PathChange::New, PathChange::Failed]);
    assert_eq!(world.counters(GATEWAY).paths_failed, 1);
    assert_eq!(path_messages(&world, GATEWAY).len(), CHALLENGES);
    send(&mut world, GATEWAY, b"to the old address");
    // A second time nothing but challenges goes to a place that nobody has answered from.
    deliver(&mut world, CLIENT, THIRD_PLACE, 51, &[0; 400]);
    send(&mut world, GATEWAY, b"to the old address again");
    world.run_ms(20);
    assert_eq!(world.received(CLIENT).len(), 2);
    assert_eq!(sent_to(&world, THIRD_PLACE), [OVERHEAD + 9]);
    // An answer moves it all the same, and trust is back.
    let cookie = last_cookie(&world, GATEWAY);
    let response = PathMessage::Response(cookie).encode();
    let datagram = world.known(CLIENT).datagram(RETURN_ROUTABILITY_CHECK, 52, &response);
    world.deliver(GATEWAY, address(THIRD_PLACE), datagram);
    assert_eq!(path(&mut world, GATEWAY), (address(THIRD_PLACE), None));
    deliver(&mut world, CLIENT, ELSEWHERE, 53, &[0; 400]);
    let before = sent_to(&world, ELSEWHERE).len();
    send(&mut world, GATEWAY, b"follows at once");
    assert_eq!(sent_to(&world, ELSEWHERE).len(), before + 1);
}

#[test]
fn a_newer_record_from_the_old_address_leads_back_at_once() {
    for mut world in [world(), foreign_world()] {
        let home = world.nodes[CLIENT].address;
        deliver(&mut world, CLIENT, ELSEWHERE, 50, &[0; 400]);
        deliver(&mut world, CLIENT, "198.51.100.1:5000", 49, b"older");
        assert_eq!(path(&mut world, GATEWAY), (home, Some(address(ELSEWHERE))));
        deliver(&mut world, CLIENT, "198.51.100.1:5000", 51, b"newer");
        assert_eq!(path(&mut world, GATEWAY), (home, None));
        assert_eq!(world.nodes[GATEWAY].journal.paths, [PathChange::New, PathChange::Back]);
        let before = sent_to(&world, ELSEWHERE).len();
        (0..9).for_each(|_| send(&mut world, GATEWAY, &[0; 1000]));
        world.run_ms(4000);
        assert_eq!(world.received(CLIENT).len(), 9);
        assert_eq!(sent_to(&world, ELSEWHERE).len(), before);
    }
}

#[test]
fn of_two_new_addresses_the_newer_counts() {
    let mut world = world();
    deliver(&mut world, CLIENT, ELSEWHERE, 50, &[0; 100]);
    let first = PathMessage::Response(last_cookie(&world, GATEWAY)).encode();
    deliver(&mut world, CLIENT, THIRD_PLACE, 51, &[0; 100]);
    let second = PathMessage::Response(last_cookie(&world, GATEWAY)).encode();
    let home = world.nodes[CLIENT].address;
    // The first place has lost its chance; the second must answer by itself.
    for (response, from, sequence) in
        [(first, THIRD_PLACE, 52), (second, "198.51.100.1:5000", 45), (second, ELSEWHERE, 46)]
    {
        let datagram = world.known(CLIENT).datagram(RETURN_ROUTABILITY_CHECK, sequence, &response);
        world.deliver(GATEWAY, address(from), datagram);
        assert_eq!(path(&mut world, GATEWAY), (home, Some(address(THIRD_PLACE))));
    }
    let datagram = world.known(CLIENT).datagram(RETURN_ROUTABILITY_CHECK, 53, &second);
    world.deliver(GATEWAY, address(THIRD_PLACE), datagram);
    assert_eq!(path(&mut world, GATEWAY), (address(THIRD_PLACE), None));
}

#[test]
fn who_moves_with_each_record_gets_a_challenge_and_no_more() {
    let mut world = world();
    for number in 0..200_u64 {
        let place = format!("203.0.113.{}:{}", number, 1024 + number);
        deliver(&mut world, CLIENT, &place, 50 + number, b"");
        send(&mut world, GATEWAY, &[0; 200]);
        assert_eq!(sent_to(&world, &place), [OVERHEAD + 9]);
    }
    world.run_ms(10_000);
    let sent: usize = (0..200)
        .map(|number| format!("203.0.113.{}:{}", number, 1024 + number))
        .map(|place| sent_to(&world, &place).iter().sum::<usize>())
        .sum();
    assert!(sent <= 200 * 3 * RECORD, "{sent}");
}

#[test]
fn a_path_that_the_peer_does_not_want_is_given_up() {
    let mut world = world();
    let home = world.nodes[CLIENT].address;
    deliver(&mut world, CLIENT, ELSEWHERE, 50, &[0; 100]);
    let unwanted = PathMessage::Drop(last_cookie(&world, GATEWAY)).encode();
    let datagram = world.known(CLIENT).datagram(RETURN_ROUTABILITY_CHECK, 51, &unwanted);
    world.deliver(GATEWAY, address(ELSEWHERE), datagram);
    assert_eq!(path(&mut world, GATEWAY), (home, None));
    assert_eq!(world.nodes[GATEWAY].journal.paths, [PathChange::New, PathChange::Failed]);
}

#[test]
fn a_foreign_client_is_followed_three_times_what_it_sends_and_never_challenged() {
    let mut world = foreign_world();
    let home = world.nodes[CLIENT].address;
    world.rebind(CLIENT, address(ELSEWHERE));
    for round in 0..20 {
        send(&mut world, CLIENT, b"question");
        world.run_ms(1000);
        send(&mut world, GATEWAY, b"an answer of 20 byte");
        world.run_ms(1000);
        assert_eq!(world.received(CLIENT).len(), round + 1);
    }
    // Questions and answers may go on for ever, a flood of answers may not.
    (0..100).for_each(|_| send(&mut world, GATEWAY, &[0; 1000]));
    let held_back = world.nodes[GATEWAY].dropped(DropReason::UnvalidatedPath);
    assert!((98..100).contains(&held_back), "{held_back}");
    assert_eq!(path(&mut world, GATEWAY), (home, Some(address(ELSEWHERE))));
    assert_eq!(path_messages(&world, GATEWAY), []);
}

#[test]
fn a_challenge_is_answered_to_where_it_came_from() {
    let mut world = world();
    send(&mut world, GATEWAY, b"seen before");
    world.run_ms(20);
    deliver(&mut world, GATEWAY, "192.0.2.1:4433", 50, b"newest");
    let challenge = PathMessage::Challenge(*b"whoareyo").encode();
    let datagram = world.known(GATEWAY).datagram(RETURN_ROUTABILITY_CHECK, 40, &challenge);
    world.deliver(CLIENT, address(ELSEWHERE), datagram);
    let response = PathMessage::Response(*b"whoareyo");
    assert_eq!(path_messages(&world, CLIENT), [(address(ELSEWHERE), response)]);
    let gateway = world.nodes[GATEWAY].address;
    assert_eq!(path(&mut world, CLIENT), (gateway, None), "it was overtaken, so it moves nothing");
}

#[test]
fn when_both_move_at_once_the_client_notices_and_can_begin_anew() {
    let mut world = world();
    let client = world.id(CLIENT);
    world.rebind(CLIENT, address(ELSEWHERE));
    world.rebind(GATEWAY, address(THIRD_PLACE));
    send(&mut world, CLIENT, b"to nobody");
    send(&mut world, GATEWAY, b"to nobody");
    world.run_ms(30_100);
    assert_eq!(world.nodes[CLIENT].journal.closed, [(client, CloseCause::Dead)]);
    world.establish(CLIENT);
}

#[test]
fn an_association_that_ends_elsewhere_asks_nothing_more() {
    let mut world = world();
    world.rebind(CLIENT, address(ELSEWHERE));
    let id = world.id(CLIENT);
    world.close(CLIENT, id);
    world.run_ms(10_000);
    assert_eq!(path_messages(&world, GATEWAY), []);
    assert_eq!(world.nodes[GATEWAY].established(), 0);
    assert_eq!(sent_to(&world, ELSEWHERE).len(), 1, "close_notify is answered where it came from");
}
