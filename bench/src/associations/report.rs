//! What many associations cost, as figures and tables.

use std::fmt::Write;

use super::{Associations, Cost, Measured, RecordCosts};
use crate::outcome::{Aim, Figure, Outcome, show};
use crate::plot::{self, Scale};

/// Bytes that an idle association may take.
const IDLE_MAX: f64 = 512.0;

/// Milliseconds until the last of those is found who are not admitted any more.
const JUDGE_ALL_MAX: f64 = 1_000.0;

/// How many times as much a record of 1400 bytes may cost at random as for one association.
const RANDOM_MAX: f64 = 2.0;

impl Associations {
    /// The figures are those of the largest number.
    fn of_largest(&self, figure: impl Fn(&Measured) -> f64) -> f64 {
        self.populations.last().map_or(f64::NAN, |rounds| rounds.median(figure))
    }
}

impl Outcome for Associations {
    fn figures(&self) -> Vec<Figure> {
        let figure = |name: &str, aim: Aim, of: fn(&Measured) -> f64| {
            Figure::new(name, self.of_largest(of), aim)
        };
        let idle = |it: &Measured| it.bytes_fresh.max(it.bytes_idle);
        vec![
            figure("bytes_per_idle_association", Aim::AtMost(IDLE_MAX), idle),
            figure("open_random_vs_hot_1400", Aim::AtMost(RANDOM_MAX), |it| {
                it.records.open_1400.random_vs_hot()
            }),
            figure("seal_random_vs_hot_1400", Aim::AtMost(RANDOM_MAX), |it| {
                it.records.seal_1400.random_vs_hot()
            }),
            figure("judge_all_ms", Aim::AtMost(JUDGE_ALL_MAX), |it| it.judging.all_ms),
            figure("judge_wait_ms", Aim::None, |it| it.judging.wait_ms),
            figure("associations", Aim::None, |it| f64::from(it.associations)),
            figure("bytes_per_active_association", Aim::None, |it| {
                it.bytes_fresh.max(it.bytes_idle) + it.bytes_of_flow.iter().sum::<f64>()
            }),
            figure("open_random_vs_hot_64", Aim::None, |it| it.records.open_64.random_vs_hot()),
            figure("seal_random_vs_hot_64", Aim::None, |it| it.records.seal_64.random_vs_hot()),
            figure("expand_ns", Aim::None, |it| it.records.expand_ns),
            figure("opened_per_second", Aim::None, |it| it.opened_per_second),
            figure("closed_per_second", Aim::None, |it| it.closed_per_second),
            figure("timer_ns", Aim::None, |it| it.timer_ns),
            Figure::new("openssl_bytes_per_object", self.openssl.bytes_per_object, Aim::None),
        ]
    }

    fn tables(&self) -> String {
        let mut text = String::from(
            "| associations | bytes, fresh | bytes, idle | in maps | flow: process | flow: kernel | \
             opened/s | closed/s | timer, ns |\n|---|---|---|---|---|---|---|---|---|\n",
        );
        for it in &self.populations {
            let whole: [fn(&Measured) -> f64; 6] = [
                |it| f64::from(it.associations),
                |it| it.bytes_fresh,
                |it| it.bytes_idle,
                |it| it.bytes_of_maps,
                |it| it.bytes_of_flow[0],
                |it| it.bytes_of_flow[1],
            ];
            let whole = whole.map(|of| format!("{:.0}", it.median(of))).join(" | ");
            let rates: [fn(&Measured) -> f64; 3] =
                [|it| it.opened_per_second, |it| it.closed_per_second, |it| it.timer_ns];
            let rates = rates.map(|of| show(it.median(of))).join(" | ");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {whole} | {rates} |");
        }
        text += "\nNanoseconds a record, for one association and at random:\n\n\
                 | associations | open 64 | seal 64 | open 1400 | seal 1400 |\n|---|---|---|---|---|\n";
        for it in &self.populations {
            let costs: [fn(&RecordCosts) -> Cost; 4] =
                [|it| it.open_64, |it| it.seal_64, |it| it.open_1400, |it| it.seal_1400];
            let costs = costs.map(|of| {
                let hot = it.median(|it| of(&it.records).hot);
                let random = it.median(|it| of(&it.records).random);
                format!("{hot:.0}, {random:.0}")
            });
            let associations = it.median(|it| f64::from(it.associations));
            let _ = writeln!(text, "| {associations} | {} |", costs.join(" | "));
        }
        text
    }

    fn plot(&self) -> String {
        let rows = [
            ("xdtls: idle association", self.of_largest(|it| it.bytes_fresh.max(it.bytes_idle))),
            ("OpenSSL: object at rest", self.openssl.bytes_per_object),
        ];
        plot::bars("Memory, bytes", &rows, Scale::linear(&rows))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Judging, Objects, Rounds};
    use super::*;

    #[test]
    fn the_largest_number_makes_the_figures() {
        let measured = |associations, bytes_idle| Measured {
            associations,
            verified: associations,
            bytes_fresh: 400.0,
            bytes_idle,
            bytes_of_maps: 24.0,
            active: 1,
            bytes_of_flow: [200.0, 1000.0],
            opened_per_second: 1.0,
            closed_per_second: 2.0,
            timer_ns: 3.0,
            judging: Judging { all_ms: 700.0, wait_ms: 0.5 },
            records: RecordCosts {
                open_1400: Cost { hot: 100.0, random: 250.0 },
                ..RecordCosts::default()
            },
        };
        let openssl = Objects { objects: 2, bytes_per_object: 78_000.0 };
        let few = Rounds(vec![measured(1, 90_000.0)]);
        let many = Rounds([510.0, 420.0, 500.0].map(|bytes| measured(1_000, bytes)).into());
        let populations = vec![few, many];
        let figures = Associations { populations, openssl }.figures();
        let value = |name: &str| figures.iter().find(|figure| figure.name == name).unwrap().value;
        assert_eq!(value("bytes_per_idle_association"), 500.0);
        assert_eq!(value("bytes_per_active_association"), 1_700.0);
        assert_eq!(value("open_random_vs_hot_1400"), 2.5);
        assert_eq!(value("judge_all_ms"), 700.0);
        assert_eq!(value("openssl_bytes_per_object"), 78_000.0);
    }
}
