//! The kernel's verifier accepts every XDP program that we ship.
//!
//! Skipped, with the reason, where BPF is not permitted or the object is not built.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aya::Ebpf;
use aya::programs::{ProgramError, ProgramType, Xdp};
use aya::sys::is_program_supported;
use libtest_mimic::{Arguments, Failed, Trial};

const NAME: &str = "verifier_accepts_every_program";

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let object = object_path();
    let obstacle = obstacle(&object);
    if let (Some(reason), false) = (&obstacle, args.list) {
        println!("SKIP {NAME}: {reason}");
    }
    let trial = Trial::test(NAME, move || verify(&object));
    libtest_mimic::run(&args, vec![trial.with_ignored_flag(obstacle.is_some())]).exit_code()
}

/// The object lies in `bpf` of the target directory, this test in `<profile>/deps`.
fn object_path() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let target = test.ancestors().nth(3).expect("the test lies in the target directory");
    target.join("bpf/xdtls-datapath.o")
}

/// Why the test cannot run here, if it cannot.
fn obstacle(object: &Path) -> Option<String> {
    if !object.exists() {
        return Some(format!("{} is missing; run `cargo xtask build`", object.display()));
    }
    match is_program_supported(ProgramType::Xdp) {
        Ok(true) => None,
        Ok(false) => Some("this kernel has no XDP".into()),
        Err(error) => Some(format!("BPF is not permitted, are you root? {}", chain(&error))),
    }
}

fn verify(object: &Path) -> Result<(), Failed> {
    let mut ebpf = Ebpf::load_file(object).map_err(|error| chain(&error))?;
    let mut count = 0;
    for (name, program) in ebpf.programs_mut() {
        let xdp: Result<&mut Xdp, ProgramError> = program.try_into();
        let loaded = xdp.and_then(Xdp::load);
        loaded.map_err(|error| format!("{name}: {}", chain(&error)))?;
        count += 1;
    }
    if count == 0 { Err("the object holds no program".into()) } else { Ok(()) }
}

/// An error with all its causes; the verifier's log is among them.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
