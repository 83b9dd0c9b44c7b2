//! Sums, medians and ratios of what was counted.

use serde::Serialize;

/// One window of one measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Window {
    /// Frames that the generator has sent.
    pub sent: u64,
    /// Frames that the receiver's program, or its socket's driver, has got to see.
    pub received: u64,
    /// What was done with them: replies, or drops.
    pub handled: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Window {
    /// How many a second were handled.
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.handled as f64 / self.seconds } else { 0.0 }
    }

    /// How many a second were sent.
    pub fn offered(&self) -> f64 {
        if self.seconds > 0.0 { self.sent as f64 / self.seconds } else { 0.0 }
    }

    /// Frames that no program has seen: the receive ring was full.
    pub fn lost_at_ring(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

/// The median; of an even number, the lower of the two in the middle. 0 for none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// The median rate of several windows.
pub fn median_rate(windows: &[Window]) -> f64 {
    median(windows.iter().map(Window::rate))
}

/// `part / whole`, and 0 if there is no whole.
pub fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

/// The median of the ratios round by round: what slows both in one round does not count.
pub fn median_ratio(parts: &[Window], wholes: &[Window]) -> f64 {
    median(parts.iter().zip(wholes).map(|(part, whole)| ratio(part.rate(), whole.rate())))
}

/// The value below which this share of the sorted values lies.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(handled: u64, seconds: f64) -> Window {
        Window { sent: 100, received: 90, handled, seconds }
    }

    #[test]
    fn rates_and_losses() {
        let window = window(50, 0.5);
        assert_eq!((window.rate(), window.lost_at_ring()), (100.0, 10));
        assert_eq!(Window::default().rate(), 0.0);
    }

    #[test]
    fn medians_of_few() {
        assert_eq!(median([]), 0.0);
        assert_eq!(median([3.0]), 3.0);
        assert_eq!(median([3.0, 1.0]), 1.0);
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn a_slow_round_does_not_change_the_ratio() {
        let ours = [window(50, 1.0), window(5, 1.0), window(52, 1.0)];
        let bound = [window(100, 1.0), window(10, 1.0), window(100, 1.0)];
        assert_eq!(median_ratio(&ours, &bound), 0.5);
        assert_eq!(ratio(1.0, 0.0), 0.0);
    }

    #[test]
    fn percentiles() {
        let sorted = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!((percentile(&sorted, 0.5), percentile(&sorted, 0.99)), (3.0, 5.0));
        assert_eq!(percentile(&[], 0.5), 0.0);
    }
}
