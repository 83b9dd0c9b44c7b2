//! Network namespaces that go away with their owner.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::net::{AddressFamily, SocketType, ipproto, socket};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::capture;
use crate::veth::LINK_GROUP;
use crate::xdp_pass::XdpPass;

/// What the names of our namespaces begin with.
const PREFIX: &str = "xdtls-";

/// Where `ip netns` keeps namespaces.
pub(crate) const MOUNTS: &str = "/run/netns";

/// How long killed processes may take to leave their namespace.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A network namespace of our own, with its loopback interface up.
///
/// Dropping it kills the processes that are still inside, deletes its veth pairs and the namespace.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Creates the namespace `xdtls-<purpose>-<pid>-<n>`.
    pub fn new(purpose: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        ensure!(
            !purpose.is_empty() && purpose.bytes().all(plain),
            "{purpose:?} does not fit into the name of a namespace"
        );
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{purpose}-{}-{n}", std::process::id());
        capture(Command::new("ip").args(["netns", "add", &name]))?;
        let netns = Self { name };
        netns.ip(&["link", "set", "lo", "up"])?;
        Ok(netns)
    }

    /// The name that `ip netns` knows it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` on this namespace, with `["route", "add", …]` for example, and returns its output.
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        ip(&self.name, arguments)
    }

    /// Gives an interface one more address. IPv6 addresses are usable at once (`nodad`).
    pub fn add_address(&self, interface: &str, cidr: &str) -> Result<()> {
        let nodad: &[&str] = if cidr.contains(':') { &["nodad"] } else { &[] };
        self.ip(&[&["address", "add", cidr, "dev", interface], nodad].concat())?;
        Ok(())
    }

    /// A command that runs inside, without standard input unless you give it one. Its process id is
    /// the program's own.
    ///
    /// The kernel kills it when the *thread* that spawned it ends, however that comes about, so
    /// that nothing is left of a test run that is killed. [`crate::Process::spawn`] uses a thread
    /// that lasts as long as our process.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "setpriv", "--pdeathsig", "KILL", "--"]);
        command.arg(program).stdin(Stdio::null());
        command
    }

    /// Runs a program inside to its end and returns its standard output; its failure is an error.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        capture(self.command(program).args(arguments))
    }

    /// A UDP socket of ours that lives inside: a test can be the program or the backend itself.
    pub fn bind_udp(&self, address: SocketAddr) -> Result<UdpSocket> {
        self.entrance().bind_udp(address)
    }

    /// A raw IPv4 socket of ours that lives inside: what it sends is a UDP header and a payload, right or
    /// wrong.
    pub fn raw_udp(&self) -> Result<UdpSocket> {
        let make = || Ok(socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::UDP))?);
        let made = self.entrance().make_socket(make)?;
        Ok(made.with_context(|| format!("a raw socket in {}", self.name))?.into())
    }

    /// A way in for other threads of ours. It outlives the namespace and is of no use then.
    pub fn entrance(&self) -> Entrance {
        Entrance { name: self.name.clone() }
    }

    /// A TCP connection of ours to somebody inside.
    pub fn connect_tcp(&self, address: SocketAddr) -> Result<TcpStream> {
        let connected = self.entrance().make_socket(move || TcpStream::connect(address))?;
        connected.with_context(|| format!("{address} in {}", self.name))
    }

    /// Attaches an XDP program to an interface of a veth pair, so that the other end can send to it
    /// by XDP. Everything passes.
    pub fn pass_xdp(&self, interface: &str) -> Result<XdpPass> {
        XdpPass::attach(&self.name, interface)
    }

    /// The process ids of what runs inside.
    pub fn processes(&self) -> Result<BTreeSet<i32>> {
        processes_in(&self.name)
    }
}

/// A way into a namespace, for threads that do not own it.
#[derive(Clone, Debug)]
pub struct Entrance {
    name: String,
}

impl Entrance {
    /// A UDP socket of ours that lives inside.
    pub fn bind_udp(&self, address: SocketAddr) -> Result<UdpSocket> {
        let bound = self.make_socket(move || UdpSocket::bind(address))?;
        bound.with_context(|| format!("{address} in {}", self.name))
    }

    /// A socket stays where it was made. The thread that goes there must not come back.
    pub(crate) fn make_socket<T: Send + 'static>(
        &self,
        make: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<io::Result<T>> {
        let netns = File::open(Path::new(MOUNTS).join(&self.name))?;
        let enter_and_make = move || {
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
            make()
        };
        std::thread::spawn(enter_and_make).join().map_err(|_| anyhow!("a thread panicked"))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.name) {
            eprintln!("namespace {} is left behind: {error:#}", self.name);
        }
    }
}

/// Removes what runs of ours have left behind that no longer live, and returns the names of the
/// namespaces.
pub fn sweep() -> Result<Vec<String>> {
    let Ok(mounts) = File::open(MOUNTS) else { return Ok(Vec::new()) };
    // Test programs that start together sweep one after the other.
    mounts.lock()?;
    let mut removed = Vec::new();
    for entry in std::fs::read_dir(MOUNTS)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if owner_of(&name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&name)?;
            removed.push(name);
        }
    }
    Ok(removed)
}

/// The process that made a namespace; `None` if it is not one of ours.
fn owner_of(name: &str) -> Option<u32> {
    let (rest, n) = name.strip_prefix(PREFIX)?.rsplit_once('-')?;
    let (_purpose, pid) = rest.rsplit_once('-')?;
    n.parse::<u32>().ok()?;
    pid.parse().ok()
}

fn remove(name: &str) -> Result<()> {
    empty(name)?;
    // A namespace dies in the background; without its links its neighbours would keep their ends
    // until then. There may be none, which `ip` calls an error.
    let _ = ip(name, &["link", "delete", "group", LINK_GROUP]);
    capture(Command::new("ip").args(["netns", "delete", name]))?;
    Ok(())
}

/// Kills what runs inside and waits until it is gone: a process would keep the namespace alive.
fn empty(name: &str) -> Result<()> {
    let deadline = Instant::now() + LEAVE_TIMEOUT;
    loop {
        let inside = processes_in(name)?;
        if inside.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "processes {inside:?} do not end");
        for pid in inside.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // It may have ended by itself in the meantime.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn processes_in(name: &str) -> Result<BTreeSet<i32>> {
    let listed = capture(Command::new("ip").args(["netns", "pids", name]))?;
    let mut pids = listed
        .split_whitespace()
        .map(|pid| pid.parse().with_context(|| format!("`ip netns pids` printed {pid:?}")))
        .collect::<Result<BTreeSet<i32>>>()?;
    // Whoever has entered the namespace himself is not to be killed by tidying up.
    pids.remove(&(std::process::id() as i32));
    Ok(pids)
}

/// Runs `ip` on a namespace and returns its output.
pub(crate) fn ip(netns: &str, arguments: &[&str]) -> Result<String> {
    capture(Command::new("ip").args(["-n", netns]).args(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_have_an_owner() {
        assert_eq!(owner_of("xdtls-gateway-123-0"), Some(123));
        assert_eq!(owner_of("xdtls-two-words-77-12"), Some(77));
        for foreign in ["gateway-123-0", "xdtls-123-0x", "xdtls-lab", "xdtls-a-b-c", "xdtls--5"] {
            assert_eq!(owner_of(foreign), None, "{foreign}");
        }
    }
}
