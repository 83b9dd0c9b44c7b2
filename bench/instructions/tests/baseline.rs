//! Holds the instructions of the record plane and of whole shards to a committed baseline.
//!
//! Valgrind counts them on a processor of its own making, so that the counts are the same on a busy
//! machine; a record's are the difference of two runs, so that starting counts for nothing. They
//! do depend on what that processor has and on the compiler, hence the tolerance.
//!
//! After a change that is worth it: `UPDATE_BASELINE=1 cargo xtask test -- --test baseline`.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use libtest_mimic::{Arguments, Failed, Trial};
use xdtls_bench_instructions::work::names;

/// How many records the two runs differ by, and how many the shorter one has: enough for what is
/// done once.
const FIRST: usize = 100;
const RECORDS: usize = 200;

/// How far a count may be from its baseline, as a share of it.
const TOLERANCE: f64 = 0.02;

/// Whoever writes the baseline is alone with it.
static BASELINE: Mutex<()> = Mutex::new(());

fn main() {
    let arguments = Arguments::from_args();
    let missing = missing();
    let trials = names().into_iter().map(|name| {
        if let Some(reason) = &missing
            && !arguments.list
        {
            println!("SKIP {name}: {reason}");
        }
        let work = name.clone();
        Trial::test(name, move || hold(&work)).with_ignored_flag(missing.is_some())
    });
    let trials = trials.collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// Why nothing can be counted here.
fn missing() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the baseline is one of x86-64".to_owned());
    }
    let valgrind = Command::new("valgrind").arg("--version").output();
    if !valgrind.is_ok_and(|output| output.status.success()) {
        return Some("valgrind (package valgrind) is not installed".to_owned());
    }
    program().is_none().then(|| {
        "xdtls-instructions is not built for release: `cargo xtask test` does that".to_owned()
    })
}

/// The optimised program: ours lies in `<target>/<profile>/deps`.
fn program() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let target = own.ancestors().nth(3)?;
    let program = target.join("release/xdtls-instructions");
    program.is_file().then_some(program)
}

fn baseline_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json")
}

fn hold(work: &str) -> Result<(), Failed> {
    let found = (count(work, FIRST + RECORDS)? - count(work, FIRST)?) / RECORDS as f64;
    let _one_at_a_time = BASELINE.lock();
    let text = std::fs::read_to_string(baseline_file()).unwrap_or_else(|_| "{}".to_owned());
    let mut baseline: BTreeMap<String, f64> = serde_json::from_str(&text)?;
    if std::env::var_os("UPDATE_BASELINE").is_some() {
        baseline.insert(work.to_owned(), found.round());
        std::fs::write(baseline_file(), serde_json::to_string_pretty(&baseline)? + "\n")?;
        return Ok(());
    }
    let expected = *baseline.get(work).ok_or("it has no baseline")?;
    let off = found / expected - 1.0;
    if off.abs() > TOLERANCE {
        let text = format!(
            "{found:.0} instructions a record, where the baseline has {expected:.0} ({:+.1} %): \
             find out why, and if it is worth it, update the baseline as this file says",
            off * 100.0
        );
        return Err(text.into());
    }
    Ok(())
}

/// The instructions of one run.
fn count(work: &str, records: usize) -> Result<f64, Failed> {
    let program = program().ok_or("the program has gone")?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let output = valgrind.arg(program).args([work, &records.to_string()]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("valgrind has failed: {said}").into());
    }
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    let (_, number) = line.ok_or_else(|| format!("valgrind has counted nothing: {said}"))?;
    Ok(number.trim().parse()?)
}
