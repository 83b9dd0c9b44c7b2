//! `xdtls-bench handshakes`: full and resumed handshakes with a running gateway, cookies and all,
//! beside OpenSSL's server in memory, and what traffic of an association notices of them.
//!
//! The gateway has one core, clients, backend and all else the other. Both sides of a handshake cost
//! about the same, so that the rate is that of two cores; what compares is CPU time. A handshake's
//! is that of the gateway's process, from ClientHello to an association that is installed; over
//! loopback, that includes the delivery of what it sends, while clients deliver what it receives.
//! OpenSSL's is that of the server's object alone, in memory, without cookie or socket.
//!
//! The clients' thread is nicer than the association's programs on its core: what they notice is to
//! be the gateway's doing.

mod clients;
mod gateway;
mod memory;
mod report;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::setpriority_process;
use serde::Serialize;
use xdtls::handshake::{Identity, OpensslConnector, read_file};

use crate::cores;
use crate::interrupt::Interrupt;
use crate::openssl_pair::Credentials;
use crate::outcome::{self, Options};
use clients::{Clients, Done, Offer};
use gateway::{Echoes, Gateway};

/// Handshakes under way at a time under load.
const AT_ONCE: usize = 32;

/// What the gateway negotiates with our clients.
const SUITE: &str = "ECDHE-ECDSA-AES128-GCM-SHA256";

/// How much nicer than all else the clients' thread is.
const NICE: i32 = 19;

/// How much is done in a round.
struct Extent {
    /// How long handshakes begin, each time.
    window: Duration,
    /// Handshakes in memory: full ones, resumed ones.
    in_memory: [u32; 2],
    /// Datagrams of the association, each time.
    echoes: u32,
}

const WHOLE: Extent =
    Extent { window: Duration::from_secs(2), in_memory: [500, 5_000], echoes: 3_000 };
const QUICK: Extent =
    Extent { window: Duration::from_millis(200), in_memory: [20, 100], echoes: 200 };

/// How long handshakes take, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Half are quicker.
    pub p50: f64,
    /// 99 of 100 are quicker.
    pub p99: f64,
}

impl Latency {
    fn of(done: &Done) -> Self {
        Self { p50: done.milliseconds(0.5), p99: done.milliseconds(0.99) }
    }
}

/// Handshakes of one kind in one round.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Round {
    /// Microseconds of CPU of OpenSSL's server in memory, a handshake.
    pub openssl_us: f64,
    /// The same of the gateway's process.
    pub gateway_us: f64,
    /// Handshakes a second, as many at a time as the load has.
    pub per_second: f64,
    /// How long they take then.
    pub loaded: Latency,
    /// At half of that rate.
    pub half_load: Latency,
    /// One after the other.
    pub alone: Latency,
    /// Handshakes of all these that succeeded, and those that continued a session.
    pub completed: [u64; 2],
    /// Those that failed.
    pub failed: u64,
    /// The association's traffic under the full load.
    pub echoes: Echoes,
}

/// All of it, round by round.
#[derive(Debug, Default, Serialize)]
pub struct Handshaken {
    /// With certificates on both sides.
    pub full: Vec<Round>,
    /// Sessions continued by their id.
    pub resumed: Vec<Round>,
    /// The association's traffic without handshakes.
    pub quiet: Vec<Echoes>,
}

/// Measures and reports.
pub fn run(options: &Options) -> Result<()> {
    let (begin, interrupt) = (Instant::now(), Interrupt::register()?);
    cores::divide()?;
    let extent = if options.quick { QUICK } else { WHOLE };
    let credentials = Credentials::new()?;
    let [_, context] = credentials.contexts(SUITE)?;
    let mut handshaken = Handshaken::default();
    for round in 1..=options.rounds() {
        let gateway = Gateway::start(&credentials)?;
        eprintln!("bench: round {round} of {}: traffic without handshakes", options.rounds());
        handshaken.quiet.push(gateway.begin_echoes(extent.echoes)?.end()?);
        for (name, resume) in [("full", false), ("resumed", true)] {
            interrupt.check()?;
            eprintln!("bench: round {round} of {}: {name} handshakes", options.rounds());
            let count = extent.in_memory[usize::from(resume)];
            // Each connector has a session of its own to continue.
            let in_memory = connector(&credentials)?;
            let openssl_us = memory::server_us(&context, &in_memory, resume, count)?;
            let (sockets, address) = gateway.sockets()?;
            let mut clients = Clients::new(sockets, address, connector(&credentials)?, resume)?;
            let round = Round::measure(&mut clients, &gateway, &extent)?;
            let round = Round { openssl_us, ..round };
            if resume { &mut handshaken.resumed } else { &mut handshaken.full }.push(round);
        }
        gateway.end()?;
    }
    outcome::present(options, begin, &handshaken)
}

/// Lets clients run in a thread that is nicer than all others.
fn in_background(
    clients: &mut Clients,
    offer: Offer,
    go_on: impl FnMut(Duration) -> Result<bool> + Send,
) -> Result<Done> {
    thread::scope(|scope| {
        let ran = scope.spawn(|| {
            setpriority_process(None, NICE).context("a thread cannot be made nicer")?;
            clients.run(offer, go_on)
        });
        ran.join().map_err(|_| anyhow!("the clients' thread has panicked"))?
    })
}

impl Round {
    fn measure(clients: &mut Clients, gateway: &Gateway, extent: &Extent) -> Result<Self> {
        let mut round = Self::default();
        let for_a_window = |elapsed| Ok(elapsed < extent.window);
        clients.warm_up()?;
        let alone = in_background(clients, Offer::AtOnce(1), for_a_window)?;
        let before = gateway.seconds()?;
        let loaded = in_background(clients, Offer::AtOnce(AT_ONCE), for_a_window)?;
        let after = gateway.seconds()?;
        ensure!(loaded.completed() > 0.0, "no handshake has succeeded");
        round.gateway_us = (after - before) * 1e6 / loaded.completed();
        round.per_second = loaded.rate();
        let half_load = in_background(clients, Offer::Rate(loaded.rate() / 2.0), for_a_window)?;
        let mut probe = gateway.begin_echoes(extent.echoes)?;
        let meanwhile = in_background(clients, Offer::AtOnce(AT_ONCE), |_| probe.goes_on())?;
        round.echoes = probe.end()?;
        [round.alone, round.loaded, round.half_load] =
            [&alone, &loaded, &half_load].map(Latency::of);
        for done in [alone, loaded, half_load, meanwhile] {
            round.completed[0] += done.milliseconds.len() as u64;
            round.completed[1] += done.resumed;
            round.failed += done.failed;
        }
        Ok(round)
    }
}

/// Makes clients.
fn connector(credentials: &Credentials) -> Result<OpensslConnector> {
    let [certificate, key] = ["client.pem", "client.key"].map(|name| credentials.file(name));
    let identity = Identity::read(&certificate, &key, None)?;
    Ok(OpensslConnector::new(&identity, &read_file(&credentials.file("ca.pem"))?, "gateway")?)
}
