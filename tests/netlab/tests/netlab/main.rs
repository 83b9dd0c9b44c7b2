//! The lab tests itself: two namespaces, a veth pair, the UDP programs across it, nothing left.
//!
//! ```text
//!   xdtls-near-…                                  xdtls-far-…
//!   udp-probe ── near 10.9.0.1/24 ═══ far 10.9.0.2/24 ── udp-echo
//! ```
#![forbid(unsafe_code)]

mod lab;
mod namespaces;
mod programs;
mod relay;

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use xdtls_netlab::missing;

type Test = (&'static str, fn() -> Result<()>);

const IN_NAMESPACES: [Test; 7] = [
    ("everything_comes_back_across_a_veth", programs::everything_comes_back_across_a_veth),
    ("ipv6_works_too", programs::ipv6_works_too),
    ("losses_are_counted", programs::losses_are_counted),
    ("each_bad_packet_arrives", programs::each_bad_packet_arrives),
    ("a_namespace_goes_whatever_runs_inside", namespaces::go_whatever_runs_inside),
    ("a_killed_run_is_swept_up", namespaces::of_a_killed_run_are_swept_up),
    ("a_process_outlives_the_thread_that_started_it", namespaces::outlive_a_thread),
];

const ANYWHERE: [Test; 7] = [
    ("the_relay_passes_on_both_ways", relay::passes_on_both_ways),
    ("the_relay_loses_what_it_shall_lose", relay::loses_what_it_shall_lose),
    ("the_relay_forgets_ports_like_a_nat", relay::forgets_ports_like_a_nat),
    ("the_relay_takes_orders", relay::takes_orders),
    ("the_shim_adds_and_strips_prefixes", programs::the_shim_adds_and_strips_prefixes),
    ("output_is_kept_and_termination_forced", programs::output_is_kept_and_termination_forced),
    ("programs_are_found_beside_the_tests", programs::are_found_beside_the_tests),
];

fn main() -> ExitCode {
    if namespaces::is_doomed() {
        return namespaces::doomed().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let arguments = Arguments::from_args();
    let reason = missing();
    let mut trials = Vec::new();
    for test in IN_NAMESPACES {
        // A list of tests is read by programs.
        if let (Some(reason), false) = (&reason, arguments.list) {
            println!("SKIP netlab::{}: {reason}", test.0);
        }
        trials.push(trial(test).with_ignored_flag(reason.is_some()));
    }
    trials.extend(ANYWHERE.map(trial));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let own = format!("-{}-", std::process::id());
    if reason.is_none() && lab::namespaces().is_ok_and(|names| names.contains(&own)) {
        eprintln!("namespaces are left behind");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn trial((name, run): Test) -> Trial {
    Trial::test(name, move || run().map_err(|error| Failed::from(format!("{error:?}"))))
}
