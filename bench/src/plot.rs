//! A bar chart as SVG, each bar with its figure.

use std::fmt::Write;

use crate::numbers::median_rate;
use crate::report::Report;

const WIDTH: f64 = 760.0;
const LABELS: f64 = 250.0;
const BAR: f64 = 22.0;
const GAP: f64 = 10.0;
const TOP: f64 = 44.0;

/// What the length of a bar means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scale {
    /// The decades from 1,000 to 10,000,000.
    Decades,
    /// From 0 to this.
    Linear(f64),
}

impl Scale {
    /// As wide as the longest of the bars.
    pub(crate) fn linear(rows: &[(&str, f64)]) -> Self {
        Self::Linear(rows.iter().map(|(_, value)| *value).fold(0.0, f64::max))
    }

    /// Where on a line of length 1 a value lies; what is beyond its ends lies at its ends.
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Decades => {
                let (low, high) = (f64::from(*DECADES.start()), f64::from(*DECADES.end()));
                (value.max(1.0).log10().clamp(low, high) - low) / (high - low)
            }
            Self::Linear(most) if most > 0.0 => (value / most).clamp(0.0, 1.0),
            Self::Linear(_) => 0.0,
        }
    }

    /// The lines of the scale and what stands below them.
    fn marks(self) -> Vec<(f64, String)> {
        match self {
            Self::Decades => {
                DECADES.map(|decade| (10_f64.powi(decade as i32), format!("10^{decade}"))).collect()
            }
            Self::Linear(_) => vec![(0.0, "0".to_owned())],
        }
    }
}

/// The decades of the logarithmic scale.
const DECADES: std::ops::RangeInclusive<u32> = 3..=7;

/// The rates of a report.
pub(crate) fn rates(report: &Report) -> String {
    let bounds = &report.raw.bounds.own_core;
    let servers = &report.raw.servers;
    bars(
        "ClientHellos answered a second (logarithmic)",
        &[
            ("XDP: every frame sent back", median_rate(&bounds.xdp_tx)),
            ("xdtls: cookies in XDP", median_rate(&bounds.hello_verify_request)),
            ("xdtls: cookies in userspace", servers.userspace.rates()[0]),
            ("OpenSSL: DTLSv1_listen", servers.openssl_listen.rates()[0]),
            ("OpenSSL: SSL_accept with cookies", servers.openssl_accept.rates()[0]),
            ("OpenSSL: SSL_accept, no cookies", servers.openssl_off.rates()[0]),
        ],
        Scale::Decades,
    )
}

/// One bar for each row. Those of xdtls, by their name, stand out.
pub(crate) fn bars(title: &str, rates: &[(&str, f64)], scale: Scale) -> String {
    let at = |value| LABELS + scale.place(value) * (WIDTH - LABELS - 90.0);
    let height = TOP + rates.len() as f64 * (BAR + GAP) + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"24\" font-size=\"15\">{title}</text>\n"
    );
    for (value, mark) in scale.marks() {
        let x = at(value);
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#cccccc\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">{mark}</text>",
            height - 28.0,
            height - 10.0
        );
    }
    for (index, (name, rate)) in rates.iter().enumerate() {
        let y = TOP + 4.0 + index as f64 * (BAR + GAP);
        let (begin, end) = (at(0.0), at(*rate));
        let middle = y + BAR * 0.7;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{begin:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{middle:.1}\">{}</text>",
            LABELS - 8.0,
            end - begin,
            if name.starts_with("xdtls") { "#2f6f9f" } else { "#a9b7c0" },
            end + 6.0,
            thousands(*rate)
        );
    }
    svg + "</svg>\n"
}

/// A whole number with a comma after every three digits.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_for_each_rate() {
        let svg = bars(
            "a title",
            &[("xdtls: one", 1e7), ("two", 31_623.0), ("three", 0.0)],
            Scale::Decades,
        );
        assert_eq!(svg.matches("<rect").count(), 4, "background and bars");
        assert!(
            svg.contains("a title") && svg.contains(">31,623<") && svg.contains(">10,000,000<")
        );
        assert!(svg.contains("width=\"0.0\""), "nothing is no bar");
        assert!((Scale::Decades.place(1e5) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_linear_scale_ends_with_its_longest_bar() {
        let scale = Scale::linear(&[("a", 20.0), ("b", 50.0)]);
        assert_eq!([0.0, 25.0, 50.0, 60.0].map(|value| scale.place(value)), [0.0, 0.5, 1.0, 1.0]);
        assert_eq!(Scale::linear(&[]).place(1.0), 0.0);
    }
}
