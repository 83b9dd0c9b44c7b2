//! What records cost, as figures and tables.

use std::fmt::Write;

use super::{CONTENDERS, Cell, Costs, Records};
use crate::numbers::{median, ratio};
use crate::outcome::{Aim, Figure, Outcome};
use crate::plot::{self, Scale};

/// The lengths that have aims, and the most that may be spent beside ring's own.
const AIMS: [(usize, f64); 2] = [(1400, 1.25), (64, 1.6)];

/// What is compared, once for sealing and once for opening.
type Side = (&'static str, fn(&Costs) -> &Vec<f64>);
const SIDES: [Side; 2] = [("open", |costs| &costs.open), ("seal", |costs| &costs.seal)];

/// The median of the ratios round by round.
fn against(ours: &[f64], theirs: &[f64]) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| ratio(*ours, *theirs)))
}

impl Records {
    fn of_size(&self, size: usize) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(move |cell| cell.size == size)
    }

    /// The worst ratio of all AEADs.
    fn worst(&self, size: usize, ratio: impl Fn(&Cell) -> f64) -> f64 {
        self.of_size(size).map(ratio).fold(f64::NAN, f64::max)
    }
}

impl Outcome for Records {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (size, bound) in AIMS {
            for (side, of) in SIDES {
                let worst = self.worst(size, |cell| against(of(&cell.plane), of(&cell.ring)));
                let name = format!("{side}_vs_ring_{size}");
                figures.push(Figure::new(name, worst, Aim::AtMost(bound)));
            }
        }
        for (size, _) in AIMS {
            for (side, of) in SIDES {
                let worst = self.worst(size, |cell| against(of(&cell.shard), of(&cell.ring)));
                figures.push(Figure::new(format!("shard_{side}_vs_ring_{size}"), worst, Aim::None));
            }
        }
        figures
    }

    fn tables(&self) -> String {
        let mut text = String::from("Ratios are those of the worst AEAD. Nanoseconds a record:\n");
        for (side, of) in SIDES {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\n| {side} | bytes | {} |", CONTENDERS.join(" | "));
            let _ = writeln!(text, "|---|---|{}", "---|".repeat(CONTENDERS.len()));
            for cell in &self.cells {
                let costs = cell.costs().map(|costs| median(of(costs).iter().copied()));
                let costs = costs.map(|cost| format!("{cost:.0}")).join(" | ");
                let _ = writeln!(text, "| {} | {} | {costs} |", cell.aead, cell.size);
            }
        }
        text
    }

    fn plot(&self) -> String {
        let names = [
            "ring alone",
            "xdtls: record plane",
            "xdtls: whole shard",
            "OpenSSL: EVP",
            "OpenSSL: SSL_read",
        ];
        let rows = self.of_size(1400).filter(|cell| cell.aead == "Aes128Gcm").flat_map(|cell| {
            let costs = cell.costs().map(|costs| median(costs.open.iter().copied()));
            names.into_iter().zip(costs)
        });
        let rows: Vec<_> = rows.collect();
        plot::bars("Opening 1400 bytes, AES-128-GCM, ns a record", &rows, Scale::linear(&rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_aead_is_the_figure_and_ratios_are_taken_round_by_round() {
        let cell = |aead: &str, ring: [f64; 3], plane: [f64; 3]| {
            let costs = |costs: [f64; 3]| Costs { seal: costs.into(), open: costs.into() };
            let rest = || costs([1000.0; 3]);
            let (ring, plane) = (costs(ring), costs(plane));
            let aead = aead.to_owned();
            Cell { aead, size: 1400, ring, plane, shard: rest(), evp: rest(), ssl: rest() }
        };
        let slow_round = cell("a", [100.0, 900.0, 100.0], [110.0, 990.0, 110.0]);
        let records = Records { cells: vec![slow_round, cell("b", [100.0; 3], [120.0; 3])] };
        let figures = records.figures();
        let value = |name: &str| figures.iter().find(|figure| figure.name == name).unwrap().value;
        assert_eq!(value("open_vs_ring_1400"), 1.2);
        assert_eq!(value("shard_seal_vs_ring_1400"), 10.0);
        assert!(value("open_vs_ring_64").is_nan(), "nothing of that length was measured");
        assert!(records.tables().contains("| a | 1400 | 100 | 110 | 1000 | 1000 | 1000 |"));
    }
}
