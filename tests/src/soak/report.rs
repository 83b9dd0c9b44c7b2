//! What a soak has found.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::inspect::Resources;

/// The report of a soak.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// What is wrong, in words.
    pub failures: Vec<String>,
    /// What decided on faults, their times and contents.
    pub seed: u64,
    /// How packets travelled: the gateway's own words.
    pub datapath: String,
    /// How long traffic flowed, in seconds.
    pub seconds: f64,
    /// Handshakes that succeeded, as the clients count them.
    pub handshakes: u64,
    /// Handshakes that failed, most of them because of faults.
    pub handshakes_failed: u64,
    /// Programs that came, asked and went.
    pub visits: u64,
    /// Datagrams that programs have sent.
    pub packets_sent: u64,
    /// Datagrams that have come back once and as they were sent. The others were lost to faults.
    pub packets_back: u64,
    /// Bytes that came back as others than they were sent.
    pub bytes_altered: u64,
    /// Datagrams that came back twice.
    pub packets_doubled: u64,
    /// Datagrams that came to somebody else.
    pub packets_strayed: u64,
    /// Frames of AF_XDP sockets that are nowhere.
    pub frames_leaked: i64,
    /// Associations of steady programs that a fault has ended.
    pub associations_ended_by_faults: u64,
    /// Those that have ended and no fault explains it.
    pub associations_lost_without_cause: u64,
    /// How often each fault happened.
    pub faults: BTreeMap<&'static str, Struck>,
    /// The gateway before the first client came.
    pub begin: Resources,
    /// The gateway in the midst of undisturbed traffic, before the first fault.
    pub at_work: Resources,
    /// The gateway after the last client had gone.
    pub end: Resources,
}

/// One kind of fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Struck {
    /// How often it happened, alone or together with another.
    pub times: u64,
    /// The longest time from its end until every steady program had an answer again, in seconds.
    pub slowest_recovery_s: f64,
}

impl Report {
    /// The report as a page.
    pub fn to_markdown(&self, command: &str) -> String {
        let mut page = format!(
            "# A soak\n\nPrinted by `{command}`; [reliability.md](reliability.md) says what it is.\n\n\
             **{}**\n\nDatapath: {}\n\n| what | count |\n|---|---|\n",
            if self.ok { "Nothing is wrong." } else { "Something is wrong." },
            self.datapath
        );
        for (what, count) in self.counts() {
            page += &format!("| {what} | {count} |\n");
        }
        page += "\n| fault | times | slowest recovery, s |\n|---|---|---|\n";
        for (fault, struck) in &self.faults {
            page += &format!("| {fault} | {} | {:.1} |\n", struck.times, struck.slowest_recovery_s);
        }
        page += "\n| gateway | before | at work | after |\n|---|---|---|---|\n";
        let all = [self.begin, self.at_work, self.end];
        for (what, [begin, at_work, end]) in [
            ("resident memory, KiB", all.map(|it| it.resident_kib)),
            ("descriptors", all.map(|it| it.descriptors)),
            ("map entries", all.map(|it| it.map_entries)),
            ("map entries that rest", all.map(|it| it.map_entries_resting)),
        ] {
            page += &format!("| {what} | {begin} | {at_work} | {end} |\n");
        }
        page
    }

    fn counts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("seed", self.seed.to_string()),
            ("seconds of traffic", format!("{:.0}", self.seconds)),
            ("handshakes", self.handshakes.to_string()),
            ("handshakes that failed", self.handshakes_failed.to_string()),
            ("programs that came and went", self.visits.to_string()),
            ("datagrams sent", self.packets_sent.to_string()),
            ("datagrams back, once and unaltered", self.packets_back.to_string()),
            ("bytes altered", self.bytes_altered.to_string()),
            ("datagrams doubled", self.packets_doubled.to_string()),
            ("datagrams astray", self.packets_strayed.to_string()),
            ("frames leaked", self.frames_leaked.to_string()),
            ("steady associations ended by faults", self.associations_ended_by_faults.to_string()),
            (
                "steady associations lost without cause",
                self.associations_lost_without_cause.to_string(),
            ),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in self.counts() {
            writeln!(f, "{what:<40} {count:>10}")?;
        }
        for (fault, struck) in &self.faults {
            let (times, slowest) = (struck.times, struck.slowest_recovery_s);
            writeln!(f, "{fault:<40} {times:>10}, back within {slowest:.1} s")?;
        }
        for (when, it) in [("before", self.begin), ("at work", self.at_work), ("after", self.end)] {
            let Resources { resident_kib, descriptors, map_entries, map_entries_resting, .. } = it;
            writeln!(
                f,
                "gateway {when:<8} {resident_kib} KiB, {descriptors} descriptors, {map_entries} map \
                 entries and {map_entries_resting} that rest"
            )?;
        }
        self.failures.iter().try_for_each(|failure| writeln!(f, "WRONG: {failure}"))?;
        writeln!(f, "{}", if self.ok { "ok" } else { "not ok" })
    }
}
