//! The source of Rust's standard library, which `-Z build-std` compiles for the BPF target.
//!
//! rustup has it. Where rustup cannot download, Debian's package of the same version serves:
//! apt fetches it under a private configuration, so the system's own stays as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cmd;

/// The Debian suite whose rust-src has the version of the pinned toolchain.
const SUITE: &str = "trixie-backports";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
    let apt = PrivateApt::new(cmd::target_dir().join("setup"))?;
    let tree = apt.unpack("rust-src", &format!("{release}+"))?;
    let source = tree.join(format!("usr/src/rustc-{release}/library"));
    // The rename at the end is atomic: a copy that was cut short is never taken for the library.
    let partial = library.with_extension("partial");
    fs::create_dir_all(&partial)
        .with_context(|| format!("cannot write to {}", partial.display()))?;
    cmd::run(cmd::command("cp").arg("-a").arg(source.join(".")).arg(&partial))?;
    fs::rename(&partial, library)
        .with_context(|| format!("cannot rename {} to library", partial.display()))?;
    fs::remove_dir_all(&apt.dir).context("cannot remove the downloaded package")
}

/// The version of rustc, such as `1.95.0`.
fn rustc_release() -> Result<String> {
    let version = cmd::output(cmd::command("rustc").args(["--version", "--verbose"]))?;
    let release = version.lines().find_map(|line| line.strip_prefix("release: "));
    Ok(release.context("`rustc --version --verbose` names no release")?.to_owned())
}

/// apt with its lists, cache and sources in a directory of ours.
struct PrivateApt {
    dir: PathBuf,
}

impl PrivateApt {
    /// Reads the package lists of [`SUITE`] from the archive that the system's apt uses.
    fn new(dir: PathBuf) -> Result<Self> {
        ensure!(Path::new(KEYRING).exists(), "{KEYRING} is missing: is this Debian?");
        let indexes = ["indextargets", "--format", "$(REPO_URI)", "Identifier: Packages"];
        let archives = cmd::output(cmd::command("apt-get").args(indexes).arg("Label: Debian"))?;
        let archive = archives.lines().next().with_context(
            || "apt knows no Debian archive; if it is configured, run `apt-get update` first",
        )?;
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(part))
                .with_context(|| format!("cannot write to {}", dir.display()))?;
        }
        let source = format!("deb [signed-by={KEYRING}] {archive} {SUITE} main\n");
        fs::write(dir.join("sources.list"), source)?;
        let apt = Self { dir };
        cmd::run(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = cmd::command(program);
        let dir = self.dir.display();
        for option in [
            format!("Dir::Etc::SourceList={dir}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".into(),
            format!("Dir::State::Lists={dir}/lists"),
            format!("Dir::Cache={dir}/cache"),
            // The unprivileged download user may not be allowed into our directory.
            "APT::Sandbox::User=root".into(),
            "Acquire::Languages=none".into(),
        ] {
            command.arg("-o").arg(option);
        }
        command.arg("-qq");
        command
    }

    /// Downloads and unpacks `package` in the version that starts with `prefix`.
    fn unpack(&self, package: &str, prefix: &str) -> Result<PathBuf> {
        let table = cmd::output(self.command("apt-cache").args(["madison", package]))?;
        let versions = table.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim);
        let version = versions
            .into_iter()
            .find(|version| version.starts_with(prefix))
            .with_context(|| format!("{SUITE} has no {package} {prefix}…"))?;
        let mut download = self.command("apt-get");
        download.current_dir(&self.dir).arg("download").arg(format!("{package}={version}"));
        cmd::run(&mut download)?;
        let tree = self.dir.join("tree");
        cmd::run(cmd::command("dpkg").arg("-x").arg(self.downloaded()?).arg(&tree))?;
        Ok(tree)
    }

    fn downloaded(&self) -> Result<PathBuf> {
        let entries = fs::read_dir(&self.dir)?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut packages = entries.filter(|path| path.extension().is_some_and(|it| it == "deb"));
        packages.next().context("apt downloaded no package")
    }
}
