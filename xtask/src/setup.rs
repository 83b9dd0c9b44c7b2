//! `cargo xtask setup`: installs what the build and the tests need and this machine lacks.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, bail};

use crate::{cmd, rust_src};

/// The compiler's C side and OpenSSL for the build; the rest are tools that tests drive.
const DEBIAN_PACKAGES: [&str; 10] = [
    "gcc",
    "libc6-dev",
    "pkg-config",
    "libssl-dev",
    "openssl",
    "gnutls-bin",
    "iproute2",
    "ethtool",
    "systemd",
    "valgrind",
];

/// Tunnels that `bench forward` stands xdtls beside, and what it looks into a gateway with.
const PEER_PACKAGES: [&str; 6] =
    ["linux-perf", "ocserv", "openconnect", "openvpn", "wireguard-go", "wireguard-tools"];

/// The same from the crate registry.
const BORINGTUN: [&str; 2] = ["boringtun-cli", "0.7.1"];

/// The last bpf-linker that works with the LLVM of the pinned rustc; later ones want a newer one.
const BPF_LINKER: &str = "0.10.1";

/// What `setup` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Install the tunnels that `bench forward` compares with, too (Debian starts the service
    /// ocserv: `systemctl disable --now ocserv`)
    #[arg(long)]
    peers: bool,
}

/// Installs what was asked for and is missing.
pub(crate) fn run_with(options: &Options) -> Result<()> {
    run()?;
    if options.peers { peers() } else { Ok(()) }
}

/// Installs what is missing; quick when nothing is.
pub(crate) fn run() -> Result<()> {
    debian_packages(&DEBIAN_PACKAGES)?;
    rust_src::ensure()?;
    cargo_tool("bpf-linker", BPF_LINKER)
}

/// Installs the tunnels. What Debian has not goes below the target folder, where the bench looks
/// for it.
fn peers() -> Result<()> {
    debian_packages(&PEER_PACKAGES)?;
    let ([name, version], root) = (BORINGTUN, cmd::target_dir().join("peers"));
    if root.join("bin").join(name).exists() {
        println!("setup: {name} is there");
        return Ok(());
    }
    println!("setup: {name} {version} is built into {}", root.display());
    let mut install = cmd::cargo();
    install.env_remove("CARGO_TARGET_DIR");
    install.args(["install", name, "--version", version, "--locked", "--root"]).arg(&root);
    cmd::run(&mut install).with_context(|| format!("{name} could not be installed"))
}

/// Installs exactly `version` of a program from the crate registry, unless it is there.
pub(crate) fn cargo_tool(name: &str, version: &str) -> Result<()> {
    let found = cmd::output(cmd::command(name).arg("--version")).unwrap_or_default();
    let found = found.split_whitespace().nth(1).unwrap_or("none");
    if found == version {
        println!("setup: {name} {version} is there");
        return Ok(());
    }
    println!("setup: {name} {version} is needed, found {found}; building it takes a few minutes");
    // Without our target directory cargo builds in a temporary one and leaves nothing behind.
    let mut install = cmd::cargo();
    install.env_remove("CARGO_TARGET_DIR");
    install.args(["install", name, "--version", version, "--locked", "--force"]);
    cmd::run(&mut install).with_context(|| {
        format!("{name} {version} is needed and could not be installed; see cargo's words above")
    })
}

fn debian_packages(packages: &[&'static str]) -> Result<()> {
    let mut query = cmd::command("dpkg-query");
    query.args(["--show", "--showformat", "${binary:Package} ${db:Status-Status}\\n"]);
    // A package that dpkg has never heard of makes it fail, yet it lists the others.
    let Ok(known) = query.args(packages).output() else {
        println!("setup: no dpkg here, so install by other means: {}", packages.join(" "));
        return Ok(());
    };
    let missing = missing_packages(packages, &String::from_utf8_lossy(&known.stdout));
    if missing.is_empty() {
        println!("setup: Debian packages are there");
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_root()? {
        bail!(
            "Debian packages are missing; run this, then try again:\n    \
             sudo apt-get update && sudo apt-get install --no-install-recommends {list}"
        );
    }
    println!("setup: installing Debian packages: {list}");
    // A broken third-party source fails the update, though Debian's own lists may be fine.
    if let Err(error) = cmd::run(cmd::command("apt-get").args(["update", "-qq"])) {
        println!("setup: {error:#}; going on with the package lists at hand");
    }
    let mut install = cmd::command("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    // Without a terminal of its own dpkg draws no progress bars into a log.
    install.args(["install", "--yes", "-qq", "-o", "Dpkg::Use-Pty=0", "--no-install-recommends"]);
    install.args(&missing);
    cmd::run(&mut install)
        .with_context(|| format!("install these Debian packages by hand, then try again: {list}"))
}

/// Which packages are not `installed` in a listing of `name[:arch] status` lines.
fn missing_packages(packages: &[&'static str], listing: &str) -> Vec<&'static str> {
    let installed: HashSet<&str> = listing
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .map(|name| name.split(':').next().unwrap_or(name))
        .collect();
    packages.iter().copied().filter(|name| !installed.contains(name)).collect()
}

fn is_root() -> Result<bool> {
    let own = fs::metadata("/proc/self").context("cannot tell which user we are")?;
    Ok(own.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_and_unknown_packages_are_missing() {
        let mut listing = String::new();
        for name in DEBIAN_PACKAGES {
            match name {
                "gcc" => listing += "gcc config-files\n",
                "libssl-dev" => listing += "libssl-dev:amd64 installed\n",
                "ethtool" => {}
                name => listing += &format!("{name} installed\n"),
            }
        }
        assert_eq!(missing_packages(&DEBIAN_PACKAGES, &listing), ["gcc", "ethtool"]);
    }
}
