//! `xdtls-bench forward`: traffic from a client through a gateway to a backend and back, beside
//! plain forwarding, a gateway made of OpenSSL and sockets, and other tunnels.
//!
//! Each tunnel carries the same datagrams between the same sockets. Its rate is the highest at
//! which less than 0.1 % is lost, found by halving; its cost is the CPU time a datagram of the
//! gateway's process and of the threads that receive for it, at that rate, less the same where its
//! kernel merely forwards.

mod load;
mod ocserv;
mod peers;
mod profile;
mod report;
mod round_trips;
mod search;
mod stage;
mod tunnels;

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::cores;
use crate::interrupt::Interrupt;
use crate::outcome;
use load::{Load, Way};
use round_trips::{Awake, RoundTrips};
use search::{Start, Traffic, highest};
use stage::Stage;
use tunnels::{Running, Tunnel};

/// Payloads in bytes. The last is the one of the figures.
const SIZES: [usize; 3] = [64, 256, 1200];
const SIZE: usize = 1200;

/// Flows at a time.
const FLOWS: [usize; 2] = [1, 1_000];

/// The most that may be lost.
const LOSS_MAX: f64 = 0.001;

/// What can be said to this measurement.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    common: outcome::Options,
    /// Measure these alone, and plain forwarding, which costs are compared with
    #[arg(long, value_name = "TUNNEL", value_delimiter = ',', value_enum)]
    only: Vec<Tunnel>,
    /// Have perf watch xdtls at its highest rates, one flow up and one down, and say where its
    /// gateway spends its time
    #[arg(long)]
    profile: bool,
}

impl Options {
    fn wants(&self, tunnel: Tunnel) -> bool {
        self.only.is_empty() || tunnel == Tunnel::Plain || self.only.contains(&tunnel)
    }
}

/// One window at the highest rate.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Window {
    /// Datagrams offered and arrived.
    pub sent: u64,
    /// Those that arrived.
    pub received: u64,
    /// From the first that was sent to the last that arrived.
    pub seconds: f64,
    /// Arrived a second; 0 if no rate was low enough.
    pub rate: f64,
    /// Microseconds of the gateway for each: its process, and the threads that receive for it.
    pub gateway_us: f64,
    /// Microseconds of the whole machine for each.
    pub machine_us: f64,
}

/// Where a gateway spends its time.
#[derive(Clone, Debug, Serialize)]
pub struct Share {
    /// The thread: a worker, or the one that receives for an interface.
    pub thread: String,
    /// The function.
    pub function: String,
    /// Its share of what all of the gateway's threads spend, in hundredths.
    pub percent: f64,
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
    /// Frames and datagrams that the kernel drops if as much is sent as can be, by kind of traffic
    /// and then by where: what is full first. With UDP_GRO, what is dropped at a socket is counted
    /// in merged datagrams.
    pub overload: BTreeMap<String, BTreeMap<String, u64>>,
    /// What takes most of the time at the highest rate, by kind of traffic.
    pub profile: BTreeMap<String, Vec<Share>>,
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
    cores::divide()?;
    let stage = Stage::new()?;
    let mut forwarded = Forwarded { loss_max: LOSS_MAX, ..Forwarded::default() };
    for tunnel in Tunnel::all() {
        if !options.wants(tunnel) {
            continue;
        }
        if let Some(reason) = tunnel.missing() {
            eprintln!("bench: SKIP {}: {reason}", tunnel.name());
            forwarded.skipped.insert(tunnel.name(), reason);
        }
    }
    for round in 1..=options.common.rounds() {
        for tunnel in Tunnel::all() {
            interrupt.check()?;
            if !options.wants(tunnel) || forwarded.skipped.contains_key(tunnel.name()) {
                continue;
            }
            eprintln!("bench: round {round} of {}: {}", options.common.rounds(), tunnel.name());
            let carried = forwarded.tunnels.entry(tunnel.name()).or_default();
            if let Err(error) = carried.round(&stage, tunnel, options) {
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
    outcome::present(&options.common, begin, &forwarded)
}

impl Carried {
    /// Starts a tunnel, measures it and ends it.
    fn round(&mut self, stage: &Stage, tunnel: Tunnel, options: &Options) -> Result<()> {
        let running = tunnel.start(stage)?;
        let many = !options.common.quick && !tunnel.is_peer();
        let outcome = FLOWS
            .into_iter()
            .filter(|flows| *flows == 1 || many)
            .try_for_each(|flows| self.flows(stage, tunnel, &running, flows, options));
        running.end(stage)?;
        outcome
    }

    fn flows(
        &mut self,
        stage: &Stage,
        tunnel: Tunnel,
        running: &Running,
        flows: usize,
        options: &Options,
    ) -> Result<()> {
        let mut load = Load::open(stage, running.ends, flows)?;
        for (name, way) in [("up", Way::Up), ("down", Way::Down)] {
            for size in SIZES.into_iter().filter(|_| tunnel.carries(way)) {
                let kind = format!("{flows}_{name}_{size}");
                let earlier = self.windows.get(&kind);
                // What no figure is made of is measured once.
                let once = options.common.quick || tunnel.is_peer() || earlier.is_some();
                if size != SIZE && once {
                    continue;
                }
                let windows = self.windows.entry(kind.clone()).or_default();
                let size_on_way = size + tunnel.padding();
                let traffic = Traffic { way, size: size_on_way, flat_out: tunnel.flat_out() };
                let known = windows.last().map(|window| window.rate).filter(|rate| *rate > 0.0);
                let start = match known {
                    Some(rate) => Start::Known(rate),
                    None => {
                        let (rate, lost) = search::overload(&mut load, traffic, stage)?;
                        self.overload.insert(kind.clone(), lost);
                        Start::Overload(rate)
                    }
                };
                let gateway = [running.gateway()?, stage.receivers()].concat();
                let window = highest(&mut load, traffic, start, &gateway)?;
                windows.push(window);
                tunnel.verify(stage, || {
                    load.trial(way, size, window.rate, search::TRIAL);
                })?;
                let watched = options.profile && tunnel == Tunnel::Xdtls && size == SIZE;
                if watched && flows == 1 && known.is_none() {
                    let shares = profile::watch(&gateway, || {
                        load.trial(way, size, window.rate, profile::TIME);
                    })?;
                    self.profile.insert(kind, shares);
                }
            }
        }
        if flows == 1 {
            let _awake = Awake::new(stage)?;
            // What an echo has on its interface leaves nothing to the kernel.
            let (size, beside) = (SIZE + tunnel.padding(), tunnel.carries(Way::Down));
            self.idle.push(load.round_trips(size, None, beside)?);
            let rate = self.windows[&format!("1_up_{SIZE}")].last().map_or(0.0, |it| it.rate);
            self.half_load.push(load.round_trips(size, Some(rate / 2.0), false)?);
        }
        Ok(())
    }
}
