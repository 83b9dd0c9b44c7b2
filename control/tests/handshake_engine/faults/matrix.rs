//! Each datagram of a handshake × each fault: the association comes about all the same, and nobody
//! else's handshake notices.

use std::rc::Rc;

use xdtls_proto::ids::QUARANTINE;

use super::clock::Clock;
use super::end::Packet;
use super::fault::{Fault, Striker};
use super::lab::{DEADLINE, Lab, run};
use super::mode::{FULL, Mode, PSK, RESUMED, SERVER_HELLO, messages};
use crate::World;
use crate::pki::KeyType;

/// What the client and the gateway send each other in a handshake that nothing disturbs.
fn undisturbed(world: &World, mode: &Mode) -> Vec<Packet> {
    let shake = || {
        let clock = Rc::new(Clock::real());
        let meddler = Box::new(|packet| vec![packet]);
        let mut labs = [Lab::new(&clock, (mode.makers)(world), DEADLINE, meddler)];
        run(&mut labs);
        labs
    };
    let [lab] = shake();
    check(lab, &[], "undisturbed");
    let sent = std::mem::take(&mut shake()[0].sent);
    let kinds: Vec<_> = messages(&sent).into_iter().map(|(kind, _)| kind).collect();
    assert!((mode.is_shown_by)(&kinds), "this is no {} handshake: {kinds:?}", mode.name);
    sent
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

fn every_fault_of_every_datagram_leaves_both_clients_with_an_association(mode: &Mode) {
    let world = World::new(KeyType::Ecdsa);
    let handshake = undisturbed(&world, mode);
    let mut hellos = messages(&handshake).into_iter().filter(|(kind, _)| *kind == SERVER_HELLO);
    let (_, server_hello) = hellos.next().unwrap();
    let clock = Rc::new(Clock::real());
    let cases: Vec<_> = (0..handshake.len())
        .flat_map(|at| Fault::ALL.into_iter().map(move |fault| (at, fault)))
        .collect();
    let lab = |(at, fault): &(usize, Fault)| {
        let mut striker = Striker::new(*fault, *at, server_hello.clone());
        let meddler = Box::new(move |packet| striker.strike(packet));
        Lab::new(&clock, (mode.makers)(&world), DEADLINE, meddler)
    };
    let mut labs: Vec<_> = cases.iter().map(lab).collect();
    run(&mut labs);
    for (lab, (at, fault)) in labs.into_iter().zip(cases) {
        let to = if handshake[at].to == lab.gateway.address { "gateway" } else { "client" };
        let struck = if fault == Fault::ReplayLater { &lab.sent[at..=at] } else { &[] }.to_vec();
        check(lab, &struck, &format!("{}, datagram {at}, to the {to}: {fault:?}", mode.name));
    }
}

#[test]
fn handshakes_with_a_pre_shared_key() {
    every_fault_of_every_datagram_leaves_both_clients_with_an_association(&PSK);
}

#[test]
fn resumed_handshakes() {
    every_fault_of_every_datagram_leaves_both_clients_with_an_association(&RESUMED);
}

#[test]
fn full_handshakes() {
    every_fault_of_every_datagram_leaves_both_clients_with_an_association(&FULL);
}
