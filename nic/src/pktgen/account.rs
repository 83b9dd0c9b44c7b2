//! What became of what was sent: each packet under one name, and none under "other".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Profile;
use super::counters::{Counters, Snapshot};

/// Reasons of drops that lie behind the opening of a record, or have nothing to do with receiving.
const AFTER_OPENING: [&str; 8] = [
    "too_big",
    "key_limit",
    "connect_queue_full",
    "local_limit",
    "connect_failed",
    "flow_limit",
    "inside_send",
    "outside_send",
];

/// The fates of all packets of a run. The names of losses begin with `lost`, then say where:
/// `lost at sender`, `at card`, `at ring` or `at socket`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Account {
    /// Packets sent.
    pub sent: u64,
    /// Packets that the gateway's XDP program has seen.
    pub received: u64,
    /// What became of them, by name; names with nothing under them are left out.
    pub fates: BTreeMap<String, u64>,
    /// What is missing in the sum, or below 0 what is too many.
    pub unaccounted: i64,
}

impl Account {
    /// Of `sent` packets, by what was counted before and after.
    pub(super) fn of(profile: Profile, sent: u64, before: &Snapshot, after: &Snapshot) -> Self {
        let change = |path: &[&str]| after.status(path).saturating_sub(before.status(path));
        let went_on = outcomes(after).map(|outcome| change(&["xdp", outcome])).sum::<u64>();
        let reasons = names(after, "drops_by_place");
        let dropped = reasons.map(|reason| change(&["drops_by_place", reason, "xdp"])).sum::<u64>();
        let received = went_on + dropped;
        let mut account = Self { sent, received, ..Self::default() };
        account.lose("sender", &before.sender, &after.sender);
        account.lose_at_card(before, after, dropped);
        for reason in names(after, "drops_by_place") {
            let place = |place| change(&["drops_by_place", reason, place]);
            let mut dropped = place("xdp");
            if profile == Profile::Records && !AFTER_OPENING.contains(&reason) {
                dropped += place("workers") + place("handshakes");
            }
            account.name(format!("dropped: {reason}"), dropped);
        }
        let socket = after.socket.saturating_sub(before.socket);
        let ring = change(&["af_xdp", "rx_ring_full"]);
        let no_frame = change(&["af_xdp", "rx_dropped"]);
        account.name("lost at ring: rx_ring_full".to_owned(), ring);
        account.name("lost at ring: rx_dropped".to_owned(), no_frame);
        account.name("lost at socket: drops".to_owned(), socket);
        if profile == Profile::Records {
            account.name("opened".to_owned(), change(&["opened"]));
        } else {
            account.follow(&change, outcomes(after), socket, ring + no_frame);
        }
        account.sum_up();
        account
    }

    /// Where packets went that the XDP program did not drop, less what was lost behind it.
    fn follow<'a>(
        &mut self,
        change: &impl Fn(&[&str]) -> u64,
        outcomes: impl Iterator<Item = &'a str>,
        mut lost_at_socket: u64,
        lost_at_ring: u64,
    ) {
        for outcome in outcomes {
            let count = change(&["xdp", outcome]);
            let (name, lost) = match outcome {
                "hello_verify_request" => ("answered: hello_verify_request".to_owned(), 0),
                "redirected" => ("redirected to a worker".to_owned(), lost_at_ring.min(count)),
                _ => {
                    let lost = lost_at_socket.min(count);
                    lost_at_socket -= lost;
                    (format!("passed to the kernel: {outcome}"), lost)
                }
            };
            self.name(name, count - lost);
        }
    }

    /// Adds losses that somebody else counts: the wire's.
    pub fn lose(&mut self, place: &str, before: &Counters, after: &Counters) {
        for (name, count) in after {
            let lost = count.saturating_sub(before.get(name).copied().unwrap_or(0));
            self.name(format!("lost at {place}: {name}"), lost);
        }
        self.sum_up();
    }

    /// What the card has lost; some drivers count there what the program has dropped, too.
    fn lose_at_card(&mut self, before: &Snapshot, after: &Snapshot, mut dropped: u64) {
        if !after.counts_verdicts {
            dropped = 0;
        }
        for (name, count) in &after.card {
            let lost = count.saturating_sub(before.card.get(name).copied().unwrap_or(0));
            let verdicts = dropped.min(lost);
            dropped -= verdicts;
            self.name(format!("lost at card: {name}"), lost - verdicts);
        }
    }

    fn name(&mut self, name: String, count: u64) {
        if count > 0 {
            *self.fates.entry(name).or_default() += count;
        }
    }

    fn sum_up(&mut self) {
        self.unaccounted = self.sent as i64 - self.fates.values().sum::<u64>() as i64;
    }
}

/// What the program may do with what is sent here. What it calls not ours is somebody else's: all
/// that is sent here is for the gateway's port.
fn outcomes(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    names(snapshot, "xdp").filter(|outcome| *outcome != "not_ours")
}

/// The names in a group of the status.
fn names<'a>(snapshot: &'a Snapshot, group: &str) -> impl Iterator<Item = &'a str> {
    snapshot.status[group].as_object().into_iter().flatten().map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counters<const N: usize>(counts: [(&str, u64); N]) -> Counters {
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }

    fn after() -> Snapshot {
        Snapshot {
            sender: counters([("tx.dropped", 3)]),
            card: counters([("rx.missed_errors", 5)]),
            counts_verdicts: false,
            socket: 2,
            status: json!({
                "opened": 70,
                "xdp": { "not_ours": 6, "slow_hello": 5, "redirected": 80, "hello_verify_request": 4 },
                "drops_by_place": {
                    "unknown_id": { "xdp": 90, "workers": 0, "handshakes": 0 },
                    "replayed": { "xdp": 0, "workers": 9, "handshakes": 0 },
                    "inside_send": { "xdp": 0, "workers": 70, "handshakes": 0 },
                },
                "af_xdp": { "rx_ring_full": 1, "rx_dropped": 0 },
            }),
        }
    }

    #[test]
    fn every_packet_has_one_name() {
        let account = Account::of(Profile::Garbage, 187, &Snapshot::default(), &after());
        let expected = counters([
            ("answered: hello_verify_request", 4),
            ("dropped: unknown_id", 90),
            ("lost at card: rx.missed_errors", 5),
            ("lost at ring: rx_ring_full", 1),
            ("lost at sender: tx.dropped", 3),
            ("lost at socket: drops", 2),
            ("passed to the kernel: slow_hello", 3),
            ("redirected to a worker", 79),
        ]);
        assert_eq!(account.fates, expected);
        assert_eq!((account.received, account.unaccounted), (179, 0));
    }

    #[test]
    fn what_the_program_dropped_is_not_lost_at_the_card() {
        let card = counters([("rx_drops", 95)]);
        let after = Snapshot { card, counts_verdicts: true, ..after() };
        let account = Account::of(Profile::Garbage, 187, &Snapshot::default(), &after);
        assert_eq!(account.fates["lost at card: rx_drops"], 5);
        assert_eq!(account.unaccounted, 0);
    }

    #[test]
    fn records_are_followed_to_where_they_are_opened() {
        let account = Account::of(Profile::Records, 200, &Snapshot::default(), &after());
        assert_eq!(account.fates["opened"], 70);
        assert_eq!(account.fates["dropped: replayed"], 9);
        assert!(!account.fates.contains_key("dropped: inside_send"));
        assert_eq!(account.unaccounted, 200 - (3 + 5 + 90 + 9 + 1 + 2 + 70));
    }

    #[test]
    fn what_happened_before_does_not_count() {
        let account = Account::of(Profile::Garbage, 0, &after(), &after());
        assert_eq!(account, Account::default());
    }

    #[test]
    fn losses_of_the_wire_join_the_sum() {
        let mut account = Account::of(Profile::Garbage, 7, &after(), &after());
        account.lose("wire", &counters([]), &counters([("far.tx.dropped", 7)]));
        assert_eq!(account.unaccounted, 0);
    }
}
