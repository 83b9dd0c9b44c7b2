//! The eBPF objects, and whether they can be loaded here.

use std::error::Error;
use std::path::PathBuf;

use aya::programs::ProgramType;
use aya::sys::is_program_supported;

/// The object lies in `bpf` of the target directory, this test in `<profile>/deps`.
pub(crate) fn path() -> PathBuf {
    of("xdtls-datapath.o")
}

/// The same of the inside's program.
pub(crate) fn inside_path() -> PathBuf {
    of("xdtls-inside.o")
}

fn of(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let target = test.ancestors().nth(3).expect("the test lies in the target directory");
    target.join("bpf").join(name)
}

/// Why tests in the kernel cannot run here, if they cannot.
pub(crate) fn obstacle() -> Option<String> {
    if let Some(path) = [path(), inside_path()].iter().find(|path| !path.exists()) {
        return Some(format!("{} is missing; run `cargo xtask build`", path.display()));
    }
    match is_program_supported(ProgramType::Xdp) {
        Ok(true) => None,
        Ok(false) => Some("this kernel has no XDP".into()),
        Err(error) => Some(format!("BPF is not permitted, are you root? {}", chain(&error))),
    }
}

/// An error with all its causes; the verifier's log is among them.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
