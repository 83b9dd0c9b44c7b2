//! A relay that loses, doubles and reorders, and one that gives an end another name.

use std::collections::HashSet;

use xdtls_proto::overlay::Event;
use xdtls_proto::paths::PathChange;

use super::scene::Scene;

/// Datagrams each way.
const COUNT: u16 = 300;

/// A stream of numbers that is the same each time (SplitMix64).
fn numbers(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word ^ word >> 27
    }
}

#[test]
fn associations_come_about_and_work_over_a_lossy_relay() {
    let (mut scene, mut number) = (Scene::new(), numbers(1));
    let mut held = Vec::new();
    scene.meddle(move |packet| match number() % 10 {
        0 | 1 => Vec::new(),
        2 => vec![packet.clone(), packet],
        3 => {
            held.push(packet);
            Vec::new()
        }
        // What was held comes behind it.
        _ => std::iter::once(packet).chain(held.drain(..)).collect(),
    });
    scene.open(0);
    scene.open(1);
    scene.run_until(|scene| scene.clients.iter().all(|client| client.ids.len() == 1));
    scene.run_until(|scene| scene.gateway.ids.len() >= 2);
    for serial in 0..COUNT {
        scene.client_sends(0, &serial.to_be_bytes());
        scene.gateway_sends(&serial.to_be_bytes());
    }
    for end in [scene.gateway.received(), scene.clients[0].received()] {
        let different: HashSet<_> = end.iter().collect();
        assert_eq!(different.len(), end.len(), "something has come twice");
        assert!(end.len() > usize::from(COUNT) / 2 && end.len() < usize::from(COUNT));
        assert!(end.iter().all(|bytes| bytes.len() == 2), "something has been altered");
    }
}

#[test]
fn an_end_that_gets_another_name_keeps_its_association() {
    let mut scene = Scene::established();
    let name = "[fd00::2]:77".parse().unwrap();
    scene.clients[0].port.name = name;
    scene.client_sends(0, b"it is still me");
    scene.gateway_sends(b"welcome");
    let changes = scene.gateway.events.iter().filter_map(|event| match event {
        Event::Path(_, change) => Some(*change),
        _ => None,
    });
    assert!(changes.eq([PathChange::New, PathChange::Validated]));
    assert_eq!(scene.clients[0].received(), [b"welcome"]);
    assert_eq!(scene.clients[1].received(), [b"welcome"]);
}
