//! Which gate is closed when the kernel only says "operation not permitted".

use std::fs;

/// CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN, CAP_PERFMON and CAP_BPF (linux/capability.h).
const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// The most likely gate, in words, with what to do.
pub fn closed() -> String {
    missing().unwrap_or_else(|| {
        "all capabilities are there: a security module or seccomp filter forbids bpf(2)".to_owned()
    })
}

/// The capabilities that this process lacks, in words, if it lacks any.
pub fn missing() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let missing = missing_capabilities(&status)?;
    Some(format!("{missing} missing; run as root or grant them to the service"))
}

/// The capabilities that XDP needs and `/proc/self/status` does not show as effective.
pub(crate) fn missing_capabilities(status: &str) -> Option<String> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(line.trim(), 16).ok()?;
    let has = |capability: u32| effective >> capability & 1 == 1;
    let mut missing = Vec::new();
    for (name, capability) in [("CAP_NET_ADMIN", NET_ADMIN), ("CAP_NET_RAW", NET_RAW)] {
        if !has(capability) {
            missing.push(name);
        }
    }
    // Without CAP_PERFMON the verifier lets nobody compute a packet's length.
    for (name, capability) in [("CAP_BPF", BPF), ("CAP_PERFMON", PERFMON)] {
        if !has(capability) && !has(SYS_ADMIN) {
            missing.push(name);
        }
    }
    match missing.as_slice() {
        [] => None,
        [one] => Some(format!("the capability {one} is")),
        several => Some(format!("the capabilities {} are", several.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        let status = |mask: u64| format!("Name:\tx\nCapEff:\t{mask:016x}\nCapBnd:\t0\n");
        assert_eq!(missing_capabilities(&status(u64::MAX)), None);
        let no_raw = !(1 << NET_RAW);
        let one = missing_capabilities(&status(no_raw)).unwrap();
        assert_eq!(one, "the capability CAP_NET_RAW is");
        let all = missing_capabilities(&status(0)).unwrap();
        assert_eq!(all, "the capabilities CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON are");
        assert_eq!(missing_capabilities(&status(!(1 << BPF | 1 << PERFMON))), None);
    }
}
