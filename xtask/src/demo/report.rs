//! What the demo has seen, whether it is right, and the JSON line.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use xdtls_common::DropReason;

/// What a client's own flights are dropped for when they come once more. A client that has had no
/// answer for 400 ms repeats its flight, and on a busy machine the answer may be that late. No bad
/// packet of ours has these reasons.
const REPETITIONS: [DropReason; 4] = [
    DropReason::HandshakeReplayed,
    DropReason::WrongEpoch,
    DropReason::StaleHandshake,
    DropReason::RateLimited,
];

/// Drops by reason.
pub(super) type Drops = BTreeMap<String, u64>;

/// What `udp-probe` reports: it plays the local programs.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Probed {
    pub(super) sent: u64,
    pub(super) bytes_sent: u64,
    pub(super) echoed: u64,
    pub(super) bytes_echoed: u64,
    pub(super) lost: u64,
    pub(super) altered: u64,
    pub(super) unexpected: u64,
}

/// What `udp-echo` reports: it plays the backend.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Echoed {
    pub(super) received: u64,
    pub(super) bytes: u64,
}

/// What `xdtls status` says of the gateway.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Status {
    pub(super) datapath: Option<String>,
    pub(super) xdp_mode: Option<String>,
    /// Datagrams that the gateway's AF_XDP sockets have received.
    pub(super) fast_path: u64,
    pub(super) handshakes_ok: u64,
    pub(super) handshakes_failed: u64,
    pub(super) opened: u64,
    pub(super) opened_bytes: u64,
    pub(super) sealed: u64,
    pub(super) sealed_bytes: u64,
    pub(super) drops: Drops,
}

/// Everything that the demo has seen, as far as it has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// How many datagrams were to be sent.
    pub(super) packets: u64,
    /// By how many local programs.
    pub(super) programs: u64,
    /// The datapath that was asked for.
    pub(super) asked: String,
    /// The gateway's own words on how packets travel.
    pub(super) chosen: Option<String>,
    pub(super) probed: Probed,
    pub(super) echoed: Echoed,
    pub(super) status: Status,
    /// The bad packets that were sent, by the reason that they must be dropped for.
    pub(super) bad_packets: Drops,
    pub(super) elapsed: Duration,
    /// What went wrong; empty if nothing did.
    pub(super) faults: Vec<String>,
}

impl Report {
    /// Whether the demo has done all that it set out to do, with every byte right.
    pub(super) fn is_ok(&self) -> bool {
        self.faults.is_empty()
    }

    /// Compares all counts. To be called once everything has been sent and counted.
    pub(super) fn judge(&mut self) {
        let Self { packets, programs, probed, echoed, status, .. } = &*self;
        let (sent, bytes) = (probed.sent, probed.bytes_sent);
        let equal = [
            ("datagrams sent", sent, *packets),
            ("datagrams that came back", probed.echoed, sent),
            ("bytes that came back", probed.bytes_echoed, bytes),
            ("lost datagrams", probed.lost, 0),
            ("altered datagrams", probed.altered, 0),
            ("datagrams in answer to nothing", probed.unexpected, 0),
            ("datagrams that the gateway opened", status.opened, sent),
            ("bytes that the gateway opened", status.opened_bytes, bytes),
            ("datagrams that the backend received", echoed.received, sent),
            ("bytes that the backend received", echoed.bytes, bytes),
            ("datagrams that the gateway sealed", status.sealed, sent),
            ("bytes that the gateway sealed", status.sealed_bytes, bytes),
            ("handshakes", status.handshakes_ok, *programs),
            ("failed handshakes", status.handshakes_failed, 0),
        ];
        let wrong = equal.iter().filter(|(_, found, expected)| found != expected);
        let mut faults: Vec<_> = wrong
            .map(|(what, found, expected)| format!("{what}: {found}, not {expected}"))
            .collect();
        faults.extend(drop_faults(&self.bad_packets, &status.drops));
        self.faults.extend(faults);
    }

    /// Which part of the application's datagrams came to the gateway through AF_XDP.
    pub(super) fn fast_path_share(&self) -> f64 {
        match self.probed.sent {
            0 => 0.0,
            sent => self.status.fast_path as f64 / sent as f64,
        }
    }

    /// The line for programs.
    pub(super) fn json(&self) -> Value {
        let Self { probed, status, .. } = self;
        json!({
            "ok": self.is_ok(),
            "datapath": status.datapath,
            "xdp_mode": status.xdp_mode,
            "handshakes_ok": status.handshakes_ok,
            "packets_sent": probed.sent,
            "packets_echoed": probed.echoed,
            "bytes_sent": probed.bytes_sent,
            "bytes_echoed": probed.bytes_echoed,
            "fast_path_share": self.fast_path_share(),
            "bad_packets": self.bad_packets,
            "drops": status.drops,
            "elapsed_s": self.elapsed.as_secs_f64(),
            "faults": self.faults,
        })
    }
}

/// Whether a drop for this reason may be the repetition of a good flight.
pub(super) fn is_repetition(reason: &str) -> bool {
    REPETITIONS.iter().any(|repetition| repetition.as_str() == reason)
}

/// Where the gateway's drops are not those of the bad packets: it must have dropped each of them
/// for its own reason, and besides nothing but repetitions.
pub(super) fn drop_faults(bad_packets: &Drops, drops: &Drops) -> Vec<String> {
    let count = |of: &Drops, reason| of.get(reason).copied().unwrap_or(0);
    let reasons = all_reasons(bad_packets, drops).filter(|reason| !is_repetition(reason));
    let counts = reasons.map(|it| (it, count(drops, it), count(bad_packets, it)));
    let wrong = counts.filter(|(_, dropped, sent)| dropped != sent);
    wrong.map(|(it, dropped, sent)| format!("dropped as {it}: {dropped}, not {sent}")).collect()
}

/// The reasons that occur in either, each once.
pub(super) fn all_reasons<'a>(left: &'a Drops, right: &'a Drops) -> impl Iterator<Item = &'a str> {
    let more = right.keys().filter(|reason| !left.contains_key(*reason));
    left.keys().chain(more).map(String::as_str)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn good() -> Report {
        let bad_packets = Drops::from([("too_short".to_owned(), 3), ("unknown_id".to_owned(), 2)]);
        let status = Status {
            datapath: Some("socket".into()),
            handshakes_ok: 8,
            opened: 20,
            opened_bytes: 900,
            sealed: 20,
            sealed_bytes: 900,
            drops: bad_packets.clone(),
            ..Status::default()
        };
        let probed = Probed {
            sent: 20,
            bytes_sent: 900,
            echoed: 20,
            bytes_echoed: 900,
            ..Probed::default()
        };
        Report {
            packets: 20,
            programs: 8,
            asked: "auto".into(),
            chosen: Some("gateway is ready; datapath socket".into()),
            probed,
            echoed: Echoed { received: 20, bytes: 900 },
            status,
            bad_packets,
            elapsed: Duration::from_millis(1_250),
            faults: Vec::new(),
        }
    }

    fn faults(mut report: Report) -> Vec<String> {
        report.judge();
        assert_eq!(report.is_ok(), report.faults.is_empty());
        report.faults
    }

    #[test]
    fn a_run_without_fault_is_ok() {
        assert_eq!(faults(good()), [""; 0]);
    }

    #[test]
    fn each_count_matters() {
        let changes: [fn(&mut Report); 9] = [
            |report| report.packets += 1,
            |report| report.probed.echoed -= 1,
            |report| report.probed.bytes_echoed -= 1,
            |report| report.probed.altered += 1,
            |report| report.probed.unexpected += 1,
            |report| report.echoed.received += 1,
            |report| report.status.sealed_bytes += 1,
            |report| report.status.handshakes_ok -= 1,
            |report| report.status.handshakes_failed += 1,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut report = good();
            change(&mut report);
            assert_eq!(faults(report).len(), 1, "change {index}");
        }
    }

    #[test]
    fn drops_are_those_of_the_bad_packets_and_no_others() {
        let mut report = good();
        report.status.drops =
            Drops::from([("too_short".to_owned(), 4), ("not_authentic".to_owned(), 1)]);
        let expected = [
            "dropped as too_short: 4, not 3",
            "dropped as unknown_id: 0, not 2",
            "dropped as not_authentic: 1, not 0",
        ];
        assert_eq!(faults(report), expected);
    }

    #[test]
    fn a_client_may_repeat_its_flights() {
        let mut report = good();
        report.status.drops.insert("wrong_epoch".into(), 4);
        assert_eq!(faults(report), [""; 0]);
    }

    #[test]
    fn json_has_what_is_promised() {
        let line = good().json();
        assert_eq!(line["ok"], true);
        assert_eq!(line["datapath"], "socket");
        assert_eq!(line["xdp_mode"], Value::Null);
        assert_eq!(line["handshakes_ok"], 8);
        assert_eq!((&line["packets_sent"], &line["packets_echoed"]), (&json!(20), &json!(20)));
        assert_eq!(line["fast_path_share"], 0.0);
        assert_eq!(line["drops"], json!({ "too_short": 3, "unknown_id": 2 }));
        assert!(!line.to_string().contains('\n'));
    }

    #[test]
    fn the_share_of_the_fast_path_is_of_what_was_sent() {
        let mut report = good();
        report.status.fast_path = 19;
        assert_eq!(report.json()["fast_path_share"], 0.95);
        assert_eq!(Report::default().fast_path_share(), 0.0);
    }
}
