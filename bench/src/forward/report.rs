//! What was forwarded, as figures and tables.

use std::fmt::Write;

use super::{Carried, Forwarded, RoundTrips, Share, Window};
use crate::numbers::{median, ratio};
use crate::outcome::{Aim, Figure, Outcome, show};
use crate::plot::{self, Scale};

/// Somebody else's products.
const PEERS: [&str; 4] = ["ocserv", "wireguard_go", "boringtun", "openvpn"];

/// The traffic that figures are named after.
const KINDS: [&str; 4] = ["1_up", "1_down", "1000_up", "1000_down"];

impl Carried {
    /// The median of a number of the windows of one kind; not a number where there is none.
    fn of(&self, kind: &str, number: impl Fn(&Window) -> f64) -> f64 {
        match self.windows.get(&format!("{kind}_1200")) {
            Some(windows) if !windows.is_empty() => median(windows.iter().map(number)),
            _ => f64::NAN,
        }
    }
}

impl Forwarded {
    fn of(&self, tunnel: &str, kind: &str, number: fn(&Window) -> f64) -> f64 {
        self.tunnels.get(tunnel).map_or(f64::NAN, |carried| carried.of(kind, number))
    }

    fn rate(&self, tunnel: &str, kind: &str) -> f64 {
        self.of(tunnel, kind, |window| window.rate)
    }

    /// What a tunnel costs beside plain forwarding.
    fn cost(&self, tunnel: &str, kind: &str, number: fn(&Window) -> f64) -> f64 {
        self.of(tunnel, kind, number) - self.of("plain", kind, number)
    }

    /// The cost of ours beside that of the cheapest peer.
    fn cost_vs_best_peer(&self, kind: &str, number: fn(&Window) -> f64) -> f64 {
        let peers = PEERS.map(|peer| self.cost(peer, kind, number));
        // `min` leaves out what is not a number.
        let best = peers.into_iter().fold(f64::NAN, f64::min);
        if best.is_nan() { best } else { ratio(self.cost("xdtls", kind, number), best) }
    }

    /// Round trips, with those of plain forwarding in between.
    fn round_trips(&self) -> String {
        let mut text =
            "\n| round trips of 1200 bytes, µs | idle p50 | p99 | plain in between p50 | \
                        added | half load p50 | p99 |\n|---|---|---|---|---|---|---|\n"
                .to_owned();
        for (name, carried) in &self.tunnels {
            let [idle, half_load] = [&carried.idle, &carried.half_load].map(|trips| {
                let of = |number: fn(&RoundTrips) -> f64| show(median(trips.iter().map(number)));
                format!("{} | {}", of(|it| it.p50), of(|it| it.p99))
            });
            let plain = median(carried.idle.iter().map(|it| it.plain_p50));
            let plain = show(if plain > 0.0 { plain } else { f64::NAN });
            let added = show(self.added_rtt(name));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {name} | {idle} | {plain} | {added} | {half_load} |");
        }
        text
    }

    /// Where is dropped what is too much.
    fn overload(&self) -> String {
        let mut text = "\n| tunnel | traffic | dropped first if as much is sent as can be |\n\
                        |---|---|---|\n"
            .to_owned();
        for (name, carried) in &self.tunnels {
            for (kind, lost) in &carried.overload {
                let most = lost.iter().max_by_key(|(_, count)| **count);
                let most = most.map_or("nothing by the kernel", |(place, _)| place);
                // Writing to a string cannot fail.
                let _ = writeln!(text, "| {name} | {kind} | {most} |");
            }
        }
        text
    }

    /// What takes most of the gateway's time.
    fn profiles(&self) -> String {
        let mut text = String::new();
        for (name, carried) in &self.tunnels {
            for (kind, shares) in &carried.profile {
                let head = format!("{name} {kind}: thread");
                let _ = writeln!(text, "\n| {head} | function | % |\n|---|---|---|");
                for Share { thread, function, percent } in shares {
                    let _ = writeln!(text, "| {thread} | `{function}` | {percent} |");
                }
            }
        }
        text
    }

    /// What a tunnel adds to the round trip that the kernel's forwarding takes in between.
    fn added_rtt(&self, tunnel: &str) -> f64 {
        let trips = self.tunnels.get(tunnel).map(|it| &it.idle[..]).unwrap_or_default();
        let beside = trips.iter().filter(|it| it.plain_p50 > 0.0);
        let added: Vec<f64> = beside.map(|it| it.p50 - it.plain_p50).collect();
        if added.is_empty() { f64::NAN } else { median(added) }
    }
}

impl Outcome for Forwarded {
    fn figures(&self) -> Vec<Figure> {
        let gateway = |window: &Window| window.gateway_us;
        let mut figures = vec![
            Figure::new(
                "rate_vs_afxdp_echo_1_up",
                ratio(self.rate("xdtls", "1_up"), self.rate("afxdp_echo", "1_up")),
                Aim::AtLeast(0.75),
            ),
            Figure::new(
                "cpu_vs_best_peer_1_up",
                self.cost_vs_best_peer("1_up", gateway),
                Aim::AtMost(0.25),
            ),
            Figure::new(
                "rate_vs_openssl_socket_1_up",
                ratio(self.rate("xdtls", "1_up"), self.rate("openssl_socket", "1_up")),
                Aim::AtLeast(3.0),
            ),
            Figure::new("added_rtt_us", self.added_rtt("xdtls"), Aim::AtMost(40.0)),
        ];
        let echo = ratio(self.rate("xdtls", "1000_up"), self.rate("afxdp_echo", "1000_up"));
        figures.push(Figure::new("rate_vs_afxdp_echo_1000_up", echo, Aim::None));
        let peers = self.cost_vs_best_peer("1_down", gateway);
        figures.push(Figure::new("cpu_vs_best_peer_1_down", peers, Aim::None));
        for kind in KINDS {
            let ours = self.rate("xdtls", kind);
            if kind != "1_up" {
                let against = ratio(ours, self.rate("openssl_socket", kind));
                figures.push(Figure::new(
                    format!("rate_vs_openssl_socket_{kind}"),
                    against,
                    Aim::None,
                ));
            }
            figures.push(Figure::new(format!("rate_{kind}"), ours, Aim::None));
            let cost = self.cost("xdtls", kind, gateway);
            figures.push(Figure::new(format!("gateway_us_{kind}"), cost, Aim::None));
        }
        figures
    }

    fn tables(&self) -> String {
        let mut text = format!(
            "Figures are those of {} bytes. Medians of rounds; at most {} % lost; microseconds a \
             datagram of the gateway's CPU, less plain forwarding's, and of the whole machine.\n\n\
             | tunnel | traffic | datagrams/s | gateway, µs | over plain | machine, µs |\n\
             |---|---|---|---|---|---|\n",
            super::SIZE,
            self.loss_max * 100.0
        );
        for (name, carried) in &self.tunnels {
            for (kind, windows) in &carried.windows {
                let of = |number: fn(&Window) -> f64| median(windows.iter().map(number));
                let plain = self.tunnels.get("plain").and_then(|it| it.windows.get(kind));
                let plain = plain.map_or(f64::NAN, |it| median(it.iter().map(|it| it.gateway_us)));
                let gateway = of(|window| window.gateway_us);
                let (rate, machine) = (of(|window| window.rate), of(|window| window.machine_us));
                let (over, gateway) = (show(gateway - plain), show(gateway));
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "| {name} | {kind} | {rate:.0} | {gateway} | {over} | {} |",
                    show(machine)
                );
            }
        }
        text += &self.round_trips();
        text += &self.overload();
        text += &self.profiles();
        for (name, reason) in &self.skipped {
            let _ = writeln!(text, "\nskipped {name}: {reason}");
        }
        text
    }

    fn plot(&self) -> String {
        let mut rows = Vec::new();
        for (name, label) in [
            ("xdtls", "xdtls: AF_XDP"),
            ("xdtls_inside", "xdtls: AF_XDP inside, too"),
            ("xdtls_socket", "xdtls: sockets"),
            ("afxdp_echo", "AF_XDP echo, no tunnel"),
            ("openssl_socket", "OpenSSL and sockets"),
            ("ocserv", "ocserv"),
            ("wireguard_go", "wireguard-go"),
            ("boringtun", "boringtun"),
            ("openvpn", "OpenVPN"),
        ] {
            let cost = self.cost(name, "1_up", |window| window.gateway_us);
            if !cost.is_nan() {
                rows.push((label, cost));
            }
        }
        plot::bars(
            "CPU of the gateway, µs a datagram of 1200 bytes upwards",
            &rows,
            Scale::linear(&rows),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(rate: f64, gateway_us: f64, p50: f64) -> Carried {
        let window = Window { rate, gateway_us, ..Window::default() };
        let windows = [("1_up_1200".to_owned(), vec![window; 3])].into();
        let idle = vec![RoundTrips { p50, p99: 2.0 * p50, plain_p50: 30.0 }];
        let overload = [("behind oc", 7), ("gateway's sockets", 90)];
        let overload = overload.map(|(place, count)| (place.to_owned(), count)).into();
        let overload = [("1_up_1200".to_owned(), overload)].into();
        Carried { windows, half_load: idle.clone(), idle, overload, profile: [].into() }
    }

    #[test]
    fn costs_are_those_beside_plain_forwarding_and_the_cheapest_peer_counts() {
        let mut forwarded = Forwarded::default();
        forwarded.tunnels.insert("plain", carried(500e3, 1.0, 30.0));
        forwarded.tunnels.insert("xdtls", carried(300e3, 2.0, 60.0));
        forwarded.tunnels.insert("openssl_socket", carried(100e3, 6.0, 90.0));
        forwarded.tunnels.insert("afxdp_echo", carried(400e3, 1.5, 40.0));
        forwarded.tunnels.insert("openvpn", carried(50e3, 11.0, 200.0));
        forwarded.tunnels.insert("boringtun", carried(50e3, 6.0, 200.0));
        let figures = forwarded.figures();
        let value = |name: &str| figures.iter().find(|figure| figure.name == name).unwrap().value;
        assert_eq!(value("cpu_vs_best_peer_1_up"), 0.2);
        assert_eq!(value("rate_vs_openssl_socket_1_up"), 3.0);
        assert_eq!(value("rate_vs_afxdp_echo_1_up"), 0.75);
        assert_eq!(value("added_rtt_us"), 30.0);
        assert_eq!(value("gateway_us_1_up"), 1.0);
        assert!(value("rate_1000_down").is_nan(), "it was not measured");
        assert!(forwarded.tables().contains("| xdtls | 1_up_1200 | 300000 | 2.00 | 1.00 |"));
        assert!(forwarded.tables().contains("| openvpn | 1_up_1200 | gateway's sockets |"));
    }

    #[test]
    fn a_profile_has_a_table_of_its_own() {
        let mut forwarded = Forwarded::default();
        let mut ours = carried(300e3, 2.0, 60.0);
        let (thread, function) = ("worker-0".to_owned(), "memcpy".to_owned());
        let shares = vec![Share { thread, function, percent: 12.5 }];
        ours.profile.insert("1_up_1200".to_owned(), shares);
        forwarded.tunnels.insert("xdtls", ours);
        assert!(forwarded.tables().contains("| worker-0 | `memcpy` | 12.5 |"));
    }

    #[test]
    fn without_peers_there_is_no_such_figure() {
        let mut forwarded = Forwarded::default();
        forwarded.tunnels.insert("plain", carried(500e3, 1.0, 30.0));
        forwarded.tunnels.insert("xdtls", carried(300e3, 2.0, 60.0));
        forwarded.skipped.insert("openvpn", "it is not installed".to_owned());
        assert!(forwarded.figures().iter().take(2).all(|figure| figure.value.is_nan()));
        assert!(forwarded.tables().contains("skipped openvpn: it is not installed"));
    }
}
