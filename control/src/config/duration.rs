//! Durations as people write them (`500ms`, `15s`, `2m`, `1h`): the one place where the
//! configuration and the command line read and show them.

use std::time::Duration;

use thiserror::Error;

/// Units in milliseconds, the largest first.
const UNITS_MS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The text is not a whole number with a known unit.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{0}` is not a whole number with a unit (ms, s, m or h)")]
pub struct DurationError(String);

/// Reads a whole number with one of the units `ms`, `s`, `m` and `h`.
///
/// # Errors
///
/// When the number or the unit is missing, unknown or too large.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError(text.to_owned());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| error())?;
    let (_, unit_ms) = UNITS_MS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
    number.checked_mul(*unit_ms).map(Duration::from_millis).ok_or_else(error)
}

/// Writes a duration so that [`parse`] reads it back, in the largest unit that needs no fraction.
/// Anything below a millisecond is cut off.
#[must_use]
pub fn show(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms == 0 {
        return "0s".to_owned();
    }
    let fits = |unit_ms: &u64| ms.is_multiple_of(u128::from(*unit_ms));
    let (unit, unit_ms) = UNITS_MS.into_iter().find(|(_, ms)| fits(ms)).unwrap_or(("ms", 1));
    format!("{}{unit}", ms / u128::from(unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_shown() {
        for (text, ms) in [
            ("0s", 0),
            ("500ms", 500),
            ("15s", 15_000),
            ("90s", 90_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(show(Duration::from_secs(90)), "90s");
        assert_eq!(show(Duration::from_secs(120)), "2m");
        assert_eq!(show(Duration::from_millis(1_500)), "1500ms");
        assert_eq!(show(Duration::ZERO), "0s");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "15", "s", "1.5s", "-1s", "+1s", " 1s", "1 s", "1S", "1d", "1h30m"] {
            assert_eq!(parse(text), Err(DurationError(text.to_owned())), "{text}");
        }
        assert!(parse("18446744073709551615h").is_err());
    }
}
