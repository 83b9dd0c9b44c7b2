//! The XDP program against the table of what it must decide, and against the same code on the
//! host, packet by packet with `BPF_PROG_TEST_RUN`. No interface is involved.
//!
//! What needs BPF is skipped, with the reason, where it is not permitted or the object is not
//! built; the table is then still held to the code on the host.

mod cases;
mod datagrams;
mod fixture;
mod frames;
mod kernel;
mod object;
mod trials;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

type Test = fn() -> Result<(), Failed>;

const IN_THE_KERNEL: [(&str, Test); 6] = [
    ("verifier_accepts_every_program", trials::verifier),
    ("kernel_decides_as_the_table_says", trials::table),
    ("kernel_and_host_agree_on_damaged_frames", trials::damaged),
    ("without_a_socket_the_kernel_gets_the_datagram", trials::fallback),
    ("without_configuration_everything_passes", trials::unconfigured),
    ("cost_of_each_path", trials::cost),
];

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let obstacle = object::obstacle();
    let mut tests = vec![Trial::test("host_decides_as_the_table_says", trials::host)];
    for (name, test) in IN_THE_KERNEL {
        if let (Some(reason), false) = (&obstacle, args.list) {
            println!("SKIP {name}: {reason}");
        }
        tests.push(Trial::test(name, test).with_ignored_flag(obstacle.is_some()));
    }
    libtest_mimic::run(&args, tests).exit_code()
}
