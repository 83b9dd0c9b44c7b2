//! Half of all datagrams lost, both ways: every handshake finishes.

use std::time::Duration;

use crate::support::network::Link;
use crate::support::rng::Rng;
use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World};

const HANDSHAKES: u64 = 1000;

/// Long enough for the unluckiest of them, which takes 298 s (ADR 0024).
const DEADLINE: Duration = Duration::from_secs(400);

const LINK: Link = Link {
    loss_per_mille: 500,
    delay: Duration::from_millis(10),
    jitter: Duration::from_millis(20),
    ..Link::CLEAN
};

#[test]
fn a_thousand_of_a_thousand_handshakes_finish() {
    for seed in 0..HANDSHAKES {
        let record_per_datagram = Rng::new(seed).per_mille(500);
        let script = |name| Script { record_per_datagram, ..Script::new(name) };
        let setup = Setup { seed, script: script("gateway"), ..Setup::default() };
        let setup = Setup { wish_deadline: Some(DEADLINE), ..setup };
        let mut world = World::new(setup, script("client one"));
        world.network.link = LINK;
        world.open(CLIENT);
        while world.nodes[CLIENT].journal.ended.is_empty() {
            world.run_ms(100);
        }
        assert_eq!(world.nodes[CLIENT].journal.ended[0].outcome, Ok(()), "seed {seed}");
        let gateway = world.known(CLIENT).peer.value();
        let mut known = world.nodes[GATEWAY].journal.known.iter();
        assert!(known.any(|known| known.local.value() == gateway), "seed {seed}");
    }
}
