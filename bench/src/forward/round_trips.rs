//! Round trips of single datagrams, through a tunnel and past it, in turns.
//!
//! What a round trip takes depends on how soon cores wake up, which changes within seconds and with
//! whatever ran before. So no core sleeps meanwhile, and a tunnel is compared with what the kernel
//! forwards between its own turns.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;
use xdtls_netlab::Process;

use super::load;
use super::stage::Stage;
use crate::numbers::percentile;

/// How many turns each has, and the round trips of one.
const TURNS: usize = 40;
const ROUND_TRIPS: usize = 25;

/// The pause between two round trips.
const PAUSE: Duration = Duration::from_micros(250);

/// How long all of them may take.
const TIME_MAX: Duration = Duration::from_secs(30);

/// How long one may take until it counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// Round trips of a datagram of 1200 bytes, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RoundTrips {
    /// Half are quicker.
    pub p50: f64,
    /// 99 of 100 are quicker.
    pub p99: f64,
    /// Half of those that the kernel forwarded in between are quicker; 0 if there were none.
    pub plain_p50: f64,
}

/// A socket of the client, and where its datagrams come back from.
pub(super) struct Probe {
    socket: UdpSocket,
    target: SocketAddr,
}

impl Probe {
    pub(super) fn new(socket: UdpSocket, target: SocketAddr) -> Result<Self> {
        socket.set_read_timeout(Some(LOST_AFTER))?;
        Ok(Self { socket, target })
    }

    /// How long one round trip takes, in microseconds; `None` if it is lost.
    fn round_trip(&self, datagram: &[u8], buffer: &mut [u8]) -> Result<Option<f64>> {
        let sent = Instant::now();
        self.socket.send_to(datagram, self.target)?;
        let came = self.socket.recv(buffer).is_ok();
        Ok(came.then(|| sent.elapsed().as_nanos() as f64 / 1e3))
    }
}

/// Takes turns with datagrams of `size` bytes, first past the tunnel if there is a way, then through it.
pub(super) fn measure(tunnel: &Probe, plain: Option<&Probe>, size: usize) -> Result<RoundTrips> {
    let (datagram, mut buffer) = (load::echo_request(size), vec![0; 1 << 16]);
    let (begin, mut through, mut past) = (Instant::now(), Vec::new(), Vec::new());
    let mut turn = |probe: &Probe, times: &mut Vec<f64>| {
        for _ in 0..ROUND_TRIPS {
            ensure!(begin.elapsed() < TIME_MAX, "only {} round trips", times.len());
            times.extend(probe.round_trip(&datagram, &mut buffer)?);
            thread::sleep(PAUSE);
        }
        Ok(())
    };
    for _ in 0..TURNS {
        if let Some(plain) = plain {
            turn(plain, &mut past)?;
        }
        turn(tunnel, &mut through)?;
    }
    ensure!(!through.is_empty(), "no round trip has ended");
    for times in [&mut through, &mut past] {
        times.sort_by(f64::total_cmp);
    }
    let [p50, p99] = [0.5, 0.99].map(|share| percentile(&through, share));
    Ok(RoundTrips { p50, p99, plain_p50: percentile(&past, 0.5) })
}

/// Keeps both cores from sleeping, until it is dropped, with programs that give way to everything.
pub(super) struct Awake {
    _programs: [Process; 2],
}

impl Awake {
    pub(super) fn new(stage: &Stage) -> Result<Self> {
        let program = |mut command: Command| {
            command.args(["--idle", "0", "sh", "-c", "while :; do :; done"]);
            Process::spawn("a program that idles", command)
        };
        let programs = [program(stage.in_client("chrt"))?, program(stage.in_gateway("chrt"))?];
        Ok(Self { _programs: programs })
    }
}
