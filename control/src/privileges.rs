//! What a node may still do once it is set up: nothing beyond what any user may.
//!
//! Sockets are bound, memory is registered and the XDP program is attached by then, and all of that
//! lives on in descriptors. Capabilities belong to a thread and are inherited: they have to go
//! before the first thread starts, or each thread would keep its own.

use std::fs;
use std::io;

use anyhow::{Context, Result, bail};
use nix::unistd::{Gid, User, initgroups, setgid, setuid};
use rustix::process::geteuid;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities,
    set_no_new_privs,
};
use tracing::info;

/// From this kernel on, bpf(2) on a descriptor asks for no capability whatever
/// `kernel.unprivileged_bpf_disabled` says.
const BPF_BY_DESCRIPTOR: KernelVersion = KernelVersion(5, 19);

/// A kernel's version, as far as it matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct KernelVersion(pub u32, pub u32);

impl KernelVersion {
    /// The kernel that runs; 0.0 if it has a number of its own making.
    #[must_use]
    pub fn running() -> Self {
        let name = rustix::system::uname();
        Self::parse(&name.release().to_string_lossy()).unwrap_or(Self(0, 0))
    }

    fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        Some(Self(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

/// Gives up what a running node does not need: every capability, the way to new ones, and, if
/// `user` is given, the identity of whoever started it. `updates_maps` says whether an XDP program's
/// maps will be written.
///
/// # Errors
///
/// The user does not exist or cannot be become.
pub fn drop(user: Option<&str>, updates_maps: bool) -> Result<()> {
    let kept = match updates_maps && maps_need_capability(KernelVersion::running(), bpf_disabled())
    {
        true => capabilities(None)?.permitted & CapabilitySet::BPF,
        false => CapabilitySet::empty(),
    };
    if let Some(user) = user {
        become_user(user, !kept.is_empty())?;
    }
    keep_only(kept).context("cannot give up capabilities")?;
    let left = if kept.is_empty() { "none" } else { "CAP_BPF, which this kernel asks for" };
    info!(uid = geteuid().as_raw(), "privileges given up; capabilities left: {left}");
    Ok(())
}

/// Gives up every capability but `kept`, which outlast a change of the user but have to be made
/// effective again, and the way to others.
fn keep_only(kept: CapabilitySet) -> io::Result<()> {
    let inheritable = CapabilitySet::empty();
    set_keep_capabilities(!kept.is_empty())?;
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    set_no_new_privs(true)?;
    Ok(())
}

fn become_user(name: &str, keep: bool) -> Result<()> {
    let user = User::from_name(name)
        .with_context(|| format!("cannot look up the user {name}"))?
        .with_context(|| format!("there is no user {name} ([process] user)"))?;
    if geteuid().as_raw() == user.uid.as_raw() {
        return Ok(());
    }
    if !geteuid().is_root() {
        bail!("only root can become the user {name}: start as root or remove [process] user");
    }
    set_keep_capabilities(keep)?;
    let c_name = std::ffi::CString::new(name)?;
    let become_it = |group: Gid| {
        initgroups(&c_name, group)?;
        setgid(group)?;
        setuid(user.uid)
    };
    become_it(user.gid).with_context(|| format!("cannot become the user {name}"))
}

/// Whether writing a map that one holds a descriptor of needs CAP_BPF.
fn maps_need_capability(kernel: KernelVersion, bpf_disabled: bool) -> bool {
    bpf_disabled && kernel < BPF_BY_DESCRIPTOR
}

/// `kernel.unprivileged_bpf_disabled`; where it cannot be read, the safe answer.
fn bpf_disabled() -> bool {
    fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled")
        .map_or(true, |value| value.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_all_makers_are_read() {
        let read = |release| KernelVersion::parse(release);
        assert_eq!(read("6.18.44-amd64"), Some(KernelVersion(6, 18)));
        assert_eq!(read("5.19-rc1"), Some(KernelVersion(5, 19)));
        assert_eq!(read("next"), None);
        assert!(KernelVersion::running() > KernelVersion(3, 0));
    }

    #[test]
    fn only_old_kernels_with_the_sysctl_keep_a_capability() {
        assert!(maps_need_capability(KernelVersion(5, 10), true));
        assert!(!maps_need_capability(KernelVersion(5, 10), false));
        assert!(!maps_need_capability(KernelVersion(5, 19), true));
        assert!(!maps_need_capability(KernelVersion(6, 1), true));
    }
}
