//! What the test binaries said: how many tests passed and failed, and why others were skipped.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::process::ExitCode;

/// The sum over all test binaries, gathered line by line from what they print.
///
/// A test is skipped if libtest calls it ignored, or if a line `SKIP <name>: <reason>` names it.
/// A test that prints such a line and returns counts as skipped, though libtest calls it passed.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    passed: usize,
    failed: usize,
    /// Name and reason, in the order of the binaries.
    skips: Vec<(String, String)>,
    /// Skips of the binary that is still running.
    current: BTreeMap<String, String>,
}

impl Summary {
    /// Takes one line of a test binary's standard output.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            return self.end_of_binary(counts);
        }
        // With one test thread, libtest leaves the line open while a test runs.
        let test = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
        let (name, text) = test.unwrap_or(("", line));
        if let Some((name, reason)) = text.strip_prefix("SKIP ").and_then(|it| it.split_once(": "))
        {
            self.current.insert(name.to_owned(), reason.to_owned());
        } else if let (false, Some(reason)) = (name.is_empty(), text.strip_prefix("ignored")) {
            let reason = reason.strip_prefix(", ").unwrap_or("no reason given");
            // The reason of a SKIP line, printed before, is the better one.
            self.current.entry(name.to_owned()).or_insert_with(|| reason.to_owned());
        }
    }

    /// Ends the sum. If cargo failed and no test did, something did not compile or a test binary
    /// broke down: that counts as a failure too.
    pub(crate) fn finish(&mut self, cargo_succeeded: bool) {
        self.skips.extend(mem::take(&mut self.current));
        if !cargo_succeeded && self.failed == 0 {
            self.failed = 1;
        }
    }

    /// Prints each skip with its reason, then the sum as the last line.
    pub(crate) fn print(&self) {
        println!();
        for (name, reason) in &self.skips {
            println!("skipped {name}: {reason}");
        }
        println!("{self}");
    }

    /// Success if nothing failed.
    pub(crate) fn code(&self) -> ExitCode {
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// `counts` reads `ok. 3 passed; 0 failed; 1 ignored; …`.
    fn end_of_binary(&mut self, counts: &str) {
        let skips = mem::take(&mut self.current);
        let returned_early = skips.len().saturating_sub(count(counts, "ignored"));
        self.passed += count(counts, "passed").saturating_sub(returned_early);
        self.failed += count(counts, "failed");
        self.skips.extend(skips);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skips, .. } = self;
        write!(f, "{passed} passed, {failed} failed, {} skipped", skips.len())
    }
}

/// The number before the word `what`, 0 if there is none.
fn count(counts: &str, what: &str) -> usize {
    let mut words = counts.split([' ', ';']);
    let mut last = "";
    let number = words.find_map(|word| {
        let before = mem::replace(&mut last, word);
        if word == what { before.parse().ok() } else { None }
    });
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Summary {
        let mut summary = Summary::default();
        output.lines().for_each(|line| summary.read(line));
        summary
    }

    #[test]
    fn sums_over_binaries() {
        let summary = read(
            "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n\
             running 1 test\ntest c ... ok\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        );
        assert_eq!(summary.to_string(), "2 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn an_ignored_test_with_a_skip_line_is_one_skip_with_its_reason() {
        let summary = read(
            "SKIP load: needs root\nrunning 3 tests\ntest load ... ignored\n\
             test slow ... ignored, takes an hour\ntest bare ... ignored\n\
             test result: ok. 0 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out",
        );
        assert_eq!(summary.to_string(), "0 passed, 0 failed, 3 skipped");
        let reasons: Vec<_> = summary.skips.iter().map(|(_, reason)| reason.as_str()).collect();
        assert_eq!(reasons, ["no reason given", "needs root", "takes an hour"]);
    }

    #[test]
    fn a_test_that_returns_early_is_skipped_and_not_passed() {
        let summary = read(
            "test early ... SKIP early: no gnutls-cli\nok\ntest other ... ok\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        );
        assert_eq!(summary.to_string(), "1 passed, 0 failed, 1 skipped");
    }
    #[test]
    fn a_binary_that_breaks_down_is_a_failure() {
        let mut summary = read("SKIP early: no gnutls-cli\nrunning 1 test");
        summary.finish(false);
        assert_eq!(summary.to_string(), "0 passed, 1 failed, 1 skipped");
        assert_eq!(summary.code(), ExitCode::FAILURE);
    }
}
