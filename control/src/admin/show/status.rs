//! `xdtls status` in words.

use std::collections::BTreeMap;

use super::{Lines, group, grouped, line, time};
use crate::admin::{LimitStatus, Status};
use crate::datapath::link::LinkStatus;

/// A status in groups, what is asked first at the top.
pub fn status(status: &Status) -> String {
    let groups = [
        group("Node", &node(status)),
        group("Associations", &associations(status)),
        group("Traffic", &traffic(status)),
        group("Backends", &backends(status)),
        group("Limits", &limits(status)),
        group("Drops (`xdtls drops` explains them)", &drops(status)),
    ];
    groups.concat().trim_end().to_owned() + "\n"
}

fn node(status: &Status) -> Lines {
    let about = &status.about;
    let state = if status.ready { "ready" } else { "stopping: takes no new associations" };
    let mut lines = vec![
        line("role", format!("{}, xdtls {}", about.role, about.version)),
        line("state", state),
        line("address", about.address),
        line("up for", time(status.uptime_s)),
        line("datapath", &about.datapath_reason),
    ];
    if let (Some(mode), Some(zero_copy)) = (&about.xdp_mode, about.zero_copy) {
        let copy = if zero_copy { "zero-copy" } else { "copy mode" };
        lines.push(line("xdp mode", format!("{mode}, {copy}")));
    }
    lines.extend(status.interface.as_ref().map(|link| line("interface", interface(link))));
    lines.extend(about.inside_reason.as_ref().map(|words| line("inside", words)));
    let inside = status.inside_interface.as_ref();
    lines.extend(inside.map(|link| line("inside interface", interface(link))));
    lines.push(line(
        "workers",
        format!("{}, handshakes {}", about.workers, about.handshake_workers),
    ));
    lines
}

fn interface(LinkStatus { name, state, mtu, queues }: &LinkStatus) -> String {
    format!("{name} is {}, MTU {mtu}, {queues} receive queues", state.as_str())
}

fn associations(status: &Status) -> Lines {
    let totals = &status.totals;
    let mut ok = grouped(totals.handshakes_ok);
    if totals.handshakes_resumed > 0 {
        ok += &format!(" ({} resumed)", grouped(totals.handshakes_resumed));
    }
    let mut lines = vec![
        line("established", grouped(totals.associations)),
        line("half-open", grouped(totals.half_open)),
        line("handshakes ok", ok),
        line("handshakes failed", with_kinds(&totals.handshake_failures)),
        line("rekeyed", grouped(totals.rekeyed)),
        line("ended", with_kinds(&totals.associations_ended)),
    ];
    if totals.paths_new > 0 {
        let (validated, failed) = (grouped(totals.paths_validated), grouped(totals.paths_failed));
        let outcomes =
            format!("{} ({validated} validated, {failed} given up)", grouped(totals.paths_new));
        lines.push(line("new addresses", outcomes));
    }
    if totals.overload > 0 {
        lines.push(line("overload", "yes: new handshakes give way".to_owned()));
    }
    lines
}

/// A sum, and what it consists of.
fn with_kinds(counts: &BTreeMap<String, u64>) -> String {
    let kinds = counts.iter().map(|(kind, count)| format!("{kind} {}", grouped(*count)));
    match kinds.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "0".to_owned(),
        kinds => format!("{} ({kinds})", grouped(counts.values().sum())),
    }
}

fn traffic(status: &Status) -> Lines {
    let totals = &status.totals;
    let datagrams =
        |count, bytes| format!("{} datagrams, {} bytes", grouped(count), grouped(bytes));
    let mut lines = vec![
        line("opened", datagrams(totals.opened, totals.opened_bytes)),
        line("sealed", datagrams(totals.sealed, totals.sealed_bytes)),
    ];
    if status.about.xdp_mode.is_some() {
        let (received, sent) = (grouped(totals.fast_path), grouped(totals.fast_path_sent));
        lines.push(line("by AF_XDP", format!("{received} datagrams received, {sent} sent")));
        if status.about.inside.is_some() {
            let received = grouped(totals.fast_path_inside);
            let sent = grouped(totals.fast_path_inside_sent);
            lines
                .push(line("at the inside", format!("{received} datagrams received, {sent} sent")));
        }
    }
    if let Some(af_xdp) = &status.af_xdp {
        let (full, other) = (grouped(af_xdp.rx_ring_full), grouped(af_xdp.rx_dropped));
        lines.push(line("AF_XDP lost", format!("{full} at full rings, {other} otherwise")));
    }
    let too_big = totals.drops.get("too_big").copied().unwrap_or(0);
    let largest = status.about.max_plaintext;
    let many =
        if too_big > 0 { format!("; {} were larger", grouped(too_big)) } else { String::new() };
    lines.push(line("largest datagram", format!("{} bytes{many}", grouped(largest.into()))));
    lines
}

fn backends(status: &Status) -> Lines {
    let backends = status.backends.iter().map(|backend| {
        let mut text = format!("{}, {} flows", backend.address, grouped(backend.flows));
        if backend.failures > 0 {
            let since = if backend.failing { "FAILING NOW" } else { "not lately" };
            text += &format!(", {} datagrams not taken ({since})", grouped(backend.failures));
        }
        line(&backend.name, text)
    });
    backends.collect()
}

fn limits(status: &Status) -> Lines {
    let limit = |limit: &LimitStatus| {
        line(&limit.name, format!("{} of {}", grouped(limit.used), grouped(limit.limit)))
    };
    status.limits.iter().map(limit).collect()
}

fn drops(status: &Status) -> Lines {
    let mut drops: Vec<_> = status.totals.drops.iter().collect();
    drops.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    drops.into_iter().map(|(reason, count)| line(reason, grouped(*count))).collect()
}
