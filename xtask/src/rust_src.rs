//! The source of Rust's standard library, which `-Z build-std` compiles for the BPF target.
//!
//! rustup has it. Where rustup cannot download, Debian's package of the same version serves.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::apt::PrivateApt;
use crate::cmd;

/// The Debian suite whose rust-src has the version of the pinned toolchain.
const SUITE: &str = "trixie-backports";

/// Makes sure that the pinned toolchain has the source of `core`.
pub(crate) fn ensure() -> Result<()> {
    let sysroot = cmd::output(cmd::command("rustc").args(["--print", "sysroot"]))
        .context("install Rust with rustup; the repository names the version it needs")?;
    let library = Path::new(&sysroot).join("lib/rustlib/src/rust/library");
    if library.is_dir() {
        println!("setup: rust-src is there");
        return Ok(());
    }
    println!("setup: rust-src is missing; asking rustup for it");
    let Err(error) = cmd::run(cmd::command("rustup").args(["component", "add", "rust-src"])) else {
        return Ok(());
    };
    println!("setup: {error:#}");
    println!("setup: taking rust-src from Debian's {SUITE} instead");
    install_from_debian(&library).with_context(|| {
        format!(
            "rust-src is needed: run `rustup component add rust-src` where rustup can download, \
             or copy `library` of the same Rust source to {}",
            library.display()
        )
    })
}

fn install_from_debian(library: &Path) -> Result<()> {
    let release = rustc_release()?;
    let apt = PrivateApt::new(cmd::target_dir().join("setup"), &[SUITE])?;
    let version =
        apt.versions("rust-src")?.into_iter().find(|it| it.starts_with(&format!("{release}+")));
    let version = version.with_context(|| format!("{SUITE} has no rust-src {release}"))?;
    let tree = apt.dir().join("tree");
    apt.unpack(&[format!("rust-src={version}")], &tree)?;
    let source = tree.join(format!("usr/src/rustc-{release}/library"));
    // The rename at the end is atomic: a copy that was cut short is never taken for the library.
    let partial = library.with_extension("partial");
    fs::create_dir_all(&partial)
        .with_context(|| format!("cannot write to {}", partial.display()))?;
    cmd::run(cmd::command("cp").arg("-a").arg(source.join(".")).arg(&partial))?;
    fs::rename(&partial, library)
        .with_context(|| format!("cannot rename {} to library", partial.display()))?;
    fs::remove_dir_all(apt.dir()).context("cannot remove the downloaded package")
}

/// The version of rustc, such as `1.95.0`.
fn rustc_release() -> Result<String> {
    let version = cmd::output(cmd::command("rustc").args(["--version", "--verbose"]))?;
    let release = version.lines().find_map(|line| line.strip_prefix("release: "));
    Ok(release.context("`rustc --version --verbose` names no release")?.to_owned())
}
