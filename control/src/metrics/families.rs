//! Which metrics there are: their names, labels, meanings, and where in a status their values stand.

use xdtls_common::{DropReason, Outcome};
use xdtls_proto::association::CloseCause;
use xdtls_proto::failure::FailureClass;

use crate::admin::{BackendStatus, Status};
use crate::counters::DropCount;

/// Whether a value only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// One value with the values of its labels.
pub(super) struct Sample {
    pub(super) labels: Vec<String>,
    pub(super) value: u64,
}

/// One metric.
pub(super) struct Family {
    /// Without the suffix `_total` that counters get.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) samples: fn(&Status) -> Vec<Sample>,
}

macro_rules! family {
    ($kind:ident $name:literal, $help:literal, $value:expr) => {
        Family {
            name: $name,
            kind: Kind::$kind,
            labels: &[],
            help: $help,
            samples: |status| {
                let value: fn(&Status) -> u64 = $value;
                vec![Sample { labels: Vec::new(), value: value(status) }]
            },
        }
    };
    ($kind:ident $name:literal $labels:expr, $help:literal, $samples:expr) => {
        Family { name: $name, kind: Kind::$kind, labels: &$labels, help: $help, samples: $samples }
    };
}

/// Every metric, in the order in which they are shown.
pub(super) const FAMILIES: &[Family] = &[
    family!(Gauge "xdtls_node" ["version", "role", "datapath", "xdp_mode"],
        "Always 1; the labels say what runs", node),
    family!(Gauge "xdtls_ready", "Whether new associations are taken", |s| s.ready.into()),
    family!(Gauge "xdtls_uptime_seconds", "Time since the start", |s| s.uptime_s),
    family!(Gauge "xdtls_associations", "Associations established now", |s| s.totals.associations),
    family!(Gauge "xdtls_half_open", "Associations in a handshake now", |s| s.totals.half_open),
    family!(Gauge "xdtls_overload", "Handshake threads that are overloaded now",
        |s| s.totals.overload),
    family!(Gauge "xdtls_limit" ["limit"], "What is bounded by the configuration", limits),
    family!(Counter "xdtls_handshakes_ok", "Handshakes that succeeded", |s| s.totals.handshakes_ok),
    family!(Counter "xdtls_handshakes_resumed",
        "Those among them that continued an earlier session", |s| s.totals.handshakes_resumed),
    family!(Gauge "xdtls_sessions", "Sessions that can be continued now", |s| s.totals.sessions),
    family!(Counter "xdtls_rekeyed_associations",
        "Associations that others with new keys have replaced", |s| s.totals.rekeyed),
    family!(Counter "xdtls_handshakes_failed" ["class"], "Handshakes that failed", failures),
    family!(Counter "xdtls_associations_ended" ["cause"], "Associations that have ended", ended),
    family!(Counter "xdtls_hello_verify_requests", "HelloVerifyRequests sent, by the XDP program and by workers",
        |s| s.totals.hello_verify_requests),
    family!(Counter "xdtls_final_flights_repeated", "Final flights sent again",
        |s| s.totals.final_flights_repeated),
    family!(Counter "xdtls_paths" ["outcome"],
        "New addresses of established associations' peers, and what became of them", paths),
    family!(Counter "xdtls_opened_datagrams", "Plaintext datagrams, outside to inside",
        |s| s.totals.opened),
    family!(Counter "xdtls_opened_bytes", "Their bytes", |s| s.totals.opened_bytes),
    family!(Counter "xdtls_sealed_datagrams", "Plaintext datagrams, inside to outside",
        |s| s.totals.sealed),
    family!(Counter "xdtls_sealed_bytes", "Their bytes", |s| s.totals.sealed_bytes),
    family!(Counter "xdtls_af_xdp_datagrams", "Datagrams of the outside received by AF_XDP",
        |s| s.totals.fast_path),
    family!(Counter "xdtls_af_xdp_sent_datagrams", "Datagrams to the outside sent by AF_XDP",
        |s| s.totals.fast_path_sent),
    family!(Counter "xdtls_af_xdp_backend_datagrams", "Datagrams of backends received by AF_XDP",
        |s| s.totals.fast_path_inside),
    family!(Counter "xdtls_af_xdp_backend_sent_datagrams", "Datagrams to backends sent by AF_XDP",
        |s| s.totals.fast_path_inside_sent),
    family!(Counter "xdtls_xdp_packets" ["outcome"],
        "Packets that the outside's XDP program did not drop, by what became of them", outcomes),
    family!(Counter "xdtls_drops" ["reason", "place"],
        "What went no further; drops.md explains the reasons", drops),
    family!(Gauge "xdtls_backend_flows" ["backend"], "Flows to a backend now",
        |s| backends(s, |backend| backend.flows)),
    family!(Gauge "xdtls_backend_failing" ["backend"],
        "Whether a datagram could not be sent to a backend within the last ten seconds",
        |s| backends(s, |backend| backend.failing.into())),
    family!(Counter "xdtls_backend_failures" ["backend"],
        "Datagrams that a backend has not taken, as far as the kernel tells",
        |s| backends(s, |backend| backend.failures)),
];

fn sample(label: &str, value: u64) -> Sample {
    Sample { labels: vec![label.to_owned()], value }
}

fn node(status: &Status) -> Vec<Sample> {
    let about = &status.about;
    let mode = about.xdp_mode.clone().unwrap_or_else(|| "none".to_owned());
    let labels = vec![about.version.clone(), about.role.clone(), about.datapath.clone(), mode];
    vec![Sample { labels, value: 1 }]
}

fn limits(status: &Status) -> Vec<Sample> {
    status.limits.iter().map(|limit| sample(&limit.name, limit.limit)).collect()
}

fn failures(status: &Status) -> Vec<Sample> {
    let failures = &status.totals.handshake_failures;
    let count = |class: FailureClass| failures.get(class.as_str()).copied().unwrap_or(0);
    FailureClass::ALL.iter().map(|class| sample(class.as_str(), count(*class))).collect()
}

fn ended(status: &Status) -> Vec<Sample> {
    let count = |cause: &str| status.totals.associations_ended.get(cause).copied().unwrap_or(0);
    CloseCause::LABELS.iter().map(|cause| sample(cause, count(cause))).collect()
}

fn paths(status: &Status) -> Vec<Sample> {
    let totals = &status.totals;
    vec![
        sample("new", totals.paths_new),
        sample("validated", totals.paths_validated),
        sample("failed", totals.paths_failed),
    ]
}

fn outcomes(status: &Status) -> Vec<Sample> {
    let count = |outcome: &Outcome| status.totals.xdp.get(outcome.as_str()).copied().unwrap_or(0);
    Outcome::ALL.iter().map(|outcome| sample(outcome.as_str(), count(outcome))).collect()
}

fn drops(status: &Status) -> Vec<Sample> {
    let drops = &status.totals.drops_by_place;
    let of_reason = |reason: &DropReason| {
        let DropCount { xdp, workers, handshakes } =
            drops.get(reason.as_str()).copied().unwrap_or_default();
        let places = [("xdp", xdp), ("workers", workers), ("handshakes", handshakes)];
        let reason = reason.as_str().to_owned();
        places.map(|(place, value)| Sample { labels: vec![reason.clone(), place.into()], value })
    };
    DropReason::ALL.iter().flat_map(of_reason).collect()
}

fn backends(status: &Status, value: fn(&BackendStatus) -> u64) -> Vec<Sample> {
    status.backends.iter().map(|backend| sample(&backend.name, value(backend))).collect()
}
