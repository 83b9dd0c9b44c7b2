//! `xdtls status` in words.

use super::{Lines, group, grouped, time};
use crate::admin::Status;

/// A status in groups, what is asked first at the top.
pub fn status(status: &Status) -> String {
    let groups = [
        group("Node", &node(status)),
        group("Associations", &associations(status)),
        group("Traffic", &traffic(status)),
        group("Drops", &drops(status)),
    ];
    groups.concat().trim_end().to_owned() + "\n"
}

fn line(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn node(status: &Status) -> Lines {
    let about = &status.about;
    vec![
        line("role", format!("{}, xdtls {}", about.role, about.version)),
        line("address", about.address),
        line("up for", time(status.uptime_s)),
        line("datapath", &about.datapath_reason),
        line("workers", format!("{}, handshakes {}", about.workers, about.handshake_workers)),
    ]
}

fn associations(status: &Status) -> Lines {
    let totals = &status.totals;
    vec![
        line("established", grouped(totals.associations)),
        line("handshakes ok", grouped(totals.handshakes_ok)),
        line("handshakes failed", grouped(totals.handshakes_failed)),
    ]
}

fn traffic(status: &Status) -> Lines {
    let totals = &status.totals;
    let datagrams =
        |count, bytes| format!("{} datagrams, {} bytes", grouped(count), grouped(bytes));
    vec![
        line("opened", datagrams(totals.opened, totals.opened_bytes)),
        line("sealed", datagrams(totals.sealed, totals.sealed_bytes)),
    ]
}

fn drops(status: &Status) -> Lines {
    status.totals.drops.iter().map(|(reason, count)| line(reason, grouped(*count))).collect()
}
