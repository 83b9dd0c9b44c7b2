//! Debian packages that are unpacked into a folder, not installed: apt fetches them under a private
//! configuration, so that the system's own stays as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cmd;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with its lists, cache and sources in a directory of ours.
pub(crate) struct PrivateApt {
    dir: PathBuf,
}

impl PrivateApt {
    /// Reads the package lists of these suites from the archive that the system's apt uses.
    pub(crate) fn new(dir: PathBuf, suites: &[&str]) -> Result<Self> {
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
        let source = |suite| format!("deb [signed-by={KEYRING}] {archive} {suite} main\n");
        fs::write(dir.join("sources.list"), suites.iter().map(source).collect::<String>())?;
        let apt = Self { dir };
        cmd::run(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    /// Where everything is that it has fetched.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
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

    /// The versions of a package, newest first.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let table = cmd::output(self.command("apt-cache").args(["madison", package]))?;
        let versions = table.lines().filter_map(|line| line.split('|').nth(1));
        Ok(versions.map(|version| version.trim().to_owned()).collect())
    }

    /// What a package depends on directly.
    pub(crate) fn depends(&self, package: &str) -> Result<Vec<String>> {
        let listed = cmd::output(self.command("apt-cache").args(["depends", package]))?;
        let depends = listed.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(depends.map(str::to_owned).collect())
    }

    /// Downloads and unpacks packages, each as `name=version`.
    pub(crate) fn unpack(&self, packages: &[String], tree: &Path) -> Result<()> {
        let folder = self.dir.join("packages");
        fs::create_dir_all(&folder)?;
        let mut download = self.command("apt-get");
        cmd::run(download.current_dir(&folder).arg("download").args(packages))?;
        unpack_all(&folder, tree)
    }

    /// Downloads and unpacks packages of a suite, and of what they depend on all that this system
    /// has not installed.
    pub(crate) fn unpack_with_dependencies(
        &self,
        packages: &[&str],
        suite: &str,
        tree: &Path,
    ) -> Result<()> {
        let mut download = self.command("apt-get");
        // Nothing is installed, so nobody else has to wait.
        download.args(["-o", "Debug::NoLocking=true", "install", "--download-only", "--yes"]);
        download.args(["--no-install-recommends", "--target-release", suite]).args(packages);
        cmd::run(&mut download)?;
        unpack_all(&self.dir.join("cache/archives"), tree)
    }
}

/// Unpacks every package in a folder.
fn unpack_all(folder: &Path, tree: &Path) -> Result<()> {
    fs::create_dir_all(tree).with_context(|| format!("cannot make {}", tree.display()))?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            cmd::run(cmd::command("dpkg").arg("-x").arg(&path).arg(tree))?;
        }
    }
    Ok(())
}
