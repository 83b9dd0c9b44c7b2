//! `cargo xtask fuzz`: lets libFuzzer drive the fuzz targets, each for a while.
//!
//! The same targets run over their corpora and over random bytes in `cargo xtask test`, without
//! libFuzzer. Sanitizers and coverage need unstable flags, which `RUSTC_BOOTSTRAP` lends to the
//! pinned toolchain.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{cmd, setup};

/// Pinned, as all tools are.
const CARGO_FUZZ: &str = "0.13.2";

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The target, one of the files in fuzz/fuzz_targets without `.rs`; all in turn if there is none
    target: Option<String>,
    /// How long each target runs, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Fuzzes; fails at the first finding, whose input stays in fuzz/artifacts.
pub(crate) fn run(options: &Options) -> Result<()> {
    let known = targets()?;
    let chosen = match &options.target {
        None => known,
        Some(target) if known.contains(target) => vec![target.clone()],
        Some(target) => bail!("there is no target `{target}`, but: {}", known.join(", ")),
    };
    setup::cargo_tool("cargo-fuzz", CARGO_FUZZ)?;
    // The same versions of everything as in the program; cargo adds what only fuzzing needs.
    fs::copy(cmd::root().join("Cargo.lock"), cmd::root().join("fuzz/Cargo.lock"))?;
    for target in chosen {
        fuzz(&target, options.seconds)?;
    }
    Ok(())
}

fn fuzz(target: &str, seconds: u64) -> Result<()> {
    let built = cmd::target_dir().join("fuzz");
    // What is found goes to the first folder; the corpus of the repository stays as it is.
    let found = built.join("corpus").join(target);
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let mut command = cmd::cargo();
    command.env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "run", "--fuzz-dir", "fuzz"]);
    command.arg("--target-dir").arg(&built).arg(target).arg(&found);
    command.arg(format!("fuzz/corpus/{target}"));
    command.args(["--", &format!("-max_total_time={seconds}"), "-max_len=4096", "-timeout=20"]);
    cmd::run(&mut command)
}

/// The names of all targets.
fn targets() -> Result<Vec<String>> {
    let folder = cmd::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("no {}", folder.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_binary_and_a_corpus() {
        let manifest = fs::read_to_string(cmd::root().join("fuzz/Cargo.toml")).unwrap();
        let list = fs::read_to_string(cmd::root().join("fuzz/targets/src/lib.rs")).unwrap();
        let targets = targets().unwrap();
        assert_eq!(list.matches("    (\"").count(), targets.len());
        for target in targets {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
            assert!(list.contains(&format!("(\"{target}\"")), "{target}");
            assert!(cmd::root().join("fuzz/corpus").join(&target).is_dir(), "{target}");
        }
    }
}
