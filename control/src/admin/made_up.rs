//! Answers of nodes that never were.

use std::collections::BTreeMap;

use crate::admin::{About, Association, BackendStatus, LimitStatus, Page, Status};
use crate::counters::{DropCount, Totals};
use crate::datapath::link::{LinkState, LinkStatus};
use crate::reload::Reloaded;
use crate::trace::Event;
use crate::xsk::XskReport;

fn named<T, const N: usize>(values: [(&str, T); N]) -> BTreeMap<String, T> {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn totals() -> Totals {
    let drops_by_place = named([
        ("unknown_id", DropCount { xdp: 120_000, workers: 34, handshakes: 0 }),
        ("too_big", DropCount { xdp: 0, workers: 3, handshakes: 0 }),
        ("half_open_limit", DropCount { xdp: 0, workers: 0, handshakes: 17 }),
    ]);
    Totals {
        associations: 40_213,
        half_open: 12,
        handshakes_ok: 91_422,
        handshakes_failed: 9,
        handshake_failures: named([("authentication", 2), ("timed_out", 7)]),
        associations_ended: named([("peer_closed", 51_206), ("revoked", 3)]),
        hello_verify_requests: 91_500,
        final_flights_repeated: 3,
        paths_new: 310,
        paths_validated: 302,
        paths_failed: 8,
        handshakes_resumed: 117,
        sessions: 40,
        rekeyed: 21,
        opened: 1_234_567_890,
        opened_bytes: 987_654_321_000,
        sealed: 99_999,
        sealed_bytes: 12_345_678,
        fast_path: 1_234_567_000,
        fast_path_sent: 99_000,
        fast_path_inside: 98_000,
        fast_path_inside_sent: 1_234_000_000,
        overload: 0,
        xdp: named([("handshake", 200_000), ("redirected", 1_234_567_000)]),
        drops: drops_by_place.iter().map(|(name, count)| (name.clone(), count.sum())).collect(),
        drops_by_place,
    }
}

/// A busy gateway.
pub(crate) fn gateway() -> Status {
    let backend = |name: &str, host: u8, failures| BackendStatus {
        name: name.to_owned(),
        address: ([10, 0, 0, host], 9000).into(),
        flows: 20_000,
        failing: failures > 0,
        failures,
    };
    let limit = |name: &str, used, limit| LimitStatus { name: name.to_owned(), used, limit };
    Status {
        about: About {
            version: "0.1.0".to_owned(),
            role: "gateway".to_owned(),
            address: ([203, 0, 113, 7], 4433).into(),
            datapath: "xdp".to_owned(),
            xdp_mode: Some("native".to_owned()),
            zero_copy: Some(true),
            transmit: "xdp".to_owned(),
            datapath_reason: "XDP native on eth0, 4 receive queues for 4 workers; zero-copy"
                .to_owned(),
            inside: Some("xdp".to_owned()),
            inside_reason: Some("what backends send comes in by XDP native on eth1".to_owned()),
            workers: 4,
            handshake_workers: 3,
            max_plaintext: 1427,
        },
        ready: true,
        uptime_s: 266_400,
        totals: totals(),
        af_xdp: Some(XskReport {
            frames: 50_176,
            receiving: 8_192,
            sending: 64,
            held: 0,
            missing: 0,
            rx_ring_full: 7,
            rx_dropped: 0,
            fill_ring_empty: 3,
        }),
        backends: vec![backend("app", 2, 0), backend("telemetry", 3, 41)],
        limits: vec![
            limit("associations", 40_213, 65_536),
            limit("half_open", 12, 1_024),
            limit("backend_flows", 40_000, 65_536),
        ],
        interface: Some(LinkStatus {
            name: "eth0".to_owned(),
            state: LinkState::Up,
            mtu: 1500,
            queues: 4,
        }),
        inside_interface: Some(LinkStatus {
            name: "eth1".to_owned(),
            state: LinkState::Up,
            mtu: 1500,
            queues: 2,
        }),
    }
}

/// A client that has just been started.
pub(crate) fn client() -> Status {
    Status {
        about: About {
            role: "client".to_owned(),
            address: ([127, 0, 0, 1], 5000).into(),
            datapath: "socket".to_owned(),
            xdp_mode: None,
            zero_copy: None,
            datapath_reason: "sockets, because no interface is named for XDP".to_owned(),
            inside: None,
            inside_reason: None,
            workers: 1,
            handshake_workers: 1,
            ..gateway().about
        },
        uptime_s: 3,
        totals: Totals::default(),
        af_xdp: None,
        backends: Vec::new(),
        limits: vec![LimitStatus { name: "associations".to_owned(), used: 0, limit: 1024 }],
        interface: None,
        inside_interface: None,
        ..gateway()
    }
}

/// A page of two.
pub(crate) fn page() -> Page {
    let association = |id: &str, identity: &str, backend: Option<&str>| Association {
        id: id.to_owned(),
        peer_id: "7d0a91c3".to_owned(),
        address: ([198, 51, 100, 4], 40_000).into(),
        new_address: backend.map(|_| ([203, 0, 113, 9], 1024).into()),
        identity: identity.to_owned(),
        backend: backend.map(str::to_owned),
        suite: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".to_owned(),
        age_s: 90_061,
        idle_s: 4,
        opened: 12_345,
        opened_bytes: 1_234_500,
        sealed: 678,
        sealed_bytes: 67_800,
    };
    let long = "one.very.long.name.of.a.sensor.in.the.field.example, another.example";
    Page {
        associations: vec![
            association("000301f4", "a.sensors.example", Some("telemetry")),
            association("00a301f5", long, None),
        ],
        total: 40_213,
        next: Some("00a301f5".to_owned()),
    }
}

/// A reload that changed something.
pub(crate) fn reloaded() -> Reloaded {
    Reloaded {
        changed: vec!["limits.half_open".to_owned(), "rule".to_owned()],
        needs_restart: vec!["gateway.workers".to_owned()],
        dismissed: 3,
    }
}

/// A datagram that was opened.
pub(crate) fn event() -> Event {
    Event {
        at_ms: 12_345,
        place: "worker-1, AF_XDP".to_owned(),
        peer: ([198, 51, 100, 4], 40_000).into(),
        what: "[7d0a91c3][000301f4] data 1:17, 145 bytes → 100 bytes to the inside".to_owned(),
    }
}
