//! What handshakes cost, as figures and tables.

use std::fmt::Write;

use super::gateway::Echoes;
use super::{AT_ONCE, Handshaken, Latency, Round};
use crate::numbers::{median, ratio};
use crate::outcome::{Aim, Figure, Outcome, show};
use crate::plot::{self, Scale};

/// The least that a core does beside a core of OpenSSL in memory.
const RATE_MIN: f64 = 0.85;

/// The most that may be lost of an association's traffic.
const LOSS_MAX: f64 = 0.001;

impl Round {
    /// Handshakes that a core does beside those that OpenSSL's does.
    fn against_openssl(&self) -> f64 {
        ratio(self.openssl_us, self.gateway_us)
    }
}

fn of<T>(rounds: &[T], number: impl Fn(&T) -> f64) -> f64 {
    if rounds.is_empty() { f64::NAN } else { median(rounds.iter().map(number)) }
}

/// The share that was lost in all rounds together.
fn loss<'a>(echoes: impl Iterator<Item = &'a Echoes>) -> f64 {
    let (lost, sent) = echoes.fold((0, 0), |(lost, sent), it| (lost + it.lost, sent + it.sent));
    if sent == 0 { f64::NAN } else { lost as f64 / sent as f64 }
}

impl Outcome for Handshaken {
    fn figures(&self) -> Vec<Figure> {
        let Self { full, resumed, quiet } = self;
        let lost = |rounds: &[Round]| loss(rounds.iter().map(|round| &round.echoes));
        let figure = Figure::new;
        let rate = of(full, Round::against_openssl);
        vec![
            figure("handshakes_vs_openssl", rate, Aim::AtLeast(RATE_MIN)),
            figure("established_loss_full", lost(full), Aim::AtMost(LOSS_MAX)),
            figure("established_loss_resumed", lost(resumed), Aim::AtMost(LOSS_MAX)),
            figure("resumed_vs_openssl", of(resumed, Round::against_openssl), Aim::None),
            figure("full_per_second", of(full, |round| round.per_second), Aim::None),
            figure("resumed_per_second", of(resumed, |round| round.per_second), Aim::None),
            figure("established_loss_quiet", loss(quiet.iter()), Aim::None),
        ]
    }

    fn tables(&self) -> String {
        let mut text = String::from(
            "Microseconds of CPU a handshake: OpenSSL's server in memory, the gateway's process.\n\n\
             | handshakes | OpenSSL | gateway | a second | succeeded | of them resumed | failed |\n\
             |---|---|---|---|---|---|---|\n",
        );
        let kinds = [("full", &self.full), ("resumed", &self.resumed)];
        for (name, rounds) in kinds {
            let costs: [fn(&Round) -> f64; 3] =
                [|it| it.openssl_us, |it| it.gateway_us, |it| it.per_second];
            let costs = costs.map(|number| show(of(rounds, number))).join(" | ");
            let sum = |number: fn(&Round) -> u64| rounds.iter().map(number).sum::<u64>();
            let counts: [fn(&Round) -> u64; 3] =
                [|it| it.completed[0], |it| it.completed[1], |it| it.failed];
            let counts = counts.map(|number| sum(number).to_string()).join(" | ");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {name} | {costs} | {counts} |");
        }
        let _ = writeln!(
            text,
            "\n| from ClientHello to the client's end, ms | alone p50 | p99 | half load p50 | p99 | \
             {AT_ONCE} at a time p50 | p99 |\n|---|---|---|---|---|---|---|"
        );
        for (name, rounds) in kinds {
            let situations: [fn(&Round) -> Latency; 3] =
                [|it| it.alone, |it| it.half_load, |it| it.loaded];
            let cells = situations.map(|situation| {
                let p50 = show(of(rounds, |it| situation(it).p50));
                format!("{p50} | {}", show(of(rounds, |it| situation(it).p99)))
            });
            let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
        }
        text += "\n| an association's echoes | lost | p50, µs | p99, µs |\n|---|---|---|---|\n";
        let under = |rounds: &[Round]| rounds.iter().map(|it| it.echoes).collect::<Vec<_>>();
        for (name, echoes) in [
            ("no handshakes", self.quiet.clone()),
            ("full handshakes meanwhile", under(&self.full)),
            ("resumed handshakes meanwhile", under(&self.resumed)),
        ] {
            let sum = |number: fn(&Echoes) -> u64| echoes.iter().map(number).sum::<u64>();
            let (lost, sent) = (sum(|it| it.lost), sum(|it| it.sent));
            let p50 = show(of(&echoes, |it| it.rtt_us_p50 as f64));
            let p99 = show(of(&echoes, |it| it.rtt_us_p99 as f64));
            let _ = writeln!(text, "| {name} | {lost} of {sent} | {p50} | {p99} |");
        }
        text
    }

    fn plot(&self) -> String {
        let per_core = |us: f64| if us > 0.0 { 1e6 / us } else { 0.0 };
        let rows = [
            ("OpenSSL in memory: full", of(&self.full, |it| it.openssl_us)),
            ("xdtls: full", of(&self.full, |it| it.gateway_us)),
            ("OpenSSL in memory: resumed", of(&self.resumed, |it| it.openssl_us)),
            ("xdtls: resumed", of(&self.resumed, |it| it.gateway_us)),
        ]
        .map(|(name, us)| (name, per_core(us)));
        plot::bars("Handshakes a second of a core (logarithmic)", &rows, Scale::Decades)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_a_core_and_losses_of_all_rounds_count_together() {
        let round = |openssl_us, lost| Round {
            openssl_us,
            gateway_us: 1_000.0,
            echoes: Echoes { sent: 1_000, lost, ..Echoes::default() },
            ..Round::default()
        };
        let full = vec![round(900.0, 0), round(100.0, 3), round(950.0, 0)];
        let handshaken = Handshaken { full, resumed: Vec::new(), quiet: Vec::new() };
        let figures = handshaken.figures();
        let value = |name: &str| figures.iter().find(|figure| figure.name == name).unwrap().value;
        assert_eq!(value("handshakes_vs_openssl"), 0.9);
        assert_eq!(value("established_loss_full"), 0.001);
        assert!(value("established_loss_resumed").is_nan(), "it was not measured");
        assert!(handshaken.tables().contains("| full | 900 | 1000 |"));
        assert!(handshaken.tables().contains("| full handshakes meanwhile | 3 of 3000 |"));
    }
}
