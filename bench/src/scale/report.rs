//! How throughput grows, as figures and a table.

use std::fmt::Write;

use super::{Cell, SIZES, Scaled};
use crate::numbers::{median, ratio};
use crate::outcome::{Aim, Figure, Outcome, show};
use crate::plot::{self, Scale};

/// Rates of one kind.
type Kind = fn(&Cell) -> &Vec<f64>;
const KINDS: [(&str, Kind); 3] = [
    ("records_64", |cell| &cell.records[0]),
    ("records_1400", |cell| &cell.records[1]),
    ("frames", |cell| &cell.frames),
];

/// The median of the ratios round by round; not a number where nothing was measured.
fn against(ours: Option<&Vec<f64>>, theirs: Option<&Vec<f64>>) -> f64 {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if !ours.is_empty() => {
            median(ours.iter().zip(theirs).map(|(ours, theirs)| ratio(*ours, *theirs)))
        }
        _ => f64::NAN,
    }
}

impl Scaled {
    fn cell(&self, associations: u32, workers: usize) -> Option<&Cell> {
        let wanted = |cell: &&Cell| cell.associations == associations && cell.workers == workers;
        self.cells.iter().find(wanted)
    }

    /// The smallest and the largest number of associations.
    fn ends(&self) -> [u32; 2] {
        let counts = || self.cells.iter().map(|cell| cell.associations);
        [counts().min().unwrap_or(0), counts().max().unwrap_or(0)]
    }
}

impl Outcome for Scaled {
    fn figures(&self) -> Vec<Figure> {
        let [few, many] = self.ends();
        let mut figures = Vec::new();
        for (name, of) in KINDS {
            for count in [few, many] {
                let rates = |workers| self.cell(count, workers).map(of);
                let value = against(rates(2), rates(1));
                let name = format!("{name}_2_workers_vs_1_of_{count}");
                figures.push(Figure::new(name, value, Aim::None));
            }
            let rates = |count| self.cell(count, 1).map(of);
            let value = against(rates(many), rates(few));
            figures.push(Figure::new(format!("{name}_{many}_vs_{few}"), value, Aim::None));
        }
        figures
    }

    fn tables(&self) -> String {
        let [short, long] = SIZES;
        let mut text = format!(
            "Millions a second of all workers together, medians of rounds: records sealed and opened, \
             frames steered.\n\n| associations | workers | {short} bytes | {long} bytes | frames |\n\
             |---|---|---|---|---|\n"
        );
        for cell in &self.cells {
            let rates = KINDS.map(|(_, of)| match &of(cell)[..] {
                [] => show(f64::NAN),
                rates => show(median(rates.iter().copied()) / 1e6),
            });
            let Cell { associations, workers, .. } = cell;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {associations} | {workers} | {} |", rates.join(" | "));
        }
        if let Some(reason) = &self.steering_skipped {
            let _ = writeln!(text, "\nskipped steering: {reason}");
        }
        text
    }

    fn plot(&self) -> String {
        let rows = self.cells.iter().map(|cell| {
            let workers = if cell.workers == 1 { "worker" } else { "workers" };
            let name = format!("xdtls: {} of {}, {workers}", cell.workers, cell.associations);
            (name, median(cell.records[1].iter().copied()))
        });
        let rows: Vec<_> = rows.collect();
        let rows: Vec<_> = rows.iter().map(|(name, rate)| (name.as_str(), *rate)).collect();
        plot::bars("Records of 1400 bytes sealed and opened a second", &rows, Scale::linear(&rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_by_workers_and_by_associations() {
        let cell = |associations, workers, rate: f64| Cell {
            associations,
            workers,
            records: [vec![2.0 * rate; 3], vec![rate, 5.0 * rate, rate]],
            frames: Vec::new(),
        };
        let cells = vec![cell(1, 1, 2e6), cell(1, 2, 3e6), cell(100, 1, 1e6), cell(100, 2, 2e6)];
        let scaled = Scaled { sizes: SIZES, cells, steering_skipped: Some("no reason".to_owned()) };
        let figures = scaled.figures();
        let value = |name: &str| figures.iter().find(|figure| figure.name == name).unwrap().value;
        assert_eq!(value("records_1400_2_workers_vs_1_of_1"), 1.5);
        assert_eq!(value("records_1400_2_workers_vs_1_of_100"), 2.0);
        assert_eq!(value("records_64_100_vs_1"), 0.5);
        assert!(value("frames_100_vs_1").is_nan(), "it was not measured");
        let text = scaled.tables();
        assert!(text.contains("| 1 | 2 | 6.00 | 3.00 | not measured |"), "{text}");
        assert!(text.ends_with("skipped steering: no reason\n"), "{text}");
    }
}
