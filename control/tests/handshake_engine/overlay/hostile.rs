//! A relay that does its worst. What it cannot do, docs/threat-model.md promises.

use std::net::SocketAddr;
use std::time::Duration;

use xdtls_common::DropReason;
use xdtls_common::prefix::PREFIX_LEN;
use xdtls_proto::association::CloseCause;
use xdtls_proto::overlay::Event;
use xdtls_proto::paths::PathChange;

use super::relay::Packet;
use super::scene::{Scene, gateway_name};

/// Nobody is there but the relay itself.
fn nowhere() -> SocketAddr {
    "[fd00::bad]:666".parse().unwrap()
}

fn changes(events: &[Event]) -> Vec<PathChange> {
    let change = |event: &Event| match event {
        Event::Path(_, change) => Some(*change),
        _ => None,
    };
    events.iter().filter_map(change).collect()
}

/// Both associations are there, and data passes both ways.
fn unharmed(scene: &mut Scene) {
    let before: Vec<_> = scene.clients.iter().map(|client| client.received().len()).collect();
    let at_gateway = scene.gateway.received().len();
    scene.meddle(|packet| vec![packet]);
    scene.client_sends(0, b"still here");
    scene.client_sends(1, b"still here");
    scene.gateway_sends(b"and here");
    assert_eq!(scene.gateway.received().len(), at_gateway + 2);
    for (client, before) in scene.clients.iter().zip(before) {
        assert_eq!(client.received().len(), before + 1);
    }
    assert_eq!(scene.gateway.driver.established(), 2);
}

#[test]
fn what_it_replays_and_reorders_is_delivered_once() {
    let mut scene = Scene::established();
    scene.meddle(|_| Vec::new());
    (0..100_u8).for_each(|number| scene.client_sends(0, &[number]));
    let seen = scene.take_seen();
    assert_eq!(seen.len(), 100);
    for packet in seen.iter().rev().chain(&seen).chain(seen.iter().rev()) {
        scene.inject(packet.clone());
    }
    let backwards: Vec<_> = (0..100_u8).rev().map(|number| [number]).collect();
    assert_eq!(scene.gateway.received(), backwards);
    assert_eq!(scene.gateway.dropped(DropReason::Replayed), 200);
    unharmed(&mut scene);
}

#[test]
fn what_it_holds_back_is_late_or_too_old() {
    let mut scene = Scene::established();
    scene.meddle(|_| Vec::new());
    scene.client_sends(0, b"held back for long");
    scene.client_sends(0, b"held back");
    let held = scene.take_seen();
    scene.meddle(|packet| vec![packet]);
    (0..1023).for_each(|_| scene.client_sends(0, b""));
    held.into_iter().rev().for_each(|packet| scene.inject(packet));
    assert_eq!(scene.gateway.received()[1023..], [b"held back"]);
    assert_eq!(scene.gateway.dropped(DropReason::TooOld), 1);
    unharmed(&mut scene);
}

#[test]
fn spliced_ids_and_altered_bytes_reach_nobody() {
    let mut scene = Scene::established();
    scene.meddle(|_| Vec::new());
    scene.client_sends(0, b"one");
    scene.client_sends(1, b"two");
    let [one, two] = &scene.take_seen()[..] else { panic!("two datagrams") };
    let joined = |prefix: &Packet, records: &Packet| {
        let bytes = [&prefix.bytes[..PREFIX_LEN], &records.bytes[PREFIX_LEN..]].concat();
        Packet { bytes, ..prefix.clone() }
    };
    // One association's ids before the other's record, and one id of each.
    scene.inject(joined(one, two));
    scene.inject(joined(two, one));
    let crossed = [&one.bytes[..4], &two.bytes[4..]].concat();
    scene.inject(Packet { bytes: crossed, ..one.clone() });
    assert_eq!(scene.gateway.dropped(DropReason::NotAuthentic), 2);
    assert_eq!(scene.gateway.dropped(DropReason::WrongPeerId), 1);
    for at in PREFIX_LEN..one.bytes.len() {
        let mut bytes = one.bytes.clone();
        bytes[at] ^= 1;
        scene.inject(Packet { bytes, ..one.clone() });
    }
    // Back to who has sent it.
    scene.inject(Packet { from: gateway_name(), to: one.from, bytes: one.bytes.clone() });
    assert!(scene.gateway.received().is_empty() && scene.clients[0].received().is_empty());
    unharmed(&mut scene);
}

#[test]
fn what_it_forges_ends_nothing() {
    let mut scene = Scene::established();
    scene.client_sends(0, b"prefixes are there for all to see");
    let seen = scene.take_seen().remove(0);
    let forged = |kind: u8, epoch: u8, body: &[u8]| {
        let header = [kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0xff, 0xff, 0, body.len() as u8];
        [&seen.bytes[..PREFIX_LEN], &header, body].concat()
    };
    for bytes in [
        forged(21, 0, &[2, 40]),
        forged(21, 0, &[1, 0]),
        forged(21, 1, &[2, 40]),
        forged(21, 1, &[0; 40]),
        forged(22, 0, &[1; 60]),
        forged(22, 1, &[0; 60]),
        forged(23, 1, &[0; 60]),
        forged(27, 1, &[0; 46]),
        seen.bytes[..PREFIX_LEN].to_vec(),
        Vec::new(),
    ] {
        scene.inject(Packet { bytes, ..seen.clone() });
    }
    let ended = |event: &Event| matches!(event, Event::Closed(..));
    assert!(!scene.gateway.events.iter().any(ended));
    unharmed(&mut scene);
}

/// The relay says that everything of client 0 comes from somewhere else, where nobody is.
#[test]
fn what_it_redirects_goes_astray_for_a_moment_and_never_amplified() {
    let mut scene = Scene::established();
    let client = scene.clients[0].port.name;
    scene.meddle(move |packet| {
        let from = if packet.from == client { nowhere() } else { packet.from };
        vec![Packet { from, ..packet }]
    });
    let mut sent = 0;
    for _ in 0..100 {
        scene.client_sends(0, &[7; 50]);
        scene.gateway_sends(&[7; 1000]);
        scene.skip(Duration::from_millis(200));
        sent += 50 + 37;
    }
    let seen = scene.take_seen();
    let astray = seen.iter().filter(|packet| packet.to == nowhere());
    let astray: usize = astray.map(|packet| packet.bytes.len()).sum();
    assert!(astray > 0 && astray <= 3 * sent, "{astray} bytes for {sent}");
    // Of 20 s it diverts answers for the first 3, until it has proved a liar.
    let answers = scene.clients[0].received().len();
    assert!((80..100).contains(&answers), "{answers}");
    assert!(changes(&scene.gateway.events).contains(&PathChange::Failed));
    unharmed(&mut scene);
}

/// The relay is faster than the network: each datagram comes from elsewhere before it comes from
/// its sender.
#[test]
fn a_race_against_the_network_is_won_once() {
    let mut scene = Scene::established();
    let client = scene.clients[0].port.name;
    scene.meddle(move |packet| {
        let copy = Packet { from: nowhere(), ..packet.clone() };
        if packet.from == client { vec![copy, packet] } else { vec![packet] }
    });
    for _ in 0..100 {
        scene.client_sends(0, &[7; 400]);
        scene.gateway_sends(&[7; 100]);
        scene.skip(Duration::from_millis(100));
    }
    // Its copies are delivered in their stead, and only once.
    assert_eq!(scene.gateway.received().len(), 100);
    let answers = scene.clients[0].received().len();
    assert!((65..100).contains(&answers), "{answers}");
    unharmed(&mut scene);
}

/// Whoever relays everything, challenges too, becomes the path, as a router is. It can still neither
/// read nor forge, and loses its place with the next datagram that goes past it.
#[test]
fn who_relays_challenges_too_is_a_path_like_any_other() {
    let mut scene = Scene::established();
    let client = scene.clients[0].port.name;
    scene.meddle(move |packet| {
        let there = packet.from == client;
        let from = if there { nowhere() } else { packet.from };
        let to = if packet.to == nowhere() { client } else { packet.to };
        vec![Packet { from, to, ..packet }]
    });
    scene.client_sends(0, b"by way of the relay");
    scene.gateway_sends(b"back by the same way");
    assert_eq!(changes(&scene.gateway.events), [PathChange::New, PathChange::Validated]);
    assert_eq!(scene.clients[0].received().len(), 1);
    unharmed(&mut scene);
    let back = [PathChange::New, PathChange::Validated];
    assert_eq!(changes(&scene.gateway.events), [back, back].concat());
}

/// No association comes about whose negotiation the relay has altered.
#[test]
fn it_cannot_weaken_what_is_negotiated() {
    type Alteration = fn(&mut Vec<u8>);
    let alterations: [Alteration; 3] = [
        // The first suite of the client's list becomes one that is weaker and known.
        |bytes| replace(bytes, &[0xc0, 0x2c], &[0xc0, 0x2b]),
        // The extended master secret becomes an extension that nobody knows.
        |bytes| replace(bytes, &[0, 23, 0, 0], &[0x7a, 0x7a, 0, 0]),
        // So does the xdtls extension, without which nobody checks return routability.
        |bytes| replace(bytes, &[0xff, 0x58, 0, 2], &[0x7a, 0x7a, 0, 2]),
    ];
    for alter in alterations {
        let mut scene = Scene::with_patience(Duration::from_secs(2));
        let mut altered = 0;
        scene.meddle(move |mut packet| {
            let before = packet.bytes.clone();
            // Handshake messages of epoch 0 only: ClientHello in both its forms.
            if packet.to == gateway_name() && packet.bytes.get(PREFIX_LEN + 13) == Some(&1) {
                alter(&mut packet.bytes);
                altered += usize::from(packet.bytes != before);
                assert!(altered > 0, "there was nothing to be altered");
            }
            vec![packet]
        });
        scene.open(0);
        let failed = |scene: &Scene| {
            scene.clients[0].events.iter().any(|event| matches!(event, Event::Failed { .. }))
        };
        scene.run_until(failed);
        assert!(scene.clients[0].ids.is_empty() && scene.gateway.ids.is_empty());
    }
}

fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    if let Some(at) = bytes.windows(old.len()).position(|window| window == old) {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
}

/// What a client closes stays closed, whatever is replayed.
#[test]
fn an_ended_association_does_not_come_back() {
    let mut scene = Scene::established();
    scene.client_sends(0, b"data");
    let now = scene.now();
    let id = scene.clients[0].ids[0];
    scene.clients[0].driver.close(now, id);
    scene.settle();
    let closed = |event: &Event| matches!(event, Event::Closed(_, CloseCause::PeerClosed));
    assert!(scene.gateway.events.iter().any(closed));
    for packet in scene.take_seen() {
        scene.inject(packet);
    }
    assert_eq!(scene.gateway.driver.established(), 1);
    assert_eq!(scene.gateway.received().len(), 1);
}
