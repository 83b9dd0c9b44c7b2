//! Two peers that may both open end with one association.

use std::time::Duration;

use crate::support::world::{Peer, Setup, World};

#[test]
fn two_that_open_at_once_end_with_one() {
    let mut world = World::of_peers(Setup::default(), &Peer::pair());
    world.converge(Duration::from_secs(20));
    for node in [0, 1] {
        assert_eq!(world.nodes[node].journal.known.len(), 2);
        world.send_by_link(node, b"hello");
    }
    world.run_ms(20);
    assert_eq!((world.received(0), world.received(1)), (vec![&b"hello"[..]], vec![&b"hello"[..]]));
}
