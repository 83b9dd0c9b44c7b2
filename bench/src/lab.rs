//! The stage: two namespaces, one veth pair with two queues, and what runs there.
//!
//! ```text
//!   world                                       gateway
//!   flood on CPU 0, into queue 0                the gateway, or what it is compared with
//!   clients, into a queue of their own          udp-echo on 127.0.0.1:9000
//!   wan 192.0.2.1 ═════════════════════════════ outside 192.0.2.2:4433
//! ```

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use xdtls_netlab::{Netns, Process, Veth, capture, program};

use crate::flood::{self, Report};

/// Where the gateway listens.
pub const GATEWAY: &str = "192.0.2.2:4433";
/// The interface of the world.
pub const WAN: &str = "wan";
/// The interface of the gateway.
pub const OUTSIDE: &str = "outside";
/// The CPU that sends floods; a veth delivers them on the queue of the same number.
pub const FLOOD_CPU: usize = 0;
/// The CPU that receives them when the gateway has one of its own.
pub const GATEWAY_CPU: usize = 1;

const WORLD_ADDRESS: &str = "192.0.2.1";
const BACKEND: &str = "127.0.0.1:9000";
const SOURCES: &str = "198.18.0.0/15";
const QUEUES: u32 = 2;

/// Begins a command that gets the CPU before all ordinary ones.
const FIRST: [&str; 3] = ["chrt", "--fifo", "1"];

/// How long anything but a flood may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The namespaces and a folder with certificates. All of it goes away with its owner.
pub struct Lab {
    /// Where floods and clients are.
    pub world: Netns,
    /// Where the gateway is.
    pub gateway: Netns,
    folder: TempDir,
    /// The MAC address of `outside`.
    mac: String,
}

impl Lab {
    /// Makes everything.
    pub fn new() -> Result<Self> {
        let (world, gateway) = (Netns::new("flood-world")?, Netns::new("flood-gateway")?);
        let (near, far) = (format!("{WORLD_ADDRESS}/24"), "192.0.2.2/24");
        Veth::pair(&world, WAN, &near, &gateway, OUTSIDE, far, QUEUES)?.disable_tx_offload()?;
        // Replies of sockets to forged addresses go back the way that those of XDP do.
        let mac = |netns: &Netns, interface: &str| {
            netns.run("cat", &[&format!("/sys/class/net/{interface}/address")])
        };
        gateway.ip(&["route", "add", SOURCES, "via", WORLD_ADDRESS])?;
        let world_mac = mac(&world, WAN)?;
        let entry = ["neighbour", "replace", WORLD_ADDRESS, "lladdr", world_mac.trim()];
        gateway.ip(&[&entry[..], &["dev", OUTSIDE, "nud", "permanent"]].concat())?;
        let mac = mac(&gateway, OUTSIDE)?.trim().to_owned();
        let entry = ["neighbour", "replace", "192.0.2.2", "lladdr", &mac];
        world.ip(&[&entry[..], &["dev", WAN, "nud", "permanent"]].concat())?;
        let folder = tempfile::Builder::new().prefix("xdtls-bench-").tempdir()?;
        let mut certificates = Command::new(program("xdtls")?);
        capture(certificates.args(["dev-certs", "--days", "1", "--out"]).arg(folder.path()))?;
        Ok(Self { world, gateway, folder, mac })
    }

    /// A file of the lab.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a gateway on an AF_XDP datapath, with room for so many associations.
    pub fn start_gateway(&self, associations: u32) -> Result<Process> {
        self.run_gateway(self.gateway.command(program("xdtls")?), "xdp", associations)
    }

    /// Starts a gateway on sockets, with the gateway's CPU for itself.
    pub fn start_userspace_gateway(&self) -> Result<Process> {
        self.run_gateway(self.alone(program("xdtls")?.as_os_str()), "socket", 65_536)
    }

    fn run_gateway(
        &self,
        mut command: Command,
        datapath: &str,
        associations: u32,
    ) -> Result<Process> {
        let config = self.file("gateway.toml");
        fs::write(&config, configuration(datapath, associations))
            .context("cannot write the gateway's configuration")?;
        command.args(["gateway", "--config"]).arg(&config).env("NO_COLOR", "1");
        let process = Process::spawn("xdtls gateway", command)?;
        process.wait_for_line("ready", PATIENCE)?;
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.status() {
            ensure!(Instant::now() < deadline, "the gateway does not answer: {error:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    /// What the running gateway says of itself.
    pub fn status(&self) -> Result<Value> {
        let mut command = Command::new(program("xdtls")?);
        command.args(["status", "--json", "--socket"]).arg(self.file("gateway.sock"));
        Ok(serde_json::from_str(&capture(&mut command)?)?)
    }

    /// Starts an XDP program that does `action` with every frame that the gateway's interface gets.
    pub fn start_bound(&self, action: &str) -> Result<Process> {
        start_bound(&self.gateway, OUTSIDE, action)
    }

    /// Lets the world receive what XDP sends while no flood does.
    pub fn start_pass(&self) -> Result<Process> {
        start_bound(&self.world, WAN, "pass")
    }

    /// Starts a server of `baselines/openssl-server.c` on the gateway's CPU.
    pub fn start_openssl(&self, mode: &str) -> Result<Process> {
        let server = self.file("openssl-server");
        if !server.exists() {
            compile(&server)?;
        }
        let mut command = self.alone(server.as_os_str());
        command.args(["192.0.2.2", "4433"]).arg(self.file("gateway.pem"));
        command.arg(self.file("gateway.key")).arg(mode);
        let process = Process::spawn("openssl-server", command)?;
        process.wait_for_line("ready", PATIENCE)?;
        Ok(process)
    }

    /// Starts the echo behind the gateway.
    pub fn start_echo(&self) -> Result<Process> {
        let mut command = self.gateway.command(program("udp-echo")?);
        command.args(["--listen", BACKEND]);
        let process = Process::spawn("udp-echo", command)?;
        process.wait_for_line("listening on ", PATIENCE)?;
        Ok(process)
    }

    /// A program that nothing takes the gateway's CPU from.
    fn alone(&self, program: &OsStr) -> Command {
        let mut command = self.gateway.command("taskset");
        command.args(["-c", &GATEWAY_CPU.to_string()]).args(FIRST).arg(program);
        command
    }

    /// Begins a flood of `count` frames; its arguments besides are `xdtls-bench flood`'s. It is on
    /// its way when this returns: attaching its program interrupts all that the interface carries.
    pub fn begin_flood(&self, kind: &str, count: u64, arguments: &[&str]) -> Result<Process> {
        let command = self.world.command(program("xdtls-bench")?);
        let flood = self.start_flood(command, kind, count, arguments)?;
        flood.wait_for_line(flood::BEGINS, PATIENCE)?;
        Ok(flood)
    }

    fn start_flood(
        &self,
        mut command: Command,
        kind: &str,
        count: u64,
        arguments: &[&str],
    ) -> Result<Process> {
        command.args(["flood", "--interface", WAN, "--target", GATEWAY, "--mac", &self.mac]);
        command.args(["--kind", kind, "--count", &count.to_string(), "--json"]);
        command.args(["--sources", SOURCES, "--cpu", &FLOOD_CPU.to_string()]).args(arguments);
        Process::spawn("xdtls-bench flood", command)
    }

    /// A whole flood and its report.
    pub fn flood(&self, kind: &str, count: u64, arguments: &[&str]) -> Result<Report> {
        Self::report(self.begin_flood(kind, count, arguments)?)
    }

    /// The same, and nothing takes the flood's CPU from it, which must not be the receiver's.
    pub fn flood_first(&self, kind: &str, count: u64, arguments: &[&str]) -> Result<Report> {
        let mut command = self.world.command(FIRST[0]);
        command.args(&FIRST[1..]).arg(program("xdtls-bench")?);
        Self::report(self.start_flood(command, kind, count, arguments)?)
    }

    fn report(flood: Process) -> Result<Report> {
        let finished = flood.wait(6 * PATIENCE)?;
        ensure!(finished.status.success(), "the flood has failed: {finished}");
        let line = finished.last_stdout_line().context("the flood has no report")?;
        serde_json::from_str(line).with_context(|| line.to_owned())
    }

    /// The driver's counters of the gateway's interface.
    pub fn received(&self) -> Result<BTreeMap<String, u64>> {
        statistics(&self.gateway, OUTSIDE)
    }

    /// The driver's counters of the world's interface: what did not fit into the gateway's receive
    /// rings is an error of the sender's there.
    pub fn sent(&self) -> Result<BTreeMap<String, u64>> {
        statistics(&self.world, WAN)
    }

    /// What sockets have sent that did not fit into a ring, so far: of the world's, of the gateway's.
    pub fn lost_at_rings(&self) -> Result<[u64; 2]> {
        let lost = |netns: &Netns, interface: &str| -> Result<u64> {
            let file = format!("/sys/class/net/{interface}/statistics/tx_dropped");
            let dropped: u64 = netns.run("cat", &[&file])?.trim().parse()?;
            // The kernel counts frames of XDP, which are the flood's, among them.
            let counters = statistics(netns, interface)?;
            let xdp = counters.iter().filter(|(name, _)| name.ends_with("xdp_xmit_errors"));
            Ok(dropped.saturating_sub(xdp.map(|(_, count)| count).sum()))
        };
        Ok([lost(&self.world, WAN)?, lost(&self.gateway, OUTSIDE)?])
    }

    /// Gives the receive queues threads, the flood's on the gateway's CPU, or takes them away: then
    /// a frame is received by the CPU that sends it. To be called once XDP is attached. With
    /// `first`, nothing takes the CPU from the flood's thread, as nothing does from interrupts.
    pub fn own_core(&self, on: bool, first: bool) -> Result<()> {
        let file = format!("/sys/class/net/{OUTSIDE}/threaded");
        let set = |value: u32| self.gateway.run("sh", &["-c", &format!("echo {value} > {file}")]);
        set(0)?;
        if !on {
            return Ok(());
        }
        let others = napi_threads()?;
        set(1)?;
        let mut own = napi_threads()?;
        own.retain(|thread| !others.contains(thread));
        // They are numbered as they are made, queue by queue.
        let flooded = own.iter().min().context("the receive queues have got no threads")?;
        let (cpu, pid) = (GATEWAY_CPU.to_string(), flooded.1.to_string());
        capture(Command::new("taskset").args(["-pc", &cpu, &pid]))?;
        if first {
            capture(Command::new("chrt").args(["--fifo", "--pid", "1", &pid]))?;
        }
        Ok(())
    }

    /// Lets the driver pass frames of the flood on without XDP, which sockets need.
    pub fn plain_receive(&self, on: bool) -> Result<()> {
        let state = if on { "on" } else { "off" };
        self.gateway.run("ethtool", &["-K", OUTSIDE, "gro", state])?;
        Ok(())
    }

    /// Makes what sockets of the world send arrive on this receive queue of the gateway. What the
    /// gateway's sockets send arrives in the world where replies of its own core do not.
    pub fn steer_sockets(&self, queue: u32) -> Result<()> {
        steer(&self.world, WAN, queue)?;
        steer(&self.gateway, OUTSIDE, 0)
    }
}

/// Makes all CPUs send through one queue.
fn steer(netns: &Netns, interface: &str, queue: u32) -> Result<()> {
    for number in 0..QUEUES {
        let cpus = if number == queue { "3" } else { "0" };
        let file = format!("/sys/class/net/{interface}/queues/tx-{number}/xps_cpus");
        netns.run("sh", &["-c", &format!("echo {cpus} > {file}")])?;
    }
    Ok(())
}

/// The kernel threads that serve queues of interfaces named as the gateway's is: the number behind
/// the name, and the process id.
fn napi_threads() -> Result<Vec<(u32, u32)>> {
    let listed = capture(Command::new("ps").args(["-eo", "pid=,comm="]))?;
    let thread = |line: &str| {
        let (pid, name) = line.trim().split_once(' ')?;
        let napi = name.trim().strip_prefix(&format!("napi/{OUTSIDE}-"))?;
        Some((napi.parse().ok()?, pid.parse().ok()?))
    };
    Ok(listed.lines().filter_map(thread).collect())
}

fn start_bound(netns: &Netns, interface: &str, action: &str) -> Result<Process> {
    let mut command = netns.command(program("xdtls-bench")?);
    command.args(["bound", "--interface", interface, "--action", action]);
    let process = Process::spawn("xdtls-bench bound", command)?;
    process.wait_for_line("ready", PATIENCE)?;
    Ok(process)
}

fn statistics(netns: &Netns, interface: &str) -> Result<BTreeMap<String, u64>> {
    let listed = netns.run("ethtool", &["-S", interface])?;
    let counter = |line: &str| {
        let (name, value) = line.trim().split_once(':')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    Ok(listed.lines().filter_map(counter).collect())
}

fn compile(server: &Path) -> Result<()> {
    let source = server.with_extension("c");
    fs::write(&source, include_str!("../baselines/openssl-server.c"))?;
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-o"]).arg(server).arg(&source).args(["-lssl", "-lcrypto"]);
    capture(&mut compiler).context("the OpenSSL baseline needs cc and libssl-dev")?;
    Ok(())
}

fn configuration(datapath: &str, associations: u32) -> String {
    let interface = if datapath == "xdp" {
        format!("interface = \"{OUTSIDE}\"\nanswer_hellos = \"xdp\"\n")
    } else {
        String::new()
    };
    format!(
        "[gateway]\nlisten = \"{GATEWAY}\"\nworkers = 1\ndatapath = \"{datapath}\"\n{interface}\
         [[identity]]\ncertificate = \"gateway.pem\"\nkey = \"gateway.key\"\n\
         [clients]\nca = \"ca.pem\"\n\
         [limits]\nassociations = {associations}\nhalf_open_per_source = 1024\n\
         [[backend]]\nname = \"echo\"\naddress = \"{BACKEND}\"\n\
         [forward]\ndefault_backend = \"echo\"\n[admin]\nsocket = \"gateway.sock\"\n"
    )
}
