//! What the experiment has found, as JSON, as a table, and held to the aims.

use std::fmt::Write;

use serde::Serialize;

use crate::experiment::bounds::{Bounds, Compared};
use crate::experiment::cost::Cost;
use crate::experiment::established::Established;
use crate::experiment::handshakes::UnderFlood;
use crate::experiment::servers::{Server, Servers};
use crate::numbers::{Window, median, median_rate, median_ratio, ratio};

/// The ratios in one layout of cores.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ratios {
    /// HelloVerifyRequests a second, as a share of what XDP can send back.
    pub hvr_vs_xdp_tx: f64,
    /// Drops a second, as a share of what XDP can drop.
    pub drop_vs_xdp_drop: f64,
    /// HelloVerifyRequests a second, as a multiple of what `DTLSv1_listen` sends.
    pub hvr_vs_openssl_listen: f64,
}

impl Ratios {
    fn of(compared: &Compared, listen: &[Window]) -> Self {
        let replies = &compared.hello_verify_request;
        Self {
            hvr_vs_xdp_tx: median_ratio(replies, &compared.xdp_tx),
            drop_vs_xdp_drop: median_ratio(&compared.drop, &compared.xdp_drop),
            hvr_vs_openssl_listen: ratio(median_rate(replies), median_rate(listen)),
        }
    }
}

/// Everything that was counted.
#[derive(Debug, Default, Serialize)]
pub struct Raw {
    /// The gateway's XDP program and what XDP can do.
    pub bounds: Bounds,
    /// Servers on sockets.
    pub servers: Servers,
    /// What ten million hellos cost.
    pub cost: Cost,
    /// Handshakes during a flood.
    pub handshakes: UnderFlood,
    /// Established traffic during a flood.
    pub established: Established,
}

/// The figures that have an aim, and all that they come from.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The worse of both layouts.
    pub hvr_vs_xdp_tx: f64,
    /// The worse of both layouts.
    pub drop_vs_xdp_drop: f64,
    /// The worse of both layouts.
    pub hvr_vs_openssl_listen: f64,
    /// Share of a core that the gateway's process takes during the flood.
    pub userspace_cpu_share: f64,
    /// Bytes kept for each hello.
    pub state_bytes_per_hello: f64,
    /// Bytes out for each byte in.
    pub amplification: f64,
    /// Share of handshakes that succeed, the flood on another receive queue.
    pub handshakes_ok_share: f64,
    /// The same, the flood on the same receive queue.
    pub handshakes_ok_share_same_queue: f64,
    /// Share of established traffic that is lost, the flood on another receive queue.
    pub established_loss: f64,
    /// The same, the flood on the same receive queue.
    pub established_loss_same_queue: f64,
    /// The first three where the receiver has a core of its own.
    pub own_core: Ratios,
    /// The first three where one core sends and receives.
    pub shared_core: Ratios,
    /// Time in the XDP program for a hello, in nanoseconds, measured by the kernel.
    pub xdp_ns_per_hello: f64,
    /// The machine, without its name.
    pub machine: Machine,
    /// All counts.
    pub raw: Raw,
}

/// What it was measured on.
#[derive(Debug, Default, Serialize)]
pub struct Machine {
    /// Cores.
    pub cores: usize,
    /// The kernel's version.
    pub kernel: String,
    /// The processor's model, as it calls itself.
    pub processor: String,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let system = rustix::system::uname();
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            // Whoever measures keeps to one of them.
            cores: cpus.lines().filter(|line| line.starts_with("processor")).count().max(1),
            kernel: system.release().to_string_lossy().into_owned(),
            processor: model.map_or_else(String::new, |(_, name)| name.to_owned()),
        }
    }
}

/// An aim: the field, its bound, and whether the bound is the least or the most.
const AIMS: [(&str, f64, bool); 8] = [
    ("hvr_vs_xdp_tx", 0.45, true),
    ("drop_vs_xdp_drop", 0.75, true),
    ("hvr_vs_openssl_listen", 15.0, true),
    ("userspace_cpu_share", 0.02, false),
    ("state_bytes_per_hello", 0.0, false),
    ("amplification", 1.0, false),
    ("handshakes_ok_share", 0.99, true),
    ("established_loss", 0.001, false),
];

impl Report {
    /// Draws the figures from the counts.
    pub fn of(raw: Raw, machine: Machine) -> Self {
        let listen = &raw.servers.openssl_listen;
        let own_core = Ratios::of(&raw.bounds.own_core, &listen.own_core);
        let shared_core = Ratios::of(&raw.bounds.shared_core, &listen.shared_core);
        let worse = |figure: fn(&Ratios) -> f64| figure(&own_core).min(figure(&shared_core));
        Self {
            hvr_vs_xdp_tx: worse(|it| it.hvr_vs_xdp_tx),
            drop_vs_xdp_drop: worse(|it| it.drop_vs_xdp_drop),
            hvr_vs_openssl_listen: worse(|it| it.hvr_vs_openssl_listen),
            userspace_cpu_share: raw.cost.cpu_share(),
            state_bytes_per_hello: raw.cost.state_per_hello(),
            amplification: raw.cost.amplification(),
            handshakes_ok_share: raw.handshakes.other_queue.share(),
            handshakes_ok_share_same_queue: raw.handshakes.same_queue.share(),
            established_loss: raw.established.other_queue.loss(),
            established_loss_same_queue: raw.established.same_queue.loss(),
            own_core,
            shared_core,
            xdp_ns_per_hello: raw.cost.nanoseconds_per_run(),
            machine,
            raw,
        }
    }

    fn figures(&self) -> [f64; 8] {
        [
            self.hvr_vs_xdp_tx,
            self.drop_vs_xdp_drop,
            self.hvr_vs_openssl_listen,
            self.userspace_cpu_share,
            self.state_bytes_per_hello,
            self.amplification,
            self.handshakes_ok_share,
            self.established_loss,
        ]
    }

    /// The figures beside their aims, then what they come from.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_aims(&mut text);
        let _ = self.write_rates(&mut text);
        let _ = self.write_users(&mut text);
        text
    }

    fn write_aims(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "| figure | measured | aim | |\n|---|---|---|---|")?;
        for ((name, bound, at_least), value) in AIMS.into_iter().zip(self.figures()) {
            let sign = match (name, at_least) {
                (_, true) => "≥",
                ("state_bytes_per_hello", _) => "=",
                ("userspace_cpu_share", _) => "≤",
                _ => "<",
            };
            let verdict = if meets(name, value, bound, at_least) { "met" } else { "**missed**" };
            writeln!(text, "| {name} | {} | {sign} {bound} | {verdict} |", show(value))?;
        }
        for (name, layout) in [("own", self.own_core), ("shared", self.shared_core)] {
            let Ratios { hvr_vs_xdp_tx, drop_vs_xdp_drop, hvr_vs_openssl_listen } = layout;
            let (hvr, drop) = (show(hvr_vs_xdp_tx), show(drop_vs_xdp_drop));
            let listen = show(hvr_vs_openssl_listen);
            writeln!(
                text,
                "\n{name} core: hvr_vs_xdp_tx {hvr}, drop_vs_xdp_drop {drop}, \
                 hvr_vs_openssl_listen {listen}"
            )?;
        }
        writeln!(text)
    }

    fn write_rates(&self, text: &mut String) -> std::fmt::Result {
        let Bounds { own_core, shared_core } = &self.raw.bounds;
        writeln!(
            text,
            "| XDP, median of rounds | own core, Mpps | offered | lost at the ring | shared core, Mpps |"
        )?;
        writeln!(text, "|---|---|---|---|---|")?;
        for (name, own, shared) in [
            ("every frame sent back", &own_core.xdp_tx, &shared_core.xdp_tx),
            (
                "xdtls, HelloVerifyRequest",
                &own_core.hello_verify_request,
                &shared_core.hello_verify_request,
            ),
            ("every frame dropped", &own_core.xdp_drop, &shared_core.xdp_drop),
            ("xdtls, wrong generation of 1 Mi occupied slots", &own_core.drop, &shared_core.drop),
        ] {
            let (own_rate, shared_rate) = (median_rate(own) / 1e6, median_rate(shared) / 1e6);
            let lost = percent(lost_share(own));
            let offered = median(own.iter().map(Window::offered)) / 1e6;
            writeln!(
                text,
                "| {name} | {own_rate:.2} | {offered:.2} | {lost} | {shared_rate:.2} |"
            )?;
        }
        let Servers { userspace, openssl_listen, openssl_accept, openssl_off } = &self.raw.servers;
        writeln!(
            text,
            "\n| sockets, replies a second | own core | the sending core receives | bytes out / in | \
             growth, KB |"
        )?;
        writeln!(text, "|---|---|---|---|---|")?;
        for (name, server) in [
            ("xdtls, cookies in userspace", userspace),
            ("OpenSSL, DTLSv1_listen", openssl_listen),
            ("OpenSSL, SSL_accept with cookies, 4096 clients kept", openssl_accept),
            ("OpenSSL, SSL_accept without cookies, 4096 clients kept", openssl_off),
        ] {
            let Server { growth, .. } = server;
            let ([own, shared], out) = (server.rates(), server.amplification());
            writeln!(text, "| {name} | {own:.0} | {shared:.0} | {out:.2} | {} |", growth / 1024)?;
        }
        let cost = &self.raw.cost;
        writeln!(
            text,
            "\n{} hellos, {} replies: {:.3} s of userspace CPU in {:.2} s, {} bytes in, {} out, {:.0} ns \
             in XDP each.\nMemory {} bytes before, {} after (maps {}).\n",
            cost.hellos,
            cost.replies,
            cost.cpu_seconds,
            cost.seconds,
            cost.bytes_in,
            cost.bytes_out,
            self.xdp_ns_per_hello,
            cost.memory_before.total(),
            cost.memory_after.total(),
            cost.memory_after.maps
        )
    }

    fn write_users(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "| s_client | succeeded | p50, ms | p99, ms |\n|---|---|---|---|")?;
        let users = &self.raw.handshakes;
        for (name, done) in [
            ("no flood", &users.quiet),
            ("flood on another queue", &users.other_queue),
            ("flood on the same queue", &users.same_queue),
        ] {
            let (p50, p99) = (done.milliseconds(0.5), done.milliseconds(0.99));
            writeln!(
                text,
                "| {name} | {} of {} | {p50:.0} | {p99:.0} |",
                done.succeeded, done.tried
            )?;
        }
        writeln!(
            text,
            "\n| established traffic | lost | at rings, to and from the gateway | p50, µs | p99, µs |\n|---|---|---|---|---|"
        )?;
        let users = &self.raw.established;
        for (name, done) in [
            ("no flood", &users.quiet),
            ("flood on another queue", &users.other_queue),
            ("flood on the same queue", &users.same_queue),
        ] {
            let (p50, p99) = (done.rtt_us_p50, done.rtt_us_p99);
            let [to, from] = done.lost_at_rings;
            let (lost, sent) = (done.lost, done.sent);
            writeln!(text, "| {name} | {lost} of {sent} | {to}, {from} | {p50} | {p99} |")?;
        }
        Ok(())
    }
}

/// Whether a figure meets its aim.
fn meets(name: &str, value: f64, bound: f64, at_least: bool) -> bool {
    match name {
        _ if at_least => value >= bound,
        "state_bytes_per_hello" | "userspace_cpu_share" => value <= bound,
        _ => value < bound,
    }
}

fn lost_share(windows: &[Window]) -> f64 {
    median(windows.iter().map(|it| ratio(it.lost_at_ring() as f64, it.sent as f64)))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Three digits that mean something.
fn show(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value if value.abs() >= 0.1 => format!("{value:.2}"),
        value => format!("{value:.5}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn windows(handled: u64) -> Vec<Window> {
        vec![Window { sent: 1_000, received: 900, handled, seconds: 0.001 }; 3]
    }

    fn report() -> Report {
        let mut raw = Raw::default();
        raw.bounds.own_core.xdp_tx = windows(800);
        raw.bounds.own_core.hello_verify_request = windows(400);
        raw.bounds.own_core.xdp_drop = windows(900);
        raw.bounds.own_core.drop = windows(450);
        raw.bounds.shared_core.xdp_tx = windows(800);
        raw.bounds.shared_core.hello_verify_request = windows(600);
        raw.bounds.shared_core.xdp_drop = windows(800);
        raw.bounds.shared_core.drop = windows(200);
        raw.servers.openssl_listen.own_core = windows(20);
        raw.servers.openssl_listen.shared_core = windows(20);
        raw.cost.hellos = 100;
        raw.cost.memory_after.resident = 4_096;
        (raw.cost.bytes_in, raw.cost.bytes_out) = (1_000, 350);
        raw.handshakes.other_queue.tried = 100;
        raw.handshakes.other_queue.succeeded = 99;
        raw.established.other_queue.sent = 1_000;
        Report::of(raw, Machine::default())
    }

    #[test]
    fn figures_follow_from_the_counts() {
        let report = report();
        assert_eq!(report.hvr_vs_xdp_tx, 0.5);
        assert_eq!(report.drop_vs_xdp_drop, 0.25, "the worse layout counts");
        assert_eq!(report.hvr_vs_openssl_listen, 20.0);
        assert_eq!(report.state_bytes_per_hello, 40.96);
        assert_eq!(report.amplification, 0.35);
        assert_eq!(report.handshakes_ok_share, 0.99);
        assert_eq!(report.established_loss, 0.0);
    }

    #[test]
    fn the_json_has_every_figure_with_an_aim_and_the_counts() {
        let json = serde_json::to_value(report()).unwrap();
        for (name, ..) in AIMS {
            assert!(json[name].is_number(), "{name}");
        }
        assert_eq!(json["raw"]["bounds"]["own_core"]["xdp_tx"][0]["sent"], 1_000);
        assert_eq!(json["raw"]["handshakes"]["other_queue"]["tried"], 100);
        assert_ne!(json["raw"]["servers"]["openssl_accept"], Value::Null);
    }

    #[test]
    fn the_table_says_what_is_met_and_what_is_not() {
        let table = report().table();
        let line = |name: &str| table.lines().find(|line| line.contains(name)).unwrap();
        assert!(line("hvr_vs_xdp_tx").ends_with("| 0.50 | ≥ 0.45 | met |"), "{table}");
        assert!(line("drop_vs_xdp_drop").contains("**missed**"), "{table}");
        assert!(line("state_bytes_per_hello").ends_with("| 41.0 | = 0 | **missed** |"), "{table}");
        assert!(line("established_loss").ends_with("| 0 | < 0.001 | met |"), "{table}");
    }
}
