//! The systemd unit of the gateway: systemd's own judgement, and whether its capabilities are the
//! right ones.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xdtls_netlab::{Finished, Process, program};
use xdtls_tests::{GatewayConfig, Lab, OUTSIDE, PATIENCE};

/// The most that `systemd-analyze security` may say of the unit: 0 is closed, 10 is open. What is
/// left is the network and the capabilities that XDP needs.
const EXPOSURE_MAX: f64 = 2.5;

fn unit() -> Result<String> {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    Ok(fs::read_to_string(packaging.join("xdtls-gateway.service"))?)
}

/// The unit in the lab's folder, with a program that is there.
fn runnable_unit(lab: &Lab) -> Result<std::path::PathBuf> {
    let file = lab.folder().join("xdtls-gateway.service");
    let program = program("xdtls")?;
    fs::write(&file, unit()?.replace("/usr/bin/xdtls", &program.to_string_lossy()))?;
    Ok(file)
}

pub(crate) fn systemd_accepts_the_unit(lab: &Lab) -> Result<()> {
    let file = runnable_unit(lab)?;
    let verified =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output()?;
    let told = String::from_utf8_lossy(&verified.stderr);
    let about_it = told.lines().filter(|line| line.contains("xdtls-gateway"));
    let about_it: Vec<_> = about_it.collect();
    ensure!(verified.status.success() && about_it.is_empty(), "{told}");

    let mut command = Command::new("systemd-analyze");
    let judged = command.args(["security", "--offline=true", "--no-pager"]).arg(&file).output()?;
    let told = String::from_utf8_lossy(&judged.stdout);
    let level = told.lines().find_map(|line| line.split_once("Overall exposure level for"));
    // An older systemd judges only what runs.
    let Some((_, level)) = level else { return Ok(()) };
    println!("systemd-analyze security: {}", level.trim());
    let level =
        level.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).context("level")?;
    ensure!(level.parse::<f64>()? <= EXPOSURE_MAX, "{told}");
    Ok(())
}

/// The capabilities of the unit by name, without `CAP_`.
fn capabilities() -> Result<Vec<String>> {
    let unit = unit()?;
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key).map(str::to_owned));
    let ambient = value("AmbientCapabilities=").context("AmbientCapabilities=")?;
    let bounding = value("CapabilityBoundingSet=").context("CapabilityBoundingSet=")?;
    ensure!(ambient == bounding, "{ambient} and {bounding} differ");
    Ok(ambient.split(' ').map(|name| name.trim_start_matches("CAP_").to_lowercase()).collect())
}

/// A capability as any setpriv understands it; older ones do not know the names of later ones.
fn for_setpriv(name: &str) -> &str {
    match name {
        "perfmon" => "cap_38",
        "bpf" => "cap_39",
        name => name,
    }
}

/// A capability that stands for `LimitMEMLOCK=infinity`, which a test may not be allowed to grant.
const UNLIMITED: &str = "ipc_lock";

/// Starts the gateway as nobody with these capabilities, and so much memory that may be locked.
fn start(lab: &Lab, capabilities: &[&str], memlock: &str) -> Result<Process> {
    let list = capabilities.iter().map(|name| format!(",+{}", for_setpriv(name)));
    let list = format!("-all{}", list.collect::<String>());
    let own = lab.folder().join("xdtls");
    if !own.exists() {
        // The build may lie where only its owner can go.
        fs::copy(program("xdtls")?, &own)?;
    }
    let mut command = lab.gateway.command("prlimit");
    command.args([&format!("--memlock={memlock}"), "setpriv"]);
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]);
    command.args(["--pdeathsig", "KILL"]);
    command.args(["bounding-set", "inh-caps", "ambient-caps"].map(|set| format!("--{set}={list}")));
    command.arg("--").arg(own).args(["gateway", "--config"]);
    Process::spawn("gateway", {
        command.arg(lab.folder().join("gateway.toml"));
        command
    })
}

/// Writes a configuration that nobody may read.
fn prepare(lab: &Lab) -> Result<()> {
    GatewayConfig::forward_to(lab.backend_address(9000)).command(lab)?;
    chown(lab.folder(), Some(65_534), None)?;
    Ok(chown(lab.folder().join("certs/gateway.key"), Some(65_534), None)?)
}

/// ```text
///   setpriv, as nobody with the unit's capabilities: xdtls gateway --datapath xdp
///   and again with each of them taken away
/// ```
pub(crate) fn its_capabilities_are_enough_and_each_is_needed(lab: &Lab) -> Result<()> {
    prepare(lab)?;
    let all = capabilities()?;
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let gateway = start(lab, &[&all[..], &[UNLIMITED]].concat(), "65536")?;
    gateway.wait_for_line("gateway is ready", PATIENCE)?;
    gateway.terminate(PATIENCE)?;
    for missing in &all {
        let others = all.iter().filter(|name| *name != missing).copied().chain([UNLIMITED]);
        let others: Vec<_> = others.collect();
        let finished: Finished = start(lab, &others, "65536")?.wait(PATIENCE)?;
        let told = finished.to_string();
        ensure!(finished.status.code() == Some(4), "without {missing}: {told}");
        let name = format!("CAP_{}", missing.to_uppercase());
        ensure!(told.contains(&name), "{name} is not named: {told}");
    }
    Ok(())
}

/// ```text
///   prlimit --memlock=65536: xdtls gateway --datapath xdp
/// ```
pub(crate) fn too_little_locked_memory_is_named(lab: &Lab) -> Result<()> {
    prepare(lab)?;
    let all = capabilities()?;
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let finished = start(lab, &all, "65536")?.wait(PATIENCE)?;
    let told = finished.to_string();
    ensure!(!finished.status.success(), "{told}");
    ensure!(told.contains("registering memory for frames failed"), "{told}");
    ensure!(told.contains("LimitMEMLOCK=infinity"), "{told}");
    let shown = lab.gateway.ip(&["-d", "link", "show", OUTSIDE])?;
    ensure!(!shown.contains("prog/xdp"), "{shown}");
    Ok(())
}
