//! Whoever sent the handshake's last flight sends it again as long as the peer may wait for it: the
//! gateway in full handshakes, the client in resumed ones.

use std::time::Duration;

use xdtls_common::DropReason;
use xdtls_common::record::content_type::{APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE};

use crate::support::messages::{FINISHED, message, record};
use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World};

/// A world, who keeps the final flight in it, and who waits for it.
fn world(resumed: bool, record_per_datagram: bool) -> (World, usize, usize) {
    let script = |name| Script { resumed, record_per_datagram, ..Script::new(name) };
    let setup = Setup { script: script("gateway"), ..Setup::default() };
    let (keeper, waiter) = if resumed { (CLIENT, GATEWAY) } else { (GATEWAY, CLIENT) };
    (World::new(setup, script("client one")), keeper, waiter)
}

/// The same, after an undisturbed handshake, when a repetition is allowed again.
fn established(resumed: bool) -> (World, usize, usize) {
    let (mut world, keeper, waiter) = world(resumed, false);
    world.establish(CLIENT);
    world.run_ms(1000);
    (world, keeper, waiter)
}

/// The flights that `keeper` has sent: datagrams that begin with ChangeCipherSpec.
fn flights(world: &World, keeper: usize) -> Vec<&[u8]> {
    world.sent_by(keeper).filter(|bytes| bytes[8] == CHANGE_CIPHER_SPEC).collect()
}

/// A Finished of the waiting end, as if retransmitted.
fn finished(world: &World, waiter: usize, sequence: u64) -> Vec<u8> {
    world.known(waiter).datagram(HANDSHAKE, sequence, &message(FINISHED, 3, &[7; 12]))
}

fn deliver(world: &mut World, keeper: usize, waiter: usize, datagram: Vec<u8>) {
    let from = world.nodes[waiter].address;
    world.deliver(keeper, from, datagram);
}

/// Loses the first `losses` final flights of `keeper`, whether they travel in one piece or two.
fn lose_final_flights(world: &mut World, keeper: usize, mut losses: u32) {
    let address = world.nodes[keeper].address;
    let mut losing = false;
    world.network.lose = Some(Box::new(move |packet| {
        let begins = packet.from == address && packet.bytes[8] == CHANGE_CIPHER_SPEC;
        if begins {
            losing = losses > 0;
            losses -= u32::from(losing);
        }
        let finished = packet.bytes[8] == HANDSHAKE && packet.bytes[11..13] == [0, 1];
        losing && packet.from == address && (begins || finished)
    }));
}

#[test]
fn a_final_flight_lost_once_is_sent_again_byte_for_byte() {
    for (resumed, record_per_datagram) in
        [(false, false), (false, true), (true, false), (true, true)]
    {
        let (mut world, keeper, waiter) = world(resumed, record_per_datagram);
        lose_final_flights(&mut world, keeper, 1);
        world.open(CLIENT);
        world.run_ms(1000);
        let sent = flights(&world, keeper);
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0], sent[1]);
        check_established_once(&mut world, keeper, waiter);
    }
}

fn check_established_once(world: &mut World, keeper: usize, waiter: usize) {
    for node in [keeper, waiter] {
        assert_eq!(world.nodes[node].journal.ended.len(), 1);
        assert_eq!(world.nodes[node].journal.ended[0].outcome, Ok(()));
        assert_eq!(world.nodes[node].established(), 1);
    }
    let id = world.id(waiter);
    world.send(waiter, id, b"at last");
    world.run_ms(20);
    assert_eq!(world.received(keeper), [b"at last"]);
}

#[test]
fn a_client_repeats_a_final_flight_that_is_lost_three_times() {
    for record_per_datagram in [false, true] {
        let (mut world, keeper, waiter) = world(true, record_per_datagram);
        lose_final_flights(&mut world, keeper, 3);
        world.open(CLIENT);
        world.run_ms(12_000);
        let sent = flights(&world, keeper);
        assert_eq!(sent.len(), 4);
        assert!(sent.iter().all(|flight| *flight == sent[0]));
        check_established_once(&mut world, keeper, waiter);
    }
}

/// Our own client begins anew before that; a foreign one waits.
#[test]
fn a_gateway_repeats_a_final_flight_that_is_lost_three_times() {
    for record_per_datagram in [false, true] {
        let script = |name| Script { record_per_datagram, ..Script::new(name) };
        let setup = Setup { script: script("gateway"), ..Setup::default() };
        let mut world = World::with_gateway(setup);
        lose_final_flights(&mut world, GATEWAY, 3);
        world.add_foreign("198.51.100.9:9".parse().unwrap(), 77, script("foreign"));
        world.run_ms(12_000);
        let sent = flights(&world, GATEWAY);
        assert_eq!(sent.len(), 4);
        assert!(sent.iter().all(|flight| *flight == sent[0]));
        let foreign = &world.foreign[0];
        let data = foreign.known.as_ref().unwrap().datagram(APPLICATION_DATA, 50, b"at last");
        let from = foreign.address;
        world.deliver(GATEWAY, from, data);
        assert_eq!(world.received(GATEWAY), [b"at last"]);
    }
}

#[test]
fn our_client_begins_anew_when_two_final_flights_are_lost() {
    let (mut world, keeper, waiter) = world(false, false);
    lose_final_flights(&mut world, keeper, 2);
    world.open(CLIENT);
    world.run_ms(5000);
    assert_eq!(world.nodes[waiter].journal.ended.len(), 1);
    assert_eq!(world.nodes[waiter].journal.ended[0].outcome, Ok(()));
    assert_eq!(world.nodes[waiter].established(), 1);
    let (client, gateway) = (world.known(CLIENT), world.known(GATEWAY));
    assert_eq!(client.peer.value(), gateway.local.value());
}

#[test]
fn only_an_authentic_new_record_of_epoch_1_brings_a_repetition() {
    for resumed in [false, true] {
        let (mut world, keeper, waiter) = established(resumed);
        let prefix = world.known(waiter).prefix();
        let genuine = finished(&world, waiter, 50);
        let mut altered = genuine.clone();
        *altered.last_mut().unwrap() ^= 1;
        let replayed = world
            .sent_by(waiter)
            .find(|bytes| bytes.windows(5).any(|w| w == [22, 0xfe, 0xfd, 0, 1]))
            .unwrap()
            .to_vec();
        let clear = record(HANDSHAKE, 0, 9, &message(FINISHED, 3, &[7; 12]));
        let clear = [&prefix[..], &clear].concat();
        for (datagram, reason) in [
            (altered, DropReason::NotAuthentic),
            (replayed, DropReason::Replayed),
            (clear, DropReason::WrongEpoch),
        ] {
            deliver(&mut world, keeper, waiter, datagram);
            assert!(world.nodes[keeper].dropped(reason) > 0, "{reason:?}");
            assert_eq!(flights(&world, keeper).len(), 1, "{reason:?}");
        }
        deliver(&mut world, keeper, waiter, genuine);
        assert_eq!(flights(&world, keeper).len(), 2);
        assert_eq!(world.counters(keeper).final_flights_repeated, 1);
    }
}

#[test]
fn repetitions_are_rate_limited() {
    let (mut world, keeper, waiter) = established(false);
    for sequence in 50..60 {
        let datagram = finished(&world, waiter, sequence);
        deliver(&mut world, keeper, waiter, datagram);
        world.run_ms(1);
    }
    assert_eq!(flights(&world, keeper).len(), 2);
    assert_eq!(world.nodes[keeper].dropped(DropReason::RateLimited), 9);
    world.run_ms(200);
    let datagram = finished(&world, waiter, 60);
    deliver(&mut world, keeper, waiter, datagram);
    assert_eq!(flights(&world, keeper).len(), 3);
}

#[test]
fn the_first_authentic_data_ends_the_keeping() {
    for resumed in [false, true] {
        let (mut world, keeper, waiter) = established(resumed);
        let mut forged = world.known(waiter).datagram(APPLICATION_DATA, 40, b"data");
        *forged.last_mut().unwrap() ^= 1;
        deliver(&mut world, keeper, waiter, forged);
        let datagram = finished(&world, waiter, 50);
        deliver(&mut world, keeper, waiter, datagram);
        assert_eq!(flights(&world, keeper).len(), 2, "forged data has not ended it");

        let datagram = world.known(waiter).datagram(APPLICATION_DATA, 51, b"data");
        deliver(&mut world, keeper, waiter, datagram);
        world.run_ms(1000);
        let datagram = finished(&world, waiter, 52);
        deliver(&mut world, keeper, waiter, datagram);
        assert_eq!(flights(&world, keeper).len(), 2);
        assert_eq!(world.nodes[keeper].dropped(DropReason::StaleHandshake), 1);
    }
}

#[test]
fn after_240_seconds_nothing_is_kept() {
    for (age_s, repetitions) in [(239, 1), (240, 0)] {
        let (mut world, keeper, waiter) = world(false, false);
        world.establish(CLIENT);
        let installed = world.now - Duration::from_millis(200 - 50);
        world.run(installed + Duration::from_secs(age_s) - world.now);
        world.run_ms(10);
        let datagram = finished(&world, waiter, 50);
        deliver(&mut world, keeper, waiter, datagram);
        assert_eq!(flights(&world, keeper).len(), 1 + repetitions);
    }
}

#[test]
fn an_association_that_has_ended_repeats_nothing() {
    let (mut world, keeper, waiter) = established(false);
    let (datagram, id) = (finished(&world, waiter, 50), world.id(keeper));
    world.close(keeper, id);
    deliver(&mut world, keeper, waiter, datagram);
    assert_eq!(flights(&world, keeper).len(), 1);
    assert_eq!(world.nodes[keeper].dropped(DropReason::Closed), 1);
}
