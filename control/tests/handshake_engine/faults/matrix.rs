//! Each datagram of a handshake × each fault: the association comes about all the same, and nobody
//! else's handshake notices.

use std::time::Duration;

use xdtls_common::prefix::PREFIX_LEN;
use xdtls_common::record::content_type::HANDSHAKE;
use xdtls_common::record::{HEADER_LEN, records};
use xdtls_proto::ids::QUARANTINE;

use super::end::Packet;
use super::fault::{Fault, Striker};
use super::lab::{Lab, run};
use crate::World;
use crate::pki::KeyType;

/// What the design gives a handshake by default.
const DEADLINE: Duration = Duration::from_secs(15);

/// What the client and the gateway send each other in a handshake that nothing disturbs.
fn undisturbed(world: &World) -> Vec<Packet> {
    let mut labs = [Lab::new(world, DEADLINE, Box::new(|packet| vec![packet]))];
    run(&mut labs);
    let [lab] = labs;
    check(lab, &[], "undisturbed");
    let mut labs = [Lab::new(world, DEADLINE, Box::new(|packet| vec![packet]))];
    run(&mut labs);
    std::mem::take(&mut labs[0].sent)
}

/// The record of the ServerHello in a handshake.
fn server_hello(handshake: &[Packet]) -> Vec<u8> {
    const SERVER_HELLO: u8 = 2;
    let is_server_hello = |bytes: &[u8]| {
        bytes[PREFIX_LEN] == HANDSHAKE && bytes[PREFIX_LEN + HEADER_LEN] == SERVER_HELLO
    };
    let packet = handshake.iter().find(|packet| is_server_hello(&packet.bytes)).unwrap();
    let (_, range) = records(&packet.bytes[PREFIX_LEN..]).next().unwrap().unwrap();
    packet.bytes[PREFIX_LEN..][range].to_vec()
}

/// Both clients have an association that carries data both ways, once, also after `replayed` has
/// arrived again; whatever else was begun has failed at its deadline, and nothing is left.
fn check(mut lab: Lab, replayed: &[Packet], case: &str) {
    for end in [&lab.client, &lab.neighbour] {
        let outcomes: Vec<_> = end.journal.ended.iter().map(|ended| &ended.outcome).collect();
        assert_eq!(outcomes, [&Ok(())], "{case}");
    }
    let neighbour = &lab.neighbour.journal;
    assert_eq!((neighbour.retries.len(), neighbour.drops.len()), (0, 0), "{case}");
    replayed.iter().for_each(|packet| lab.inject(packet.clone()));
    let now = lab.now();
    lab.client.send(now, b"of the client");
    lab.neighbour.send(now, b"of the neighbour");
    lab.settle();
    lab.gateway.journal.plaintext.sort();
    assert_eq!(
        lab.gateway.journal.plaintext,
        [&b"of the client"[..], b"of the neighbour"],
        "{case}"
    );
    assert_eq!(lab.gateway.established(), 2, "{case}");

    lab.skip(DEADLINE);
    assert!(lab.gateway.journal.half_open.is_empty(), "{case}");
    let gateway = &lab.gateway.journal;
    let succeeded = gateway.ended.iter().filter(|ended| ended.outcome.is_ok()).count();
    assert_eq!((succeeded, gateway.installed.len()), (2, 2), "{case}");
    let now = lab.now();
    lab.client.close(now);
    lab.neighbour.close(now);
    lab.settle();
    assert_eq!((lab.gateway.established(), lab.gateway.journal.closed.len()), (0, 2), "{case}");
    lab.skip(QUARANTINE);
    assert_eq!(lab.gateway.handshake_deadline(), None, "{case}: something is pending");
}

#[test]
fn every_fault_of_every_datagram_leaves_both_clients_with_an_association() {
    let world = World::new(KeyType::Ecdsa);
    let handshake = undisturbed(&world);
    assert!(handshake.len() >= 6, "{} datagrams", handshake.len());
    let server_hello = server_hello(&handshake);
    let cases: Vec<_> = (0..handshake.len())
        .flat_map(|at| Fault::ALL.into_iter().map(move |fault| (at, fault)))
        .collect();
    let lab = |(at, fault): &(usize, Fault)| {
        let mut striker = Striker::new(*fault, *at, server_hello.clone());
        Lab::new(&world, DEADLINE, Box::new(move |packet| striker.strike(packet)))
    };
    let mut labs: Vec<_> = cases.iter().map(lab).collect();
    run(&mut labs);
    for (lab, (at, fault)) in labs.into_iter().zip(cases) {
        let to = if handshake[at].to == lab.gateway.address { "gateway" } else { "client" };
        let struck = if fault == Fault::ReplayLater { &lab.sent[at..=at] } else { &[] }.to_vec();
        check(lab, &struck, &format!("datagram {at}, to the {to}: {fault:?}"));
    }
}
