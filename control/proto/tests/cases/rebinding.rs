//! A NAT gives a client another address. Associations do not follow their peer yet: what the client
//! sends goes on to arrive, because ids and keys name its association and no address does, and what
//! is sent to it goes to its old address until the client notices.

use std::time::Duration;

use xdtls_common::DropReason;
use xdtls_proto::association::CloseCause;

use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World};

const ELSEWHERE: &str = "203.0.113.9:1024";

#[test]
fn what_the_client_sends_goes_on_to_arrive_and_answers_go_to_its_old_address() {
    let mut world = World::established(Setup::default(), Script::new("client one"));
    let (client, gateway) = (world.id(CLIENT), world.id(GATEWAY));
    world.rebind(CLIENT, ELSEWHERE.parse().unwrap());
    world.send(CLIENT, client, b"from elsewhere");
    world.run_ms(20);
    assert_eq!(world.received(GATEWAY), [b"from elsewhere"]);
    world.send(GATEWAY, gateway, b"answer");
    world.run_ms(20);
    assert_eq!(world.received(CLIENT).len(), 0);
    assert_eq!(world.nodes[GATEWAY].established(), 1);
}

#[test]
fn the_client_notices_within_30_s_and_can_open_another() {
    let mut world = World::established(Setup::default(), Script::new("client one"));
    let client = world.id(CLIENT);
    world.rebind(CLIENT, ELSEWHERE.parse().unwrap());
    world.send(CLIENT, client, b"from elsewhere");
    world.run_ms(29_990);
    assert_eq!(world.nodes[CLIENT].established(), 1);
    world.run_ms(100);
    assert_eq!(world.nodes[CLIENT].journal.closed, [(client, CloseCause::Dead)]);
    world.establish(CLIENT);
    assert_eq!(world.nodes[GATEWAY].established(), 1, "close_notify has ended the old one");
}

#[test]
fn a_handshake_does_not_follow_its_client() {
    let mut world = World::new(Setup::default(), Script::new("client one"));
    world.open(CLIENT);
    world.run_ms(35);
    // The client's last flight is lost, and repeated from elsewhere.
    world.network.link.loss_per_mille = 1000;
    world.run_ms(10);
    world.network.link.loss_per_mille = 0;
    world.rebind(CLIENT, ELSEWHERE.parse().unwrap());
    world.run_ms(1000);
    assert!(world.nodes[GATEWAY].dropped(DropReason::HalfOpenAddress) > 0);
    let again = |world: &World| world.nodes[CLIENT].established() == 1;
    assert!(world.run_until(Duration::from_secs(15), again));
}
