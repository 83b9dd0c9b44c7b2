//! AF_XDP sockets on a veth pair, with a program of these tests that chooses the socket.
//!
//! ```text
//!   xdtls-near-…                                      xdtls-far-…
//!   UDP sockets ── near 10.11.0.1/24 ═══ far 10.11.0.2/24 ── XDP ── XSKMAP ─┬─ shard 0
//!                                                                           └─ shard 1
//! ```

mod bpf;
mod lab;
mod opening;
mod receiving;
mod sending;

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};

type Test = (&'static str, fn() -> Result<()>);

const TESTS: [Test; 7] = [
    ("everything_arrives_on_one_queue", receiving::one_queue),
    ("everything_arrives_on_two_queues", receiving::two_queues),
    ("everything_arrives_in_generic_mode", receiving::generic_mode),
    ("a_sleeping_shard_starves_nobody", receiving::a_sleeping_shard_starves_nobody),
    ("an_echo_reaches_an_ordinary_socket", sending::an_echo_reaches_an_ordinary_socket),
    ("many_packets_reach_an_ordinary_socket", sending::many_packets_reach_an_ordinary_socket),
    ("errors_are_clear", opening::errors_are_clear),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let reason = xdtls_netlab::missing();
    let mut trials = Vec::new();
    for (name, run) in TESTS {
        // A list of tests is read by programs.
        if let (Some(reason), false) = (&reason, arguments.list) {
            println!("SKIP af_xdp::{name}: {reason}");
        }
        let run = move || run().map_err(|error| Failed::from(format!("{error:?}")));
        trials.push(Trial::test(name, run).with_ignored_flag(reason.is_some()));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
