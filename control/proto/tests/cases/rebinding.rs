//! A handshake whose client gets another address from a NAT.

use std::time::Duration;

use xdtls_common::DropReason;

use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World};

const ELSEWHERE: &str = "203.0.113.9:1024";

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
