//! `xdtls drops` in words.

use serde::Serialize;
use xdtls_common::DropReason;

use super::grouped;
use crate::counters::{DropCount, Totals};

/// A reason that has occurred, with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drop {
    /// Its name.
    pub reason: &'static str,
    /// How often, wherever.
    pub count: u64,
    /// How often, by place.
    #[serde(flatten)]
    pub by_place: DropCount,
    /// What happened.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// The reasons that have occurred, the most frequent first.
pub fn explained(totals: &Totals) -> Vec<Drop> {
    let drop = |reason: &DropReason| {
        let by_place = *totals.drops_by_place.get(reason.as_str())?;
        Some(Drop {
            reason: reason.as_str(),
            count: by_place.sum(),
            by_place,
            meaning: reason.meaning().trim(),
            remedy: reason.remedy().trim(),
        })
    };
    let mut drops: Vec<_> = DropReason::ALL.iter().filter_map(drop).collect();
    drops.sort_by_key(|drop| std::cmp::Reverse(drop.count));
    drops
}

/// Each reason with its counts, what it means, and what to do.
pub fn drops(drops: &[Drop]) -> String {
    if drops.is_empty() {
        return "nothing has been dropped\n".to_owned();
    }
    drops.iter().map(drop).collect::<Vec<_>>().join("\n")
}

fn drop(drop: &Drop) -> String {
    let DropCount { xdp, workers, handshakes } = drop.by_place;
    let places = [("XDP program", xdp), ("workers", workers), ("handshakes", handshakes)];
    let places = places.into_iter().filter(|(_, count)| *count > 0);
    let places: Vec<_> =
        places.map(|(place, count)| format!("{place} {}", grouped(count))).collect();
    format!(
        "{}  {}  ({})\n  {}\n  {}\n",
        drop.reason,
        grouped(drop.count),
        places.join(", "),
        drop.meaning,
        drop.remedy,
    )
}
