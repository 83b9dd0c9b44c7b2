//! `xdtls-nic load` and `unload`: a gateway put on an interface, and taken off again without a trace.
//!
//! `load` leaves a process, an XDP program and a folder; nothing else changes but what the driver
//! itself changes while a program is attached. `unload` waits until all of it is gone and the
//! interface is as it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use xdtls_netlab::{capture, program};

pub(crate) mod files;
mod record;
pub(crate) mod settings;

use files::Configuration;
pub use record::Record;
use settings::{Settings, has_carrier, xdp_program};

/// How long the gateway may take until it answers.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to close its associations when it is told to end.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// How long a card may be without a carrier after a reset.
const CARRIER_PATIENCE: Duration = Duration::from_secs(30);

/// How often something is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Lines of the gateway's log that are shown when it was told to end.
const LAST_WORDS: usize = 2;

/// Lines of the gateway's log that are shown when it has failed.
const LOG_LINES: usize = 12;

/// Starts a gateway on an interface, in the background.
///
/// `xdtls doctor` goes first; what it calls a problem is refused. The gateway runs until `unload`.
#[derive(Args, Clone, Debug)]
pub struct Load {
    /// Network interface of the outside
    #[arg(long, value_name = "IF")]
    pub interface: String,
    /// The gateway's configuration [default: one to begin with, with certificates for development]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder for what is to be remembered; `unload` removes it [default: load in the target folder]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// Ends the gateway that `load` has started and waits until the interface is as it was.
#[derive(Args, Clone, Debug)]
pub struct Unload {
    /// Folder that was given to `load` [default: load in the target folder]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// The folder that was given, or the one beside what cargo has built.
pub(crate) fn state_folder(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(folder) => Ok(folder.to_owned()),
        None => beside_build("load"),
    }
}

/// A folder in the target folder: this program is two levels below it.
pub(crate) fn beside_build(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).context("this program lies in no target folder")?;
    Ok(target.join(name))
}

/// Loads a gateway and says in which mode it runs.
pub fn load(options: &Load) -> Result<()> {
    let (interface, state) = (&options.interface, &state_folder(options.state.as_deref())?);
    ensure!(rustix::process::geteuid().is_root(), NEEDS_ROOT);
    if let Some(Record { interface, pid, .. }) = &Record::read(state)? {
        bail!(
            "a gateway was loaded on {interface} already (process {pid}): `cargo xtask unload` \
             takes it off"
        );
    }
    examine(interface)?;
    let before = Settings::of(interface)?;
    let state = &files::make(state)?;
    let started = match start(options, state, before) {
        Ok(started) => started,
        Err(error) => {
            // What there is to know of it is in the error.
            files::remove(state)?;
            return Err(error);
        }
    };
    announce(&started, state);
    Ok(())
}

const NEEDS_ROOT: &str = "XDP needs root. Run it so:\n    \
                          sudo env \"PATH=$PATH\" \"HOME=$HOME\" cargo xtask load …";

/// Lets the doctor have its say.
fn examine(interface: &str) -> Result<()> {
    let mut doctor = Command::new(program("xdtls")?);
    let verdict = doctor.args(["doctor", interface]).status().context("xdtls doctor")?;
    ensure!(
        verdict.success(),
        "{interface} cannot be used as it is: see the problems above, each with its remedy"
    );
    Ok(())
}

struct Started {
    record: Record,
    status: Value,
    made_configuration: bool,
    /// How long the link was down because the card was reset, if it was.
    carrier_lost: Option<Duration>,
}

fn start(options: &Load, state: &Path, before: Settings) -> Result<Started> {
    let interface = options.interface.clone();
    let configuration = match &options.config {
        Some(file) => Configuration::given(file)?,
        None => Configuration::made(state)?,
    };
    // A session of its own: what ends the terminal does not end the gateway.
    let mut command = Command::new("setsid");
    command.arg(program("xdtls")?).args(["gateway", "--datapath", "xdp"]);
    command.args(["--interface", &interface, "--config"]).arg(&configuration.file);
    let log = files::new_log(state)?;
    command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut gateway = command.spawn().context("cannot start the gateway")?;
    let pid = gateway.id();
    let started = record::started(pid).context("the gateway has ended at once")?;
    let namespace = record::own_namespace()?;
    let socket = configuration.socket;
    let record = Record { interface, namespace, pid, started, socket, before };
    let ready = record.write(state).and_then(|()| wait_until_ready(&mut gateway, &record, state));
    let carrier = ready.and_then(|status| {
        let lost = if record.before.carrier { wait_for_carrier(&record.interface)? } else { None };
        Ok((status, lost))
    });
    match carrier {
        Ok((status, carrier_lost)) => {
            let made_configuration = options.config.is_none();
            Ok(Started { record, status, made_configuration, carrier_lost })
        }
        Err(error) => {
            // It may have ended by itself.
            let _ = gateway.kill();
            let _ = gateway.wait();
            Err(error)
        }
    }
}

fn wait_until_ready(gateway: &mut Child, record: &Record, state: &Path) -> Result<Value> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        if let Some(status) = gateway.try_wait()? {
            bail!("the gateway has ended ({status}):\n{}", files::log_end(state, LOG_LINES));
        }
        if let Ok(status) = ask(&record.socket) {
            return Ok(status);
        }
        ensure!(
            Instant::now() < deadline,
            "the gateway does not answer within {START_PATIENCE:?}:\n{}",
            files::log_end(state, LOG_LINES)
        );
        sleep(LOOK);
    }
}

/// What a gateway says of itself.
pub(crate) fn ask(socket: &Path) -> Result<Value> {
    let mut command = Command::new(program("xdtls")?);
    let text = capture(command.args(["status", "--json", "--socket"]).arg(socket))?;
    Ok(serde_json::from_str(&text)?)
}

/// Waits for a card that was reset; how long that took, if it had no carrier.
fn wait_for_carrier(interface: &str) -> Result<Option<Duration>> {
    let begin = Instant::now();
    let mut waited = None;
    while !has_carrier(interface)? {
        ensure!(
            begin.elapsed() < CARRIER_PATIENCE,
            "{interface} had a carrier before and has none after {CARRIER_PATIENCE:?}: look at \
             the cable and at the kernel's log"
        );
        sleep(LOOK);
        waited = Some(begin.elapsed());
    }
    Ok(waited)
}

fn announce(started: &Started, state: &Path) {
    let Started { record, status, made_configuration, carrier_lost } = started;
    let Record { interface, pid, socket, .. } = record;
    let copy = if status["zero_copy"] == true { "zero-copy" } else { "copy mode" };
    let mode = status["xdp_mode"].as_str().unwrap_or("none");
    println!("loaded on {interface}: process {pid}");
    println!("mode:     {mode}, {copy}; transmit by {}", text(&status["transmit"]));
    println!("queues:   {}, {} workers", receive_queues(interface), status["workers"]);
    println!("datapath: {}", text(&status["datapath_reason"]));
    println!("listens:  {}", text(&status["address"]));
    println!("socket:   {}", socket.display());
    println!("log:      {}", files::log_in(state).display());
    if let Some(time) = carrier_lost {
        println!(
            "link:     attaching reset the card; the link was down for {:.1} s",
            time.as_secs_f64()
        );
    }
    if *made_configuration {
        let certificates = files::certificates_in(state);
        println!("clients:  certificates for development are in {}", certificates.display());
        println!("backend:  {}, for instance `udp-echo --listen {0}`", files::BACKEND);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}

fn receive_queues(interface: &str) -> usize {
    let entries = fs::read_dir(format!("/sys/class/net/{interface}/queues"));
    let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.as_encoded_bytes().starts_with(b"rx-")).count()
}

/// Takes the gateway off again.
pub fn unload(options: &Unload) -> Result<()> {
    let state = &state_folder(options.state.as_deref())?;
    let record = Record::read(state)?.context(
        "nothing is loaded: `cargo xtask load --interface IF` puts a gateway on an interface",
    )?;
    let interface = &record.interface;
    ensure!(
        record.namespace == record::own_namespace()?,
        "it was loaded on {interface} in another network namespace: run this there"
    );
    if record.is_running() {
        stop(&record)?;
        println!("the gateway (process {}) has ended; it said at last:", record.pid);
        println!("{}", files::log_end(state, LAST_WORDS));
    } else {
        println!(
            "the gateway (process {}) had ended by itself; the end of its log:\n{}",
            record.pid,
            files::log_end(state, LOG_LINES)
        );
    }
    restore(&record)?;
    files::remove(state)?;
    println!("{interface} is as it was");
    Ok(())
}

fn stop(record: &Record) -> Result<()> {
    let pid = i32::try_from(record.pid).ok().and_then(Pid::from_raw);
    let pid = pid.context("the record names an impossible process")?;
    for signal in [Signal::TERM, Signal::KILL] {
        // It may have ended in between.
        let _ = kill_process(pid, signal);
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            if !record.is_running() {
                return Ok(());
            }
            sleep(LOOK);
        }
    }
    bail!("process {} does not end, not even by SIGKILL", record.pid)
}

/// Waits until the interface is as it was before, and sets what the driver has left changed.
fn restore(record: &Record) -> Result<()> {
    let interface = &record.interface;
    let deadline = Instant::now() + STOP_PATIENCE;
    while let Some(id) = xdp_program(interface)? {
        ensure!(
            Instant::now() < deadline,
            "{interface} still has an XDP program (id {id}), which is not the gateway's: \
             `ip link set dev {interface} xdp off` detaches it"
        );
        sleep(LOOK);
    }
    if record.before.carrier
        && let Some(time) = wait_for_carrier(interface)?
    {
        println!("detaching reset the card; the link was down for {:.1} s", time.as_secs_f64());
    }
    let now = Settings::of(interface)?;
    for (name, on) in now.changed(&record.before) {
        settings::set_offload(interface, name, on)?;
        println!("{name} is {} again", if on { "on" } else { "off" });
    }
    Ok(())
}
