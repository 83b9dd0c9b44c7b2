//! Around a running node: privileges, the doctor, exit codes, the service manager.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xdtls_netlab::{Process, program};
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, Node, OUTSIDE, PATIENCE, exchange};

/// The user and group that everybody has who is nobody.
const NOBODY: u32 = 65_534;

/// The values of one line of `/proc/PID/task/*/status`, over all threads.
fn of_threads(node: &Node, line: &str) -> Result<Vec<String>> {
    let mut values = Vec::new();
    for thread in fs::read_dir(format!("/proc/{}/task", node.id()?))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let value = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
        values.push(value.with_context(|| format!("no {line} in {status}"))?.trim().to_owned());
    }
    Ok(values)
}

/// Fails unless all threads, the main thread and at least two more, have this value.
fn ensure_everywhere(node: &Node, line: &str, expected: &str) -> Result<()> {
    let values = of_threads(node, line)?;
    ensure!(values.len() >= 3, "only {} threads", values.len());
    ensure!(values.iter().all(|value| value == expected), "{line}: {values:?}");
    Ok(())
}

/// No thread has anything left.
fn ensure_powerless(node: &Node) -> Result<()> {
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        ensure_everywhere(node, set, "0000000000000000")?;
    }
    ensure_everywhere(node, "NoNewPrivs", "1")
}

/// ```text
///   program ── xdtls connect ══ xdtls gateway ── udp-echo     both started by root
/// ```
pub(crate) fn no_thread_keeps_privileges(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    ensure_powerless(&gateway)?;
    ensure_powerless(&client)?;
    exchange(&lab.bind_program(&client)?, b"without privileges")?;
    // Ending needs none either: the XDP program goes, and everybody is told.
    gateway.terminate()?;
    let link = lab.gateway.ip(&["-d", "link", "show", OUTSIDE])?;
    ensure!(!link.contains("prog/xdp"), "{link}");
    client.wait_for_associations(0).map(drop)
}

/// ```text
///   program ── xdtls connect ══ xdtls gateway, as nobody ── udp-echo
/// ```
pub(crate) fn the_gateway_becomes_another_user(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    chown(lab.folder(), Some(NOBODY), None)?;
    // A table of its own after the last line of another is as good as any place.
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = config.with_limits("[process]\nuser = \"nobody\"").start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    ensure_powerless(&gateway)?;
    let ids = [NOBODY.to_string().as_str(); 4].join("\t");
    ensure_everywhere(&gateway, "Uid", &ids)?;
    ensure_everywhere(&gateway, "Gid", &ids)?;
    exchange(&lab.bind_program(&client)?, b"as nobody")
}

/// Runs `xdtls` in the gateway's namespace to its end: exit code and output.
fn xdtls(lab: &Lab, arguments: &[&str]) -> Result<(i32, String)> {
    let mut command = lab.gateway.command(program("xdtls")?);
    command.args(arguments).current_dir(lab.folder());
    let finished = Process::spawn("xdtls", command)?.wait(PATIENCE)?;
    let output = finished.lines.iter().map(|line| format!("{}\n", line.text)).collect();
    Ok((finished.status.code().context("killed by a signal")?, output))
}

/// What the doctor says of a subject.
fn finding<'a>(report: &'a Value, subject: &str) -> Result<(&'a str, &'a str)> {
    let findings = report["findings"].as_array().context("findings")?;
    let found = findings.iter().find(|finding| finding["subject"] == subject);
    let found = found.with_context(|| format!("nothing about {subject} in {report}"))?;
    Ok((found["severity"].as_str().context("severity")?, found["seen"].as_str().context("seen")?))
}

/// ```text
///   outside.2: xdtls doctor; then again beside a running gateway
/// ```
pub(crate) fn the_doctor_looks_and_changes_nothing(lab: &Lab) -> Result<()> {
    let before = lab.gateway.ip(&["-d", "link", "show", OUTSIDE])?;
    let (code, output) = xdtls(lab, &["doctor", OUTSIDE, "--json"])?;
    let report: Value = serde_json::from_str(&output).context(output)?;
    ensure!(code == 0 && report["problems"] == 0, "{report:#}");
    ensure!(finding(&report, "XDP program")?.0 == "ok", "{report:#}");
    ensure!(finding(&report, "interface")?.1.contains("(veth) is up"), "{report:#}");
    ensure!(finding(&report, "queues")?.1.starts_with("2 receive queues"), "{report:#}");
    ensure!(finding(&report, "XDP modes")? == ("ok", "native and generic"), "{report:#}");
    ensure!(finding(&report, "zero-copy")?.0 == "warning", "{report:#}");
    let after = lab.gateway.ip(&["-d", "link", "show", OUTSIDE])?;
    ensure!(before == after, "{before}{after}");

    let _gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let (code, output) = xdtls(lab, &["doctor", OUTSIDE])?;
    ensure!(code == 3 && output.contains("has an XDP program already (id "), "{output}");
    Ok(())
}

/// ```text
///   xdtls gateway, a second one on its port, and commands that cannot do what they shall
/// ```
pub(crate) fn exit_codes_are_as_documented(lab: &Lab) -> Result<()> {
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    // Two workers share the port; that must not let in strangers.
    let _gateway = GatewayConfig { workers: 2, ..config }.start(lab)?;
    let toml = fs::read_to_string(lab.folder().join("gateway.toml"))?;
    fs::write(lab.folder().join("second.toml"), toml.replace("gateway.sock", "second.sock"))?;
    fs::write(lab.folder().join("wrong.toml"), toml.replace("gateway.key", "client.key"))?;
    let expected = [
        (0, "no problems", &["check", "--config", "gateway.toml"][..]),
        (1, "ss -ulpn sport = :4433", &["gateway", "--config", "second.toml"]),
        (2, "--config", &["gateway"]),
        (3, "does not belong", &["gateway", "--config", "wrong.toml"]),
        (3, "does not belong", &["check", "--config", "wrong.toml"]),
        (3, "no network interface", &["doctor", "nonesuch"]),
        (3, "cannot be read", &["gateway", "--config", "absent.toml"]),
        (5, "nobody answers", &["status", "--socket", "second.sock"]),
    ];
    for (code, words, arguments) in expected {
        let (found, output) = xdtls(lab, arguments)?;
        ensure!(found == code && output.contains(words), "{arguments:?}: {found}\n{output}");
    }
    Ok(())
}

/// ```text
///   NOTIFY_SOCKET ◀── READY=1, WATCHDOG=1, STOPPING=1 ── xdtls gateway
/// ```
pub(crate) fn a_service_manager_is_told(lab: &Lab) -> Result<()> {
    let path = lab.folder().join("notify.sock");
    let manager = UnixDatagram::bind(&path)?;
    manager.set_read_timeout(Some(PATIENCE))?;
    let told = || -> Result<String> {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).trim().to_owned())
    };
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let mut command: Command = config.command(lab)?;
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let gateway = Process::spawn("gateway", command)?;
    ensure!(told()? == "READY=1");
    ensure!(told()? == "WATCHDOG=1" && told()? == "WATCHDOG=1");
    let finished = gateway.terminate(PATIENCE)?;
    ensure!(finished.status.success(), "{finished}");
    let mut last = told()?;
    while last == "WATCHDOG=1" {
        last = told()?;
    }
    ensure!(last == "STOPPING=1", "{last}");
    Ok(())
}
