//! `xdtls-bench forward`: traffic from a client through a gateway to a backend and back, beside
//! plain forwarding, a gateway made of OpenSSL and sockets, and other tunnels.
//!
//! Each tunnel carries the same datagrams between the same sockets. Its rate is the highest at
//! which less than 0.1 % is lost, found by halving; its cost is the CPU time a datagram of the
//! gateway's process and of the threads that receive for it, at that rate, less the same where its
//! kernel merely forwards.

mod load;
mod report;
mod stage;
mod tunnels;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde::Serialize;

use crate::interrupt::Interrupt;
use crate::numbers::percentile;
use crate::outcome::{self, Options};
use crate::report::Machine;
pub(crate) use load::pin;
use load::{Load, Trial, Way};
use stage::{Stage, busy_seconds};
use tunnels::{BACKEND, Running, Tunnel};

/// The CPU of the gateway, and the one of all else.
const GATEWAY_CPU: usize = 1;
const CLIENT_CPU: usize = 0;

/// Payloads in bytes. The last is the one of the figures.
const SIZES: [usize; 3] = [64, 256, 1200];
const SIZE: usize = 1200;

/// Flows at a time.
const FLOWS: [usize; 2] = [1, 1_000];

/// The most that may be lost.
const LOSS_MAX: f64 = 0.001;

/// More than any tunnel carries.
const FLAT_OUT: f64 = 2e6;

/// How often the interval of a rate is halved, and how long each trial takes.
const HALVINGS: usize = 6;
const TRIAL: Duration = Duration::from_millis(300);

/// How long the trial takes that counts, and how often a lower rate is tried if it loses too much.
const WINDOW: Duration = Duration::from_secs(1);
const WINDOWS_MAX: usize = 8;

/// Round trips to take.
const ROUND_TRIPS: usize = 1_000;

/// One window at the highest rate.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Window {
    /// Datagrams offered and arrived.
    pub sent: u64,
    /// Those that arrived.
    pub received: u64,
    /// How long they were sent.
    pub seconds: f64,
    /// Arrived a second; 0 if no rate was low enough.
    pub rate: f64,
    /// Microseconds of the gateway for each: its process, and the threads that receive for it.
    pub gateway_us: f64,
    /// Microseconds of the whole machine for each.
    pub machine_us: f64,
}

/// Round trips of a datagram of 1200 bytes, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RoundTrips {
    /// Half are quicker.
    pub p50: f64,
    /// 99 of 100 are quicker.
    pub p99: f64,
}

impl RoundTrips {
    fn of(sorted: &[f64]) -> Self {
        Self { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) }
    }
}

/// One tunnel.
#[derive(Debug, Default, Serialize)]
pub struct Carried {
    /// Windows of each round, by flows, way and size: `1_up_1200`.
    pub windows: BTreeMap<String, Vec<Window>>,
    /// Without other traffic, round by round.
    pub idle: Vec<RoundTrips>,
    /// While half of the highest rate goes up, round by round.
    pub half_load: Vec<RoundTrips>,
}

/// All of it.
#[derive(Debug, Default, Serialize)]
pub struct Forwarded {
    /// By the tunnel's name.
    pub tunnels: BTreeMap<&'static str, Carried>,
    /// What was left out, and why.
    pub skipped: BTreeMap<&'static str, String>,
    /// The most that a window may lose.
    pub loss_max: f64,
}

/// Measures and reports.
pub fn run(options: &Options) -> Result<()> {
    let (begin, interrupt) = (Instant::now(), Interrupt::register()?);
    if let Some(reason) = xdtls_netlab::missing() {
        bail!("network namespaces cannot be made here: {reason}");
    }
    ensure!(Machine::this().cores >= 2, "the gateway needs a core of its own; there is one here");
    xdtls_netlab::sweep()?;
    pin(CLIENT_CPU)?;
    let stage = Stage::new()?;
    let mut forwarded = Forwarded { loss_max: LOSS_MAX, ..Forwarded::default() };
    for tunnel in Tunnel::ALL {
        if let Some(reason) = tunnel.missing() {
            eprintln!("bench: SKIP {}: {reason}", tunnel.name());
            forwarded.skipped.insert(tunnel.name(), reason);
        }
    }
    for round in 1..=options.rounds() {
        for tunnel in Tunnel::ALL {
            interrupt.check()?;
            if forwarded.skipped.contains_key(tunnel.name()) {
                continue;
            }
            eprintln!("bench: round {round} of {}: {}", options.rounds(), tunnel.name());
            let carried = forwarded.tunnels.entry(tunnel.name()).or_default();
            let outcome = tunnel.start(&stage).and_then(|running| {
                let outcome = carried.round(&stage, tunnel, &running, options.quick);
                running.end(&stage)?;
                outcome
            });
            if let Err(error) = outcome {
                ensure!(tunnel.is_peer(), "{}: {error:#}", tunnel.name());
                eprintln!("bench: SKIP {}: {error:#}", tunnel.name());
                forwarded.tunnels.remove(tunnel.name());
                // What the program has said is on standard error.
                let words = format!("{error:#}");
                let reason = words.lines().next().unwrap_or_default().to_owned();
                forwarded.skipped.insert(tunnel.name(), reason);
            }
        }
    }
    drop(stage);
    outcome::present(options, begin, &forwarded)
}

impl Carried {
    fn round(&mut self, stage: &Stage, tunnel: Tunnel, it: &Running, quick: bool) -> Result<()> {
        for flows in FLOWS {
            if flows > 1 && (quick || !(tunnel.has_associations() || tunnel == Tunnel::Plain)) {
                continue;
            }
            let far = BACKEND.parse()?;
            let mut load =
                Load::open(&stage.client, it.near, it.target, &stage.backend, far, flows)?;
            for (name, way) in [("up", Way::Up), ("down", Way::Down)] {
                for size in SIZES {
                    if size != SIZE && (quick || tunnel.is_peer()) {
                        continue;
                    }
                    let key = format!("{flows}_{name}_{size}");
                    let windows = self.windows.entry(key).or_default();
                    let known = windows.last().map(|window| window.rate);
                    let seconds = || stage.gateway_seconds(&it.gateway());
                    windows.push(highest(&mut load, way, size, known, seconds)?);
                }
            }
            if flows == 1 {
                self.idle.push(RoundTrips::of(&load.round_trips(SIZE, ROUND_TRIPS)?));
                let rate = self.windows[&format!("1_up_{SIZE}")].last().map_or(0.0, |it| it.rate);
                let sorted = load.round_trips_under(SIZE, ROUND_TRIPS, rate / 2.0)?;
                self.half_load.push(RoundTrips::of(&sorted));
            }
        }
        Ok(())
    }
}

/// The window at the highest rate with next to no loss; `known` is one of an earlier round.
fn highest(
    load: &mut Load,
    way: Way,
    size: usize,
    known: Option<f64>,
    gateway_seconds: impl Fn() -> Result<f64>,
) -> Result<Window> {
    let mut rate = match known {
        Some(rate) if rate > 0.0 => rate * 1.05,
        _ => search(load, way, size),
    };
    for _ in 0..WINDOWS_MAX {
        let (gateway, machine) = (gateway_seconds()?, busy_seconds()?);
        let trial = load.trial(way, size, rate, WINDOW);
        let (gateway, machine) = (gateway_seconds()? - gateway, busy_seconds()? - machine);
        if trial.loss() <= LOSS_MAX && trial.received > 0 {
            let each = |seconds: f64| seconds * 1e6 / trial.received as f64;
            return Ok(Window {
                sent: trial.sent,
                received: trial.received,
                seconds: trial.seconds,
                rate: trial.rate(),
                gateway_us: each(gateway),
                machine_us: each(machine),
            });
        }
        rate = rate.min(trial.sent as f64 / trial.seconds) * 0.92;
    }
    Ok(Window::default())
}

/// About the highest rate.
fn search(load: &mut Load, way: Way, size: usize) -> f64 {
    let offered = |trial: Trial| trial.sent as f64 / trial.seconds;
    let flat_out = load.trial(way, size, FLAT_OUT, TRIAL);
    if flat_out.loss() <= LOSS_MAX {
        return offered(flat_out);
    }
    let (mut low, mut high) = (0.0, offered(flat_out).min(2.0 * flat_out.rate().max(1e4)));
    for _ in 0..HALVINGS {
        let trial = load.trial(way, size, f64::midpoint(low, high), TRIAL);
        if trial.loss() <= LOSS_MAX {
            low = f64::midpoint(low, high);
        } else {
            high = f64::midpoint(low, high);
        }
    }
    if low > 0.0 { low } else { high }
}
