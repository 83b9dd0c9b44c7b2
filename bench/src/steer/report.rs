//! What steering costs, as figures and a table.

use std::fmt::Write;

use super::programs::{Contender, End};
use super::{Costs, Steered};
use crate::numbers::{median, ratio};
use crate::outcome::{Aim, Figure, Outcome, show};
use crate::plot::{self, Scale};

/// How many times as much as a bare parse and a look-up in an array steering may cost.
const STEERING_MAX: f64 = 1.3;

/// Which frames.
type Side = fn(&Costs) -> &Vec<f64>;
const HOT: Side = |costs| &costs.hot;
const RANDOM: Side = |costs| &costs.random;

impl Steered {
    fn rounds(&self, contender: Contender, side: Side) -> &[f64] {
        self.costs.get(contender.name()).map_or(&[], |costs| side(costs))
    }

    fn cost(&self, contender: Contender, side: Side) -> f64 {
        match self.rounds(contender, side) {
            [] => f64::NAN,
            rounds => median(rounds.iter().copied()),
        }
    }

    /// The median of the ratios round by round, of the live program's cost and another's.
    fn live_against(&self, other: Contender, side: Side) -> f64 {
        let rounds = |contender| self.rounds(contender, side).iter();
        let pairs = rounds(Contender::Live).zip(rounds(other));
        let ratios: Vec<_> = pairs.map(|(live, other)| ratio(*live, *other)).collect();
        if ratios.is_empty() { f64::NAN } else { median(ratios) }
    }
}

impl Outcome for Steered {
    fn figures(&self) -> Vec<Figure> {
        use Contender::{Live, Parse, ParseArray, ParseArrayRedirect};
        let aim = Aim::AtMost(STEERING_MAX);
        let mut figures = Vec::new();
        for (name, side) in [("", HOT), ("_random", RANDOM)] {
            let mut figure = |figure: &str, value: f64, aim: Aim| {
                figures.push(Figure::new(format!("{figure}{name}"), value, aim));
            };
            figure("live_steering_vs_parse_array", self.live_against(ParseArray, side), aim);
            let redirected = self.live_against(ParseArrayRedirect, side);
            figure("live_steering_vs_parse_array_redirect", redirected, Aim::None);
            figure("live_steering_vs_parse", self.live_against(Parse, side), Aim::None);
            figure("live_steering_ns", self.cost(Live, side), Aim::None);
        }
        // Those with an aim first.
        figures.sort_by_key(|figure| figure.aim == Aim::None);
        figures
    }

    fn tables(&self) -> String {
        let mut text = format!(
            "Nanoseconds a run, medians of rounds, the kernel's loop included; random ones of {} \
             associations:\n\n| program | one association | more than empty | at random | more than \
             empty |\n|---|---|---|---|---|\n",
            self.associations
        );
        for contender in Contender::ALL {
            let cells = [HOT, RANDOM].map(|side| {
                let cost = self.cost(contender, side);
                let more = cost - self.cost(Contender::Empty, side);
                format!("{} | {}", show(cost), show(more))
            });
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {} | {} |", contender.name(), cells.join(" | "));
        }
        text += "\nThe same of the gateway's program by where it ends:\n\n| end | one association | more \
                 than empty |\n|---|---|---|\n";
        let ends = End::ALL.iter().filter_map(|end| Some((end.name(), self.ends.get(end.name())?)));
        let ends = ends.map(|(name, costs)| (name, median(costs.iter().copied())));
        for (name, cost) in ends.chain([("redirected", self.cost(Contender::Live, HOT))]) {
            let more = cost - self.cost(Contender::Empty, HOT);
            let _ = writeln!(text, "| {name} | {} | {} |", show(cost), show(more));
        }
        text
    }

    fn plot(&self) -> String {
        let rows = Contender::ALL.map(|contender| {
            let name = match contender {
                Contender::Empty => "empty program",
                Contender::Parse => "bare parse",
                Contender::ParseArray => "parse, ARRAY",
                Contender::ParseArrayRedirect => "parse, ARRAY, redirect",
                Contender::ParseHash => "parse, HASH",
                Contender::ParseLru => "parse, LRU_HASH",
                Contender::Live => "xdtls: the gateway's program",
            };
            (name, self.cost(contender, HOT))
        });
        plot::bars("XDP, one association, ns a packet", &rows, Scale::linear(&rows))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round_and_the_slow_round_does_not_count() {
        let costs = |hot: [f64; 3]| Costs { hot: hot.into(), random: vec![200.0; 3] };
        let mut steered =
            Steered { associations: 10, costs: BTreeMap::new(), ends: BTreeMap::new() };
        steered.costs.insert("empty", costs([20.0, 200.0, 20.0]));
        steered.costs.insert("parse_array", costs([40.0, 400.0, 40.0]));
        steered.costs.insert("live", costs([50.0, 500.0, 50.0]));
        steered.ends.insert("unknown_id", vec![35.0, 350.0, 35.0]);
        let figures = steered.figures();
        let value = |name: &str| figures.iter().find(|figure| figure.name == name).unwrap().value;
        assert_eq!(value("live_steering_vs_parse_array"), 1.25);
        assert_eq!(value("live_steering_vs_parse_array_random"), 1.0);
        assert_eq!(value("live_steering_ns"), 50.0);
        assert!(value("live_steering_vs_parse").is_nan(), "it was not measured");
        assert_eq!(figures[1].name, "live_steering_vs_parse_array_random", "aims come first");
        let text = steered.tables();
        assert!(text.contains("| live | 50.0 | 30.0 | 200 | 0 |"), "{text}");
        assert!(
            text.ends_with("| unknown_id | 35.0 | 15.0 |\n| redirected | 50.0 | 30.0 |\n"),
            "{text}"
        );
    }
}
