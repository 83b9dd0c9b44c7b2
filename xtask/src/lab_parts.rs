//! What the lab's emulated machine is made of: a Debian kernel, the modules that it needs, QEMU and
//! a few small tools. Fetched once, into `lab` of the target folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::apt::PrivateApt;
use crate::cmd;

/// The suite that the kernel comes from: its drivers have zero-copy, and it has pktgen and BTF.
const KERNEL_SUITE: &str = "trixie-backports";

/// The kernel's newest version there.
const KERNEL: &str = "linux-image-amd64";

/// Of a kernel's packages, those that hold something for us, with `image` in the name replaced.
const KERNEL_PARTS: [&str; 3] = ["linux-binary", "linux-modules", "linux-base"];

/// What runs the kernel, and what its first process and its modules need.
const TOOLS: [&str; 4] = ["qemu-system-x86", "busybox-static", "kmod", "xz-utils"];

/// What the guest loads, each with what it depends on: the host's files, the cards, the generator.
const MODULES: [&str; 6] = ["9pnet_virtio", "9p", "overlay", "virtio_net", "igb", "pktgen"];

/// The file that says that everything is there.
const DONE: &str = "done";

/// Makes sure that everything is there, where `xdtls-nic` looks for it.
pub(crate) fn ensure() -> Result<()> {
    let folder = cmd::target_dir().join("lab");
    if folder.join(DONE).is_file() {
        eprintln!("lab: kernel and QEMU are there");
        return Ok(());
    }
    eprintln!("lab: fetching a Debian kernel and QEMU (140 MB, once) into {}", folder.display());
    // What a run that was cut short has left may be half a file.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fetch(&folder).with_context(|| {
        format!("the lab needs a Debian kernel and QEMU; to try again, remove {}", folder.display())
    })?;
    Ok(fs::write(folder.join(DONE), "")?)
}

fn fetch(folder: &Path) -> Result<()> {
    let own = release()?;
    let backports = format!("{own}-backports");
    let mut suites = vec![&*own, &*backports, KERNEL_SUITE];
    suites.dedup();
    let apt = PrivateApt::new(folder.join("apt"), &suites)?;
    let tools = folder.join("tools");
    apt.unpack_with_dependencies(&TOOLS, &backports, &tools)?;
    eprintln!("lab: QEMU is there");
    let release = fetch_kernel(&apt, folder)?;
    eprintln!("lab: Linux {release} is there");
    // Packages and lists are larger than what is needed of them.
    fs::remove_dir_all(folder.join("apt"))?;
    fs::remove_dir_all(folder.join("kernel"))?;
    Ok(())
}

/// The code name of this Debian release.
fn release() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("is this Debian?")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("/etc/os-release names no release")?.to_owned())
}

/// Fetches the newest kernel and returns its release, such as `7.3.4+deb13-amd64`.
fn fetch_kernel(apt: &PrivateApt, folder: &Path) -> Result<String> {
    let newest = apt.versions(KERNEL)?.into_iter().next();
    let newest = newest.with_context(|| format!("{KERNEL_SUITE} has no {KERNEL}"))?;
    let depends = apt.depends(&format!("{KERNEL}={newest}"))?;
    let mut releases = depends.iter().filter_map(|it| it.strip_prefix("linux-image-"));
    let release = releases.next().context("the kernel's package names no release")?;
    let packages = KERNEL_PARTS.map(|part| format!("{part}-{release}={newest}"));
    let tree = folder.join("kernel");
    apt.unpack(&packages, &tree)?;
    let modules = tree.join("usr/lib/modules").join(release);
    ensure!(modules.is_dir(), "the kernel's packages have no modules for {release}");
    fs::copy(modules.join("vmlinuz"), folder.join("vmlinuz")).context("there is no kernel")?;
    unpack_modules(folder, &tree, release)?;
    Ok(release.to_owned())
}

/// Unpacks the modules that the guest loads, numbered in the order in which it has to.
fn unpack_modules(folder: &Path, tree: &Path, release: &str) -> Result<()> {
    // kmod looks for modules below `lib`, and does what its name says.
    std::os::unix::fs::symlink("usr/lib", tree.join("lib"))?;
    let kmod = Kmod::new(folder)?;
    cmd::run(kmod.command("depmod").arg("-b").arg(tree).arg(release))?;
    let target = folder.join("modules");
    fs::create_dir_all(&target)?;
    let mut done = Vec::new();
    for module in MODULES {
        let mut query = kmod.command("modprobe");
        query.arg("-d").arg(tree).args(["-S", release, "--show-depends", module]);
        let listed = cmd::output(&mut query)?;
        for path in listed.lines().filter_map(|line| line.strip_prefix("insmod ")).map(str::trim) {
            if done.iter().any(|other| other == path) {
                continue;
            }
            let name = Path::new(path).file_name().context("a module without a name")?;
            let name = name.to_string_lossy();
            let name = name.strip_suffix(".xz").unwrap_or(&name);
            let file = target.join(format!("{:02}-{name}", done.len()));
            let mut unpack = cmd::command("sh");
            unpack.args([
                "-c",
                "case $1 in *.xz) \"$0\" -dc \"$1\" ;; *) cat \"$1\" ;; esac >\"$2\"",
            ]);
            cmd::run(unpack.arg(tool(folder, "xz")).arg(path).arg(&file))?;
            done.push(path.to_owned());
        }
    }
    Ok(())
}

/// kmod under the names of what it can do.
struct Kmod {
    names: PathBuf,
    libraries: PathBuf,
}

impl Kmod {
    fn new(folder: &Path) -> Result<Self> {
        let names = folder.join("apt/kmod");
        fs::create_dir_all(&names)?;
        for name in ["depmod", "modprobe"] {
            std::os::unix::fs::symlink(tool(folder, "kmod"), names.join(name))?;
        }
        Ok(Self { names, libraries: folder.join("tools/lib/x86_64-linux-gnu") })
    }

    fn command(&self, name: &str) -> std::process::Command {
        let mut command = cmd::command(&self.names.join(name).display().to_string());
        command.env("LD_LIBRARY_PATH", &self.libraries);
        command
    }
}

/// A tool that was fetched, or the system's own if it had that already.
fn tool(folder: &Path, name: &str) -> PathBuf {
    let places = ["bin", "usr/bin"].map(|bin| folder.join("tools").join(bin).join(name));
    let found = places.into_iter().find(|path| path.is_file());
    found.unwrap_or_else(|| Path::new("/usr/bin").join(name))
}
