//! How every measurement is asked for, and how it presents what it has found: figures beside their
//! aims, tables, one JSON object, one plot.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::report::Machine;

/// What can be said to any measurement.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Print one JSON object, with all counts, instead of the tables
    #[arg(long)]
    pub json: bool,
    /// Write the plot to this file, as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// One short round: shows that it works, and no figure to rely on
    #[arg(long)]
    pub quick: bool,
}

impl Options {
    /// How many rounds medians are taken of.
    pub const fn rounds(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }
}

/// What a figure is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Shown for what it is.
    None,
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name in the JSON object.
    pub name: String,
    /// What was measured; not a number where it could not be.
    pub value: f64,
    /// What it is to be.
    pub aim: Aim,
}

impl Figure {
    /// A figure with an aim.
    pub fn new(name: impl Into<String>, value: f64, aim: Aim) -> Self {
        Self { name: name.into(), value, aim }
    }

    /// Whether the aim is met; a figure without an aim, or without a value, has no answer.
    fn met(&self) -> Option<bool> {
        match self.aim {
            _ if self.value.is_nan() => None,
            Aim::AtMost(bound) => Some(self.value <= bound),
            Aim::AtLeast(bound) => Some(self.value >= bound),
            Aim::None => None,
        }
    }

    fn row(&self) -> String {
        let aim = match self.aim {
            Aim::AtMost(bound) => format!("≤ {bound}"),
            Aim::AtLeast(bound) => format!("≥ {bound}"),
            Aim::None => String::new(),
        };
        let verdict = match self.met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        format!("| {} | {} | {aim} | {verdict} |\n", self.name, show(self.value))
    }
}

/// What a measurement has found. Its serialization is all that was counted.
pub trait Outcome: Serialize {
    /// The figures, those with an aim first.
    fn figures(&self) -> Vec<Figure>;

    /// Tables of what the figures come from, in Markdown.
    fn tables(&self) -> String;

    /// The plot, as SVG.
    fn plot(&self) -> String;
}

/// Prints an outcome as it was asked for. A missed aim is no failure: it is a figure.
pub fn present(options: &Options, begin: Instant, outcome: &impl Outcome) -> Result<()> {
    if let Some(path) = &options.plot {
        std::fs::write(path, outcome.plot())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if options.json {
        println!("{}", object(outcome)?);
    } else {
        print!("{}", text(outcome));
    }
    eprintln!("bench: took {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn object(outcome: &impl Outcome) -> Result<Value> {
    let figures = outcome.figures();
    let mut object: Map<String, Value> =
        figures.iter().map(|figure| (figure.name.clone(), json!(figure.value))).collect();
    let met = figures.iter().filter_map(|figure| Some((figure.name.clone(), json!(figure.met()?))));
    object.insert("aims_met".to_owned(), Value::Object(met.collect()));
    object.insert("machine".to_owned(), serde_json::to_value(Machine::this())?);
    object.insert("raw".to_owned(), serde_json::to_value(outcome)?);
    Ok(Value::Object(object))
}

fn text(outcome: &impl Outcome) -> String {
    let rows: String = outcome.figures().iter().map(Figure::row).collect();
    format!("| figure | measured | aim | |\n|---|---|---|---|\n{rows}\n{}", outcome.tables())
}

/// Three digits that mean something.
pub fn show(value: f64) -> String {
    match value {
        value if value.is_nan() => "not measured".to_owned(),
        0.0 => "0".to_owned(),
        value if value.abs() >= 100.0 => format!("{value:.0}"),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value if value.abs() >= 0.1 => format!("{value:.2}"),
        value => format!("{value:.5}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Found {
        counted: u64,
    }

    impl Outcome for Found {
        fn figures(&self) -> Vec<Figure> {
            vec![
                Figure::new("low", 0.5, Aim::AtMost(0.4)),
                Figure::new("high", 3.0, Aim::AtLeast(3.0)),
                Figure::new("absent", f64::NAN, Aim::AtMost(1.0)),
                Figure::new("plain", 1234.5, Aim::None),
            ]
        }

        fn tables(&self) -> String {
            "the tables\n".to_owned()
        }

        fn plot(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn the_text_says_what_is_met_and_what_is_not() {
        let text = text(&Found { counted: 7 });
        assert!(text.contains("| low | 0.50 | ≤ 0.4 | **missed** |\n"), "{text}");
        assert!(text.contains("| high | 3.00 | ≥ 3 | met |\n"), "{text}");
        assert!(text.contains("| absent | not measured | ≤ 1 |  |\n"), "{text}");
        assert!(text.ends_with("| plain | 1234 |  |  |\n\nthe tables\n"), "{text}");
    }

    #[test]
    fn the_json_has_every_figure_and_what_was_counted() {
        let object = object(&Found { counted: 7 }).unwrap();
        assert_eq!((&object["low"], &object["plain"]), (&json!(0.5), &json!(1234.5)));
        assert_eq!(object["absent"], Value::Null);
        assert_eq!(object["aims_met"], json!({"low": false, "high": true}));
        assert_eq!(object["raw"]["counted"], 7);
        assert!(object["machine"]["cores"].is_number());
    }
}
