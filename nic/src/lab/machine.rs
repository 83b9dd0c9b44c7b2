//! The emulated machine: what QEMU is told, and the archive that its kernel starts from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use xdtls_netlab::capture;

use super::driver::Driver;
use super::wire::TAPS;

/// The first process of the guest.
const INIT: &str = include_str!("../../guest/init");

/// Folders that it mounts things on, or finds things in.
const FOLDERS: [&str; 7] = ["bin", "proc", "sys", "dev", "host", "layer", "root"];

const MEMORY_MIB: &str = "1536";
const CPUS: &str = "2";

/// What `cargo xtask lab` has fetched.
pub(super) struct Parts {
    folder: PathBuf,
}

impl Parts {
    /// Looks whether everything is there.
    pub(super) fn find(folder: &Path) -> Result<Self> {
        let folder = fs::canonicalize(folder)
            .with_context(|| format!("{}: `cargo xtask lab` fetches it", folder.display()))?;
        let parts = Self { folder };
        for part in [parts.kernel(), parts.busybox()?, parts.qemu()?] {
            ensure!(part.exists(), "{}: `cargo xtask lab` fetches it", part.display());
        }
        Ok(parts)
    }

    fn kernel(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    fn tools(&self) -> PathBuf {
        self.folder.join("tools")
    }

    /// A program that was fetched, or the machine's own if it had that already.
    fn tool(&self, name: &str) -> Result<PathBuf> {
        let tools = self.tools();
        let roots = [tools.as_path(), Path::new("/")];
        let places = roots.iter().flat_map(|root| ["bin", "usr/bin"].map(|bin| root.join(bin)));
        let mut programs = places.map(|bin| bin.join(name));
        programs
            .find(|path| path.is_file())
            .with_context(|| format!("{name} is missing: `cargo xtask lab` fetches it"))
    }

    fn busybox(&self) -> Result<PathBuf> {
        self.tool("busybox")
    }

    fn qemu(&self) -> Result<PathBuf> {
        self.tool("qemu-system-x86_64")
    }

    /// The guest's modules, in the order in which they are to be loaded.
    fn modules(&self) -> PathBuf {
        self.folder.join("modules")
    }

    /// Makes the archive from which the guest runs `script`, in `scratch`.
    pub(super) fn archive(&self, scratch: &Path, script: &str) -> Result<PathBuf> {
        let root = scratch.join("initrd");
        for folder in FOLDERS {
            fs::create_dir_all(root.join(folder))?;
        }
        let busybox = self.busybox()?;
        fs::copy(&busybox, root.join("bin/busybox"))?;
        fs::create_dir(root.join("guest"))?;
        capture(Command::new("cp").arg("-r").arg(self.modules()).arg(root.join("guest")))?;
        fs::write(root.join("guest/command"), script)?;
        fs::write(root.join("init"), INIT)?;
        capture(Command::new("chmod").arg("755").arg(root.join("init")))?;
        let archive = scratch.join("initrd.cpio");
        let mut pack = Command::new("sh");
        pack.current_dir(&root).args(["-c", "find . | \"$0\" cpio -o -H newc >\"$1\""]);
        capture(pack.arg(&busybox).arg(&archive)).context("cannot pack the guest's archive")?;
        Ok(archive)
    }

    /// QEMU, to be run by `command` (which knows the program's path already). Its standard input
    /// and output are the guest's console; the kernel's own words go to `kernel_log`.
    pub(super) fn boot(
        &self,
        command: impl FnOnce(&PathBuf) -> Command,
        driver: Driver,
        archive: &Path,
        kernel_log: &Path,
    ) -> Result<Command> {
        let program = self.qemu()?;
        let mut qemu = command(&program);
        if program.starts_with(self.tools()) {
            self.use_fetched_libraries(&mut qemu);
        }
        qemu.args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]);
        qemu.args([
            "-m",
            MEMORY_MIB,
            "-smp",
            CPUS,
            "-display",
            "none",
            "-nodefaults",
            "-no-reboot",
        ]);
        qemu.arg("-kernel").arg(self.kernel()).arg("-initrd").arg(archive);
        let log = format!("file:{}", kernel_log.display());
        qemu.args(["-serial", &log, "-chardev", "stdio,id=console,signal=off"]);
        qemu.args(["-device", "virtio-serial-pci", "-device", "virtconsole,chardev=console"]);
        qemu.args(["-virtfs", HOST_FILES, "-append", KERNEL_ARGUMENTS]);
        for (index, tap) in TAPS.iter().enumerate() {
            qemu.args(["-netdev", &driver.backend(tap)]);
            qemu.args(driver.devices(index, tap));
        }
        qemu.stdin(Stdio::piped());
        Ok(qemu)
    }

    /// QEMU's libraries and firmware lie beside it.
    fn use_fetched_libraries(&self, qemu: &mut Command) {
        let tools = self.tools();
        let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"]
            .map(|folder| tools.join(folder).display().to_string());
        qemu.env("LD_LIBRARY_PATH", libraries.join(":"));
        for firmware in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
            qemu.arg("-L").arg(tools.join(firmware));
        }
    }
}

/// The guest sees all that the host has, and can change nothing of it.
const HOST_FILES: &str =
    "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap";

const KERNEL_ARGUMENTS: &str =
    "console=ttyS0 panic=-1 quiet loglevel=5 tsc=reliable mitigations=off nokaslr";
