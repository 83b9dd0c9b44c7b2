//! Ten thousand associations opened and closed under loss, and nothing of them is left: no entry, no
//! deadline, no byte of the heap.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::HEAP;
use crate::support::network::Link;
use crate::support::node::Journal;
use crate::support::scripted::Script;
use crate::support::world::{GATEWAY, Setup, World};

const CLIENTS: u8 = 10;

/// What each client opens at a time.
const AT_A_TIME: usize = 10;

/// Slots of the gateway and of each client: as many as need to rest at a time.
const CAPACITY: u32 = 2048;
const CLIENT_CAPACITY: u32 = 128;

/// Associations of the first round, after which every slot has been used and collections have the
/// size that they need, and of the one that is measured.
const WARM_UP: usize = 8_000;
const MEASURED: usize = 10_000;

/// What the sizes of collections may differ by.
const SLACK_BYTES: usize = 64 << 10;

const LINK: Link = Link {
    loss_per_mille: 50,
    duplicates_per_mille: 50,
    altered_per_mille: 20,
    jitter: Duration::from_millis(30),
    ..Link::CLEAN
};

/// Opens so many associations, in batches, uses and closes them, and lets everything rest.
fn round(world: &mut World, count: usize) {
    world.network.link = LINK;
    let mut opened = 0;
    while opened < count {
        for client in 1..=usize::from(CLIENTS) {
            for _ in 0..AT_A_TIME {
                world.open(client);
            }
        }
        world.run_ms(4000);
        opened += world.nodes[GATEWAY].journal.known.len();
        for node in GATEWAY..=usize::from(CLIENTS) {
            let known = world.nodes[node].journal.known.iter();
            for id in known.map(|known| known.local).collect::<Vec<_>>() {
                world.send(node, id, b"data");
                if node != GATEWAY {
                    world.close(node, id);
                }
            }
        }
        world.run_ms(12_000);
        forget(world);
    }
    world.network.link = Link::CLEAN;
    world.run_ms(600_000);
    forget(world);
    for node in &mut world.nodes {
        let left = (node.established(), node.half_open(), node.queued(), node.deadline());
        assert_eq!(left, (0, 0, 0, None));
    }
}

/// Empties what only the test keeps.
fn forget(world: &mut World) {
    world.nodes.iter_mut().for_each(|node| node.journal = Journal::default());
    world.network.sent = Vec::new();
    world.arrived = Vec::new();
}

#[test]
fn ten_thousand_associations_leave_nothing_behind() {
    const ALONE: &str = "XDTLS_TEST_ALONE";
    const NAME: &str = "cases::accounting::ten_thousand_associations_leave_nothing_behind";
    // Other tests of this process would allocate in between.
    if std::env::var_os(ALONE).is_none() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", NAME]).env(ALONE, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let idle_timeout = Some(Duration::from_secs(60));
    let (capacity, client_capacity) = (CAPACITY, CLIENT_CAPACITY);
    let setup = Setup { capacity, client_capacity, idle_timeout, ..Setup::default() };
    let mut world = World::with_gateway(setup);
    for number in 1..=CLIENTS {
        let address = SocketAddr::from(([198, 51, 100, number], 5000));
        world.add_client(address, Script::new("client"));
    }
    round(&mut world, WARM_UP);
    let before = HEAP.allocated();
    round(&mut world, MEASURED);
    let after = HEAP.allocated();
    assert!(after <= before + SLACK_BYTES, "{before} bytes before, {after} after");
}
