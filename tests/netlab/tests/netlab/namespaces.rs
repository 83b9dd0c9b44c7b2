//! What becomes of namespaces and of the processes in them.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use rustix::process::Signal;
use xdtls_netlab::{Netns, Process, capture, sweep};

use crate::lab::{Lab, PATIENCE, ensure_gone, within_patience};

/// Set for the process that makes a lab only to be killed.
const DOOMED: &str = "XDTLS_NETLAB_DOOMED";

pub(crate) fn go_whatever_runs_inside() -> Result<()> {
    let lab = Lab::ipv4()?;
    let names = lab.names();
    let Lab { near, far, mut echo, .. } = lab;
    echo.signal(Signal::KILL)?;
    within_patience("the echo is dead", || !echo.is_running().unwrap_or(true))?;
    // One child that nobody waits for, and one whose guard outlives the namespace.
    near.run("sh", &["-c", "sleep 1000 >/dev/null 2>&1 &"])?;
    let orphan = capture(Command::new("ip").args(["netns", "pids", near.name()]))?;
    let orphan: u32 = orphan.trim().parse()?;
    let mut command = far.command("sleep");
    command.arg("1000");
    let mut guarded = Process::spawn("sleep", command)?;
    drop(near);
    let links = far.ip(&["-o", "link"])?;
    ensure!(!links.contains("far"), "the other end is still there: {links}");
    drop(far);
    ensure_gone(&names)?;
    ensure!(!is_alive(orphan), "the orphan is left behind");
    within_patience("the guarded one is dead", || !guarded.is_running().unwrap_or(true))
}

pub(crate) fn is_doomed() -> bool {
    std::env::var_os(DOOMED).is_some()
}

/// What [`of_a_killed_run_are_swept_up`] starts and kills.
pub(crate) fn doomed() -> Result<()> {
    let lab = Lab::ipv4()?;
    println!("ready {} {} {}", lab.near.name(), lab.far.name(), lab.echo.id());
    // Where the one that is to kill it has died, standard input ends, and so does this.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

pub(crate) fn of_a_killed_run_are_swept_up() -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(DOOMED, "1").stdin(Stdio::piped());
    let mut doomed = Process::spawn("doomed", command)?;
    let ready = doomed.wait_for_line("ready ", PATIENCE)?;
    let words: Vec<&str> = ready.split_whitespace().collect();
    let [_, near, far, echo] = words[..] else { bail!("{ready:?}") };
    let (names, echo): (_, u32) = ([near.to_owned(), far.to_owned()], echo.parse()?);
    ensure!(is_alive(echo), "the echo does not run");
    ensure!(!sweep()?.iter().any(|name| names.contains(name)), "swept while its owner lives");
    doomed.signal(Signal::KILL)?;
    doomed.wait(PATIENCE)?;
    within_patience("the echo has died with its parent", || !is_alive(echo))?;
    sweep()?;
    // Another test program may be at it already.
    within_patience("the namespaces are gone", || ensure_gone(&names).is_ok())
}

pub(crate) fn outlive_a_thread() -> Result<()> {
    let netns = Netns::new("thread")?;
    let mut command = netns.command("sleep");
    command.arg("1000");
    let spawned = std::thread::spawn(move || Process::spawn("sleep", command)).join();
    let mut sleeper = spawned.map_err(|_| anyhow!("the thread panicked"))??;
    std::thread::sleep(Duration::from_millis(100));
    ensure!(sleeper.is_running()?, "it died with the thread that started it");
    ensure!(Path::new("/run/netns").join(netns.name()).exists());
    Ok(())
}

fn is_alive(pid: u32) -> bool {
    // A zombie has ended; only its parent has not looked yet.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains("State:") && !status.contains("State:\tZ")
}
