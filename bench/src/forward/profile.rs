//! Where a gateway spends its time: perf's samples of its threads.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;
use xdtls_netlab::{Process, capture};

use super::Share;

/// How long is watched.
pub(super) const TIME: Duration = Duration::from_secs(2);

/// How many functions are told of.
const MOST: usize = 25;

/// How long perf may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Samples these processes and threads while `act` acts, and says what took most of their time.
pub(super) fn watch(ids: &[u32], act: impl FnOnce()) -> Result<Vec<Share>> {
    let (file, ids) = (NamedTempFile::new()?, ids.iter().map(u32::to_string).collect::<Vec<_>>());
    let mut record = Command::new("perf");
    record.args(["record", "--freq", "4000", "--pid", &ids.join(","), "--output"]).arg(file.path());
    let record = Process::spawn("perf", record).context("a profile needs perf (linux-perf)")?;
    act();
    record.terminate(PATIENCE)?;
    let mut report = Command::new("perf");
    report.args(["report", "--stdio", "--no-children", "--sort", "comm,symbol"]);
    report.args(["--field-separator", ";", "--input"]).arg(file.path());
    let listed = capture(&mut report)?;
    Ok(listed.lines().filter_map(share).take(MOST).collect())
}

/// One line of perf's report.
fn share(line: &str) -> Option<Share> {
    let mut fields = line.split(';').map(str::trim);
    let percent = fields.next()?.strip_suffix('%')?.parse().ok()?;
    let thread = fields.next()?.to_owned();
    // Before the name stands where the function is: [k] or [.].
    let function = fields.next()?.split_once("] ")?.1.trim().to_owned();
    Some(Share { thread, function, percent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_report_are_read_and_all_else_is_not() {
        let found = share("12.34%;napi/og-77      ;[k] __pi_memcpy  ").unwrap();
        assert_eq!((found.percent, found.thread.as_str()), (12.34, "napi/og-77"));
        assert_eq!(found.function, "__pi_memcpy");
        assert!(share("# Overhead;Command;Symbol").is_none());
        assert!(share("").is_none());
    }
}
