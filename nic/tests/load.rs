//! `load`, `pktgen` and `unload` on a veth pair between two namespaces.
//!
//! ```text
//!   world                                       gateway
//!   xdtls-nic pktgen                            xdtls-nic load, unload
//!   wan 192.0.2.1 ═════════════════════════════ outside 192.0.2.2:4433
//! ```
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::process::{Command, ExitCode, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Trial};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use tempfile::TempDir;
use xdtls_bench::generator;
use xdtls_netlab::{Netns, Veth, program};

const OUTSIDE: &str = "outside";
const WAN: &str = "wan";
const GATEWAY: &str = "192.0.2.2:4433";

/// How long a killed process may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A test: its name, and what it does.
type Named = (&'static str, fn(&Lab) -> Result<()>);

const TESTS: [Named; 6] = [
    ("a_gateway_is_loaded_once_and_unloaded_without_a_trace", loaded_and_unloaded),
    ("a_configuration_of_the_user_is_used", configured),
    ("what_keeps_a_gateway_from_loading_is_said_and_undone", refused),
    ("an_mtu_that_is_too_large_is_refused_with_the_limit", jumbo),
    ("a_gateway_that_has_died_is_unloaded_with_its_last_words", died),
    ("every_packet_of_every_profile_is_accounted_for", accounted),
];

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let obstacle = obstacle();
    let trials = TESTS.into_iter().map(|(name, test)| {
        if let (Some(reason), false) = (&obstacle, args.list) {
            println!("SKIP {name}: {reason}");
        }
        let run =
            move || Lab::new().and_then(|lab| test(&lab)).map_err(|it| format!("{it:#}").into());
        Trial::test(name, run).with_ignored_flag(obstacle.is_some())
    });
    libtest_mimic::run(&args, trials.collect()).exit_code()
}

/// Why it cannot be tested here.
fn obstacle() -> Option<String> {
    if let Some(reason) = xdtls_netlab::missing() {
        return Some(reason);
    }
    let names = ["xdtls", "xdtls-bench", "xdtls-nic"];
    let built = names.map(program).into_iter().chain([generator::object()]);
    built.into_iter().find_map(Result::err).map(|error| format!("{error:#}"))
}

struct Lab {
    world: Netns,
    gateway: Netns,
    folder: TempDir,
}

impl Lab {
    fn new() -> Result<Self> {
        let (world, gateway) = (Netns::new("nic-world")?, Netns::new("nic-gateway")?);
        let (near, far) = ("192.0.2.1/24", "192.0.2.2/24");
        Veth::pair(&world, WAN, near, &gateway, OUTSIDE, far, 2)?.disable_tx_offload()?;
        let folder = tempfile::Builder::new().prefix("xdtls-nic-").tempdir()?;
        Ok(Self { world, gateway, folder })
    }

    /// `xdtls-nic SUBCOMMAND --state …` in a namespace.
    fn run(&self, netns: &Netns, subcommand: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = netns.command(program("xdtls-nic")?);
        command
            .arg(subcommand)
            .args(arguments)
            .arg("--state")
            .arg(self.folder.path().join("state"));
        Ok(command.output()?)
    }

    fn load(&self, arguments: &[&str]) -> Result<Output> {
        self.run(&self.gateway, "load", &[&["--interface", OUTSIDE], arguments].concat())
    }

    fn unload(&self) -> Result<Output> {
        self.run(&self.gateway, "unload", &[])
    }

    /// What there is of a gateway: an XDP program, a process, a folder.
    fn traces(&self) -> Result<(bool, BTreeSet<i32>, bool)> {
        let link = self.gateway.ip(&["link", "show", "dev", OUTSIDE])?;
        let state = self.folder.path().join("state");
        Ok((link.contains("prog/xdp"), self.gateway.processes()?, state.exists()))
    }

    fn ensure_nothing_is_left(&self) -> Result<()> {
        let traces = self.traces()?;
        ensure!(traces == (false, BTreeSet::new(), false), "left behind: {traces:?}");
        Ok(())
    }
}

/// What a program has printed, if it has ended as it should.
fn said(output: &Output, success: bool) -> Result<String> {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    ensure!(output.status.success() == success, "{}: {text}", output.status);
    Ok(text)
}

fn ensure_contains(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is missing:\n{text}");
    }
    Ok(())
}

fn offloads(lab: &Lab) -> Result<String> {
    lab.gateway.run("ethtool", &["-k", OUTSIDE])
}

fn loaded_and_unloaded(lab: &Lab) -> Result<()> {
    let before = offloads(lab)?;
    let text = said(&lab.unload()?, false)?;
    ensure_contains(&text, &["nothing is loaded", "cargo xtask load --interface"])?;
    let text = said(&lab.load(&[])?, true)?;
    ensure_contains(&text, &["mode:     native, copy mode", "queues:   2, ", "admin.sock"])?;
    let (attached, processes, _) = lab.traces()?;
    ensure!(attached && processes.len() == 1, "attached: {attached}, processes: {processes:?}");
    let text = said(&lab.load(&[])?, false)?;
    ensure_contains(&text, &["loaded on outside already", "cargo xtask unload"])?;
    let text = said(&lab.run(&lab.world, "unload", &[])?, false)?;
    ensure_contains(&text, &["in another network namespace: run this there"])?;
    ensure!(lab.traces()?.1 == processes, "the gateway did not survive what was refused");
    let text = said(&lab.unload()?, true)?;
    ensure_contains(&text, &["no AF_XDP frame is missing", "outside is as it was"])?;
    ensure!(offloads(lab)? == before, "offloads have changed");
    lab.ensure_nothing_is_left()
}

fn configured(lab: &Lab) -> Result<()> {
    let folder = lab.folder.path();
    let mut certificates = Command::new(program("xdtls")?);
    let made = certificates.args(["dev-certs", "--out"]).arg(folder).output()?;
    said(&made, true)?;
    let text = "[gateway]\nlisten = \"192.0.2.2:5555\"\nworkers = 1\n\
                [[identity]]\ncertificate = \"gateway.pem\"\nkey = \"gateway.key\"\n\
                [clients]\nca = \"ca.pem\"\n\
                [[backend]]\nname = \"app\"\naddress = \"127.0.0.1:9000\"\n\
                [forward]\ndefault_backend = \"app\"\n";
    let config = folder.join("gateway.toml");
    let name = config.to_str().context("an odd name")?;
    std::fs::write(&config, text)?;
    let text_without = said(&lab.load(&["--config", name])?, false)?;
    ensure_contains(&text_without, &["names no admin socket", "[admin]"])?;
    lab.ensure_nothing_is_left()?;
    std::fs::write(&config, format!("{text}[admin]\nsocket = \"own.sock\"\n"))?;
    let text = said(&lab.load(&["--config", name])?, true)?;
    ensure_contains(&text, &["listens:  192.0.2.2:5555", "own.sock", "2, 1 workers"])?;
    said(&lab.unload()?, true)?;
    ensure!(config.exists(), "the user's own file is gone");
    lab.ensure_nothing_is_left()
}

fn refused(lab: &Lab) -> Result<()> {
    let output = lab.run(&lab.gateway, "load", &["--interface", "nowhere"])?;
    ensure_contains(
        &said(&output, false)?,
        &["nowhere", "`ip link` lists", "each with its remedy"],
    )?;
    let other = lab.gateway.pass_xdp(OUTSIDE)?;
    let text = said(&lab.load(&[])?, false)?;
    ensure_contains(&text, &["has an XDP program already", "xdp off"])?;
    drop(other);
    let taken = lab.gateway.bind_udp("0.0.0.0:4433".parse()?)?;
    let text = said(&lab.load(&[])?, false)?;
    ensure_contains(&text, &["the gateway has ended", "cannot listen on 0.0.0.0:4433"])?;
    drop(taken);
    let stranger = lab.folder.path().join("state");
    std::fs::create_dir(&stranger)?;
    std::fs::write(stranger.join("letter"), "dear")?;
    let text = said(&lab.load(&[])?, false)?;
    ensure_contains(&text, &["is not empty"])?;
    ensure!(stranger.join("letter").exists(), "somebody else's file is gone");
    std::fs::remove_dir_all(stranger)?;
    lab.ensure_nothing_is_left()
}

fn jumbo(lab: &Lab) -> Result<()> {
    lab.gateway.ip(&["link", "set", OUTSIDE, "mtu", "3507"])?;
    let text = said(&lab.load(&[])?, false)?;
    ensure_contains(&text, &["PROBLEM  MTU: 3507", "ip link set outside mtu 3506"])?;
    let text = gateway_alone(lab, "xdp")?;
    let words = "an MTU of 3507 is more than XDP takes on outside (3506)";
    ensure_contains(&text, &[words, "ip link set outside mtu 3506", "datapath = \"socket\""])?;
    lab.gateway.ip(&["link", "set", OUTSIDE, "mtu", "3506"])?;
    said(&lab.load(&[])?, true)?;
    said(&lab.unload()?, true)?;
    lab.ensure_nothing_is_left()
}

/// What a gateway says that cannot start.
fn gateway_alone(lab: &Lab, datapath: &str) -> Result<String> {
    let folder = lab.folder.path();
    let mut certificates = Command::new(program("xdtls")?);
    said(&certificates.args(["dev-certs", "--out"]).arg(folder).output()?, true)?;
    let config = folder.join("gateway.toml");
    let text = "[gateway]\nlisten = \"0.0.0.0:4433\"\n\
                [[identity]]\ncertificate = \"gateway.pem\"\nkey = \"gateway.key\"\n\
                [clients]\nca = \"ca.pem\"\n\
                [[backend]]\nname = \"app\"\naddress = \"127.0.0.1:9000\"\n\
                [forward]\ndefault_backend = \"app\"\n";
    std::fs::write(&config, text)?;
    let mut command = lab.gateway.command(program("xdtls")?);
    command.args(["gateway", "--datapath", datapath, "--interface", OUTSIDE, "--config"]);
    said(&command.arg(config).output()?, false)
}

fn died(lab: &Lab) -> Result<()> {
    said(&lab.load(&[])?, true)?;
    let pid = *lab.gateway.processes()?.first().context("there is no gateway")?;
    kill(Pid::from_raw(pid).context("no process")?)?;
    let text = said(&lab.unload()?, true)?;
    ensure_contains(&text, &["had ended by itself", "gateway is ready", "outside is as it was"])?;
    lab.ensure_nothing_is_left()
}

/// Kills a process of any parent, and waits until it has ended.
fn kill(pid: Pid) -> Result<()> {
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    pidfd_send_signal(&process, Signal::KILL)?;
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    poll(&mut ended, Some(&PATIENCE.try_into()?))?;
    ensure!(ended[0].revents().contains(PollFlags::IN), "{pid:?} lives {PATIENCE:?} after SIGKILL");
    Ok(())
}

fn accounted(lab: &Lab) -> Result<()> {
    // Frames of XDP reach a veth only if a program is there, or this.
    lab.gateway.run("ethtool", &["-K", OUTSIDE, "gro", "on"])?;
    said(&lab.load(&[])?, true)?;
    for (profile, count, fate) in [
        ("garbage", 5_000, "dropped: "),
        ("hellos", 2_000, "passed to the kernel: slow_hello"),
        ("records", 2_000, "opened"),
    ] {
        let count_text = count.to_string();
        let arguments = ["--interface", WAN, "--target", GATEWAY, "--profile", profile, "--json"];
        let arguments = [&arguments[..], &["--count", &count_text]].concat();
        let output = lab.run(&lab.world, "pktgen", &arguments)?;
        let report: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        ensure!(output.status.success() && report["unaccounted"] == 0, "{report}");
        ensure!(report["sent"].as_u64() >= Some(count), "{report}");
        let fates = report["fates"].as_object().context("there are no fates")?;
        ensure!(fates.keys().any(|name| name.starts_with(fate)), "{report}");
    }
    said(&lab.unload()?, true)?;
    lab.ensure_nothing_is_left()
}
