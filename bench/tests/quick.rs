//! Measurements that take a short time with `--quick`: each of them runs to its end and presents all
//! that it is there for. What the figures are is the machine's business.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use xdtls_bench::generator;
use xdtls_netlab::{capture, program};

/// A measurement, and figures that it must have.
struct Case {
    name: &'static str,
    figures: &'static [&'static str],
}

const CASES: [Case; 3] = [
    Case {
        name: "steer",
        figures: &["live_steering_vs_parse_array", "live_steering_vs_parse_array_random"],
    },
    Case {
        name: "handshakes",
        figures: &["handshakes_vs_openssl", "resumed_vs_openssl", "established_loss_full"],
    },
    Case {
        name: "scale",
        figures: &["records_1400_2_workers_vs_1_of_1", "records_64_1000_vs_1", "frames_1000_vs_1"],
    },
];

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    // They pin themselves to the same cores.
    args.test_threads = Some(1);
    let obstacle = obstacle();
    let trials = CASES.map(|case| {
        let name = format!("{}_measures_all_that_it_is_there_for", case.name);
        if let (Some(reason), false) = (&obstacle, args.list) {
            println!("SKIP {name}: {reason}");
        }
        let run = move || Ok(measure(&case).map_err(|error| format!("{error:#}"))?);
        Trial::test(name, run).with_ignored_flag(obstacle.is_some())
    });
    libtest_mimic::run(&args, trials.into()).exit_code()
}

/// Why nothing can be measured here.
fn obstacle() -> Option<String> {
    if let Some(reason) = xdtls_netlab::missing() {
        return Some(reason);
    }
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Some("the gateway needs a core of its own; there is one here".to_owned());
    }
    let built = ["xdtls", "xdtls-bench", "udp-echo", "udp-probe"].map(program);
    let built = built.into_iter().chain([generator::object(), generator::gateway_object()]);
    built.into_iter().find_map(Result::err).map(|error| format!("{error:#}"))
}

fn measure(case: &Case) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let plot = folder.path().join("plot.svg");
    let mut command = Command::new(program("xdtls-bench")?);
    command.args([case.name, "--quick", "--json", "--plot"]).arg(&plot);
    let printed = capture(&mut command)?;
    let line = printed.lines().last().context("nothing was printed")?;
    let object: Value = serde_json::from_str(line)?;
    for figure in case.figures {
        ensure!(object[figure].is_number(), "there is no {figure}: {line}");
    }
    ensure!(object["raw"].is_object() && is_plot(&plot)?, "the rest is missing: {line}");
    Ok(())
}

fn is_plot(path: &Path) -> anyhow::Result<bool> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.starts_with("<svg") && text.matches("<rect").count() > 1)
}
