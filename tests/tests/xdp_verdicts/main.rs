//! The XDP programs against the tables of what they must decide, and against the same code on the
//! host, packet by packet with `BPF_PROG_TEST_RUN`. No interface is involved.
//!
//! What needs BPF is skipped, with the reason, where it is not permitted or the object is not
//! built; the table is then still held to the code on the host.

mod cases;
mod cost;
mod datagrams;
mod entrance_trials;
mod fixture;
mod frames;
mod hello_cases;
mod hello_trials;
mod hellos;
mod inside_trials;
mod kernel;
mod object;
mod reply;
mod trace_trials;
mod trials;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

type Test = fn() -> Result<(), Failed>;

const IN_THE_KERNEL: [(&str, Test); 19] = [
    ("verifier_accepts_every_program", trials::verifier),
    ("kernel_decides_as_the_table_says", trials::table),
    ("kernel_and_host_agree_on_damaged_frames", trials::damaged),
    ("without_a_socket_the_kernel_gets_the_datagram", trials::fallback),
    ("without_configuration_everything_passes", trials::unconfigured),
    ("kernel_answers_hellos_as_the_table_says", hello_trials::kernel),
    ("cookies_are_good_for_their_owner_only", hello_trials::cookies),
    ("cookies_outlive_the_renewal_of_secrets", hello_trials::rotation),
    ("two_gateways_do_not_answer_each_other", hello_trials::two_gateways),
    ("limits_are_kept_and_counted", hello_trials::limits),
    ("odd_frames_are_the_kernels_at_a_strict_rate", entrance_trials::odd),
    ("the_address_that_is_listened_on_is_compared", entrance_trials::addresses),
    ("lists_of_sources_come_first", entrance_trials::lists),
    ("packets_that_are_watched_are_told_of", trace_trials::told),
    ("a_full_ring_loses_and_counts", trace_trials::full),
    ("inside_kernel_decides_as_the_table_says", inside_trials::table),
    ("inside_kernel_and_host_agree_on_damaged_frames", inside_trials::damaged),
    ("inside_without_a_socket_the_kernel_gets_the_datagram", inside_trials::fallback),
    ("cost_of_each_path", cost::cost),
];

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let obstacle = object::obstacle();
    let mut tests = vec![
        Trial::test("host_decides_as_the_table_says", trials::host),
        Trial::test("host_answers_hellos_as_the_table_says", hello_trials::host),
        Trial::test("inside_host_decides_as_the_table_says", inside_trials::host),
    ];
    for (name, test) in IN_THE_KERNEL {
        if let (Some(reason), false) = (&obstacle, args.list) {
            println!("SKIP {name}: {reason}");
        }
        tests.push(Trial::test(name, test).with_ignored_flag(obstacle.is_some()));
    }
    libtest_mimic::run(&args, tests).exit_code()
}
