//! Handshakes that nothing disturbs, and those that are refused.

use std::time::Duration;

use xdtls_common::DropReason;
use xdtls_proto::association::CloseCause;
use xdtls_proto::failure::FailureClass;
use xdtls_proto::handshakes::Ended;
use xdtls_proto::keys::Role;
use xdtls_proto::suite::CipherSuite;

use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, NOBODY, ROUTE, Setup, World};

/// A world whose both ends speak `suites` in flights of the given shape.
fn world(suites: &[CipherSuite], resumed: bool, record_per_datagram: bool) -> World {
    let script = |name| Script {
        suites: suites.to_vec(),
        record_per_datagram,
        resumed,
        ..Script::new(name)
    };
    World::new(Setup { script: script("gateway"), ..Setup::default() }, script("client one"))
}

fn check_data_both_ways(world: &mut World) {
    let (client, gateway) = (world.id(CLIENT), world.id(GATEWAY));
    for message in [&b"one"[..], b"", b"three"] {
        world.send(CLIENT, client, message);
        world.send(GATEWAY, gateway, message);
    }
    world.run_ms(20);
    for node in [CLIENT, GATEWAY] {
        assert_eq!(world.received(node), [&b"one"[..], b"", b"three"]);
        assert!(world.nodes[node].journal.drops.is_empty());
    }
}

#[test]
fn every_suite_and_flight_shape_ends_in_data_both_ways() {
    for suite in CipherSuite::ALL {
        for shape in 0..4 {
            let mut world = world(&[suite], shape & 1 != 0, shape & 2 != 0);
            world.establish(CLIENT);
            assert_eq!(world.known(CLIENT).suite, suite);
            check_data_both_ways(&mut world);
        }
    }
}

#[test]
fn both_ends_know_the_same_of_each_other() {
    let mut world = world(&CipherSuite::ALL, false, false);
    let token = world.open(CLIENT);
    world.run_ms(200);
    let (client, gateway) = (world.known(CLIENT), world.known(GATEWAY));
    assert_eq!(client.peer.value(), gateway.local.value());
    assert_eq!(gateway.peer.value(), client.local.value());
    assert_eq!((client.token, gateway.token), (Some(token), None));
    assert_eq!((client.role, gateway.role), (Role::Client, Role::Server));
    assert_eq!((client.route, gateway.route), (0, ROUTE));
    assert_eq!((&client.names[0][..], &gateway.names[0][..]), ("gateway", "client one"));
    assert_eq!(client.suite, CipherSuite::ALL[0], "the first that the client offers");
    assert_eq!((client.final_flight.len(), gateway.final_flight.len()), (0, 1));
    assert_eq!(world.nodes[GATEWAY].established(), 1);
}

#[test]
fn the_extension_needs_both_sides() {
    for (offered, answered) in [(true, true), (true, false), (false, true), (false, false)] {
        let script = |name, extension| Script { extension, ..Script::new(name) };
        let setup = Setup { script: script("gateway", answered), ..Setup::default() };
        let mut world = World::new(setup, script("client one", offered));
        world.establish(CLIENT);
        for node in [CLIENT, GATEWAY] {
            assert_eq!(world.known(node).extension, offered && answered);
        }
    }
}

#[test]
fn only_a_good_cookie_makes_state() {
    let mut world = world(&CipherSuite::ALL, false, false);
    world.open(CLIENT);
    world.run_ms(15);
    assert_eq!(world.nodes[GATEWAY].shards[0].counters().hello_verify_requests, 1);
    assert_eq!(world.half_open(), 0);
    assert!(world.run_until(Duration::from_secs(1), |world| world.half_open() == 1));
}

fn refusal(world: &World) -> &Ended {
    let ended = world.nodes[GATEWAY].journal.ended.last().unwrap();
    assert!(ended.outcome.is_err());
    ended
}

#[test]
fn an_identity_that_policy_refuses_is_told_under_the_new_keys() {
    let mut world = World::new(Setup::default(), Script::new(NOBODY));
    world.open(CLIENT);
    world.run_ms(200);
    assert_eq!(
        refusal(&world).outcome,
        Err(FailureClass::Policy.because(format!("no rule admits {NOBODY}")))
    );
    let alert = world.sent_by(GATEWAY).last().unwrap();
    assert_eq!(world.known(CLIENT).open(alert), [(21, 2, vec![2, 49])]);
    let closed = (world.id(CLIENT), CloseCause::PeerAlert(49));
    assert_eq!(world.nodes[CLIENT].journal.closed, [closed]);
    for node in [CLIENT, GATEWAY] {
        assert_eq!(world.nodes[node].established(), 0);
    }
}

#[test]
fn no_shared_suite_ends_with_one_alert_for_each_attempt() {
    let setup = Setup::default();
    let suites = vec![CipherSuite::EcdheRsaChaCha20Poly1305];
    let mut world = World::new(setup, Script { suites, ..Script::new("client one") });
    world.open(CLIENT);
    world.run_ms(1000);
    assert_eq!(
        refusal(&world).outcome,
        Err(FailureClass::NothingInCommon.because("no shared cipher suite"))
    );
    let alerts = world.sent_by(GATEWAY).filter(|bytes| bytes[8] == 21).count();
    assert_eq!(alerts, 1);
    assert_eq!(world.half_open(), 0);
}

#[test]
fn without_extended_master_secret_there_is_an_alert_and_no_state() {
    let script = Script { extended_master_secret: false, ..Script::new("client one") };
    let mut world = World::new(Setup::default(), script);
    world.open(CLIENT);
    world.run_ms(100);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::ExtendedMasterSecretMissing), 1);
    assert_eq!(world.half_open(), 0);
    let alert = world.sent_by(GATEWAY).last().unwrap().to_vec();
    assert_eq!((&alert[..4], alert[8], &alert[21..]), (&[0; 4][..], 21, &[2, 40][..]));
}

#[test]
fn the_alert_of_an_earlier_attempt_is_named_whenever_the_time_is_up() {
    for deadline_s in 3..=15 {
        let mut setup = Setup::default();
        setup.limits.deadline = Duration::from_secs(deadline_s);
        let suites = vec![CipherSuite::EcdheRsaChaCha20Poly1305];
        let mut world = World::new(setup, Script { suites, ..Script::new("client one") });
        world.open(CLIENT);
        world.run_ms(16_000);
        let outcome = world.nodes[CLIENT].journal.ended.last().unwrap().outcome.clone();
        let reason = outcome.unwrap_err().reason;
        assert!(reason.contains("alert 40"), "{deadline_s} s: {reason}");
    }
}
