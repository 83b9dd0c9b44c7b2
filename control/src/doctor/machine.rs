//! Judges the kernel and what this process may do.

use super::facts::{Facts, Load};
use crate::datapath::gate::missing_capabilities;
use crate::finding::Findings;
use crate::privileges::KernelVersion;
use crate::xsk::{ChunkSize, XskOptions};

/// The first kernel in which the sockets of several queues share one UMEM.
const KERNEL_MIN: KernelVersion = KernelVersion(5, 10);

/// CAP_IPC_LOCK (linux/capability.h): memory may be locked whatever the limit.
const IPC_LOCK: u32 = 14;

pub(super) fn judge(facts: &Facts, findings: &mut Findings) {
    judge_kernel(facts, findings);
    judge_privileges(facts, findings);
    match &facts.load {
        Load::Loads => findings.ok("XDP program", "the kernel's verifier takes it"),
        Load::Forbidden(gate) => {
            let remedy = "run as root, or as a service with the capabilities that its unit lists";
            findings.problem("XDP program", format!("may not be loaded: {gate}"), remedy);
        }
        Load::Fails(error) => findings.problem(
            "XDP program",
            error,
            "use a release, or build with `cargo xtask build`; if it is one, report this",
        ),
        Load::NotTried => {}
    }
    judge_memory(facts, findings);
}

fn judge_kernel(facts: &Facts, findings: &mut Findings) {
    let KernelVersion(major, minor) = facts.kernel;
    if facts.kernel < KERNEL_MIN {
        let KernelVersion(major_min, minor_min) = KERNEL_MIN;
        findings.problem(
            "kernel",
            format!("Linux {major}.{minor} cannot share packet memory between queues"),
            format!("use Linux {major_min}.{minor_min} or later"),
        );
    } else {
        findings.ok("kernel", format!("Linux {major}.{minor}"));
    }
    if facts.btf {
        findings.ok("BTF", "the kernel describes its types");
    } else {
        findings.warning(
            "BTF",
            "the kernel has no /sys/kernel/btf/vmlinux: tools cannot look into the program",
            "use a kernel with CONFIG_DEBUG_INFO_BTF; xdtls itself runs without",
        );
    }
    if facts.jit == Some(false) {
        let seen = "BPF programs are interpreted: several times slower";
        findings.warning("BPF JIT", seen, "sysctl net.core.bpf_jit_enable=1");
    }
}

fn judge_privileges(facts: &Facts, findings: &mut Findings) {
    match missing_capabilities(&facts.status) {
        Some(missing) => findings.problem(
            "capabilities",
            format!("{missing} missing"),
            "run as root, or grant them: AmbientCapabilities= in a unit, setcap on the program",
        ),
        None => findings.ok("capabilities", "all that XDP needs are there"),
    }
    // Filters and security modules matter only where something was forbidden all the same.
    let forbidden = matches!(facts.load, Load::Forbidden(_));
    let filtered = status_field(&facts.status, "Seccomp:") == Some("2");
    match (filtered, forbidden) {
        (false, _) => findings.ok("seccomp", "no filter"),
        (true, false) => findings.ok("seccomp", "a filter is there and lets bpf(2) through"),
        (true, true) => findings.problem(
            "seccomp",
            "a filter is there",
            "let the container or service call bpf(2) (SystemCallFilter=, seccomp profile)",
        ),
    }
    let modules = match facts.security_modules.as_str() {
        "" => "none, or not to be seen",
        modules => modules,
    };
    if forbidden && missing_capabilities(&facts.status).is_none() {
        let remedy = "look into the module's log (dmesg, audit.log) for what it denied";
        findings.warning("security modules", modules, remedy);
    } else {
        findings.ok("security modules", modules);
    }
}

fn judge_memory(facts: &Facts, findings: &mut Findings) {
    let Ok(link) = &facts.link else { return };
    // What does not fit into a frame is judged with the interface.
    let chunk = link.interface.chunk().unwrap_or(ChunkSize::Page);
    let options = XskOptions { chunk, ..XskOptions::default() };
    let needed = options.umem_bytes(link.interface.queues, facts.cpus);
    let mib = |bytes: u64| format!("{} MiB", bytes.div_ceil(1 << 20));
    let wanted = format!("{} for packets, with a worker for each CPU", mib(needed));
    match facts.memlock {
        _ if may(&facts.status, IPC_LOCK) => {
            findings.ok("locked memory", format!("CAP_IPC_LOCK lifts the limit; {wanted}"));
        }
        Some(limit) if limit < needed => findings.problem(
            "locked memory",
            format!("{} are allowed; {wanted}", mib(limit)),
            "ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit",
        ),
        Some(limit) => {
            findings.ok("locked memory", format!("{} are allowed; {wanted}", mib(limit)))
        }
        None => findings.ok("locked memory", format!("no limit; {wanted}")),
    }
}

fn may(status: &str, capability: u32) -> bool {
    let mask = status_field(status, "CapEff:").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    mask.is_some_and(|mask| mask >> capability & 1 == 1)
}

/// The value of a line of `/proc/self/status`.
fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}
