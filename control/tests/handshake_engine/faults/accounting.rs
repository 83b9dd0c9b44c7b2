//! Ten thousand associations opened and closed with OpenSSL: neither its heap nor ours keeps anything of them.

use std::rc::Rc;

use xdtls_proto::ids::QUARANTINE;

use super::clock::alone;
use super::end::Journal;
use super::lab::{DEADLINE, Lab, run};
use super::mode::FULL;
use crate::World;
use crate::pki::KeyType;

/// Rounds after which caches and collections have the size that they need.
const WARM_UP: u32 = 200;

/// Rounds that are measured, of two associations each.
const MEASURED: u32 = 5_000;

/// What caches may differ by: less than any allocation would be that each association leaves.
const SLACK_BYTES: i64 = 64 << 10;

/// Two clients open an association each, use and close it, and all ids rest.
fn round(lab: &mut Lab) {
    run(std::slice::from_mut(lab));
    let now = lab.now();
    lab.client.send(now, b"of the client");
    lab.neighbour.send(now, b"of the neighbour");
    lab.settle();
    assert_eq!((lab.gateway.journal.plaintext.len(), lab.gateway.established()), (2, 2));
    lab.client.close(now);
    lab.neighbour.close(now);
    lab.settle();
    lab.skip(QUARANTINE + DEADLINE);
    for end in [&mut lab.gateway, &mut lab.client, &mut lab.neighbour] {
        assert_eq!((end.established(), end.handshake_deadline()), (0, None));
        end.journal = Journal::default();
    }
    lab.sent = Vec::new();
}

#[test]
fn ten_thousand_associations_leave_nothing_on_any_heap() {
    const NAME: &str = "faults::accounting::ten_thousand_associations_leave_nothing_on_any_heap";
    alone(NAME, |clock| {
        let (world, clock) = (World::new(KeyType::Ecdsa), Rc::new(clock));
        let meddler = Box::new(|packet| vec![packet]);
        let mut lab = Lab::new(&clock, (FULL.makers)(&world), DEADLINE, meddler);
        (0..WARM_UP).for_each(|_| round(&mut lab));
        let before = clock.heap_bytes();
        (0..MEASURED).for_each(|_| round(&mut lab));
        let after = clock.heap_bytes();
        assert!(before > 0 && after <= before + SLACK_BYTES, "{before} before, {after} after");
    });
}
