//! Cookies in userspace, and servers of OpenSSL: how many hellos a second each answers at best.

use anyhow::Result;
use serde::Serialize;
use xdtls_netlab::Process;

use super::{Bench, end};
use crate::flood::Report;
use crate::numbers::{Window, median_rate, ratio};
use crate::process_cost::memory;

/// Hellos a second that each server is offered, one after the other; 0 is as many as the generator
/// makes. Which of them a server answers best is its own.
const OFFERED: [u64; 5] = [100_000, 200_000, 300_000, 450_000, 0];

/// Hellos of a window without a rate; with one, a second's worth.
const UNPACED: u64 = 4 << 20;

/// What one server has done.
#[derive(Debug, Default, Serialize)]
pub struct Server {
    /// The best window of each round where one core does all that the server's machine does, from
    /// the driver on. Handled are the replies that came while the flood went on.
    pub own_core: Vec<Window>,
    /// The same where the sending core receives for the server, which has the other to itself.
    pub shared_core: Vec<Window>,
    /// Bytes of all requests that were answered, Ethernet headers included.
    pub bytes_in: u64,
    /// Bytes of all replies.
    pub bytes_out: u64,
    /// By how much the process has grown, in bytes, in the last round.
    pub growth: u64,
}

impl Server {
    /// Replies a second with a core of its own, and where the sending core receives.
    pub fn rates(&self) -> [f64; 2] {
        [median_rate(&self.own_core), median_rate(&self.shared_core)]
    }

    /// Bytes out for each byte in.
    pub fn amplification(&self) -> f64 {
        ratio(self.bytes_out as f64, self.bytes_in as f64)
    }
}

/// All that answer from a socket.
#[derive(Debug, Default, Serialize)]
pub struct Servers {
    /// xdtls without XDP.
    pub userspace: Server,
    /// OpenSSL, `DTLSv1_listen`.
    pub openssl_listen: Server,
    /// OpenSSL, `SSL_accept` with `SSL_OP_COOKIE_EXCHANGE`.
    pub openssl_accept: Server,
    /// OpenSSL, `SSL_accept` without cookies.
    pub openssl_off: Server,
}

impl Servers {
    /// One window of each.
    pub fn round(&mut self, bench: &Bench) -> Result<()> {
        bench.lab.plain_receive(true)?;
        let gateway = bench.lab.start_userspace_gateway()?;
        self.userspace.serve(bench, gateway, &[])?;
        for (mode, server) in [
            ("listen", &mut self.openssl_listen),
            ("accept", &mut self.openssl_accept),
            ("off", &mut self.openssl_off),
        ] {
            let process = bench.lab.start_openssl(mode)?;
            server.serve(bench, process, &["--no-prefix"])?;
        }
        bench.lab.plain_receive(false)
    }
}

impl Server {
    fn serve(&mut self, bench: &Bench, process: Process, arguments: &[&str]) -> Result<()> {
        let before = memory(process.id())?.total();
        for own_core in [true, false] {
            bench.lab.own_core(own_core, true)?;
            let best = self.best(bench, own_core, arguments)?;
            let windows = if own_core { &mut self.own_core } else { &mut self.shared_core };
            windows.push(best);
        }
        self.growth = memory(process.id())?.total().saturating_sub(before);
        end(process)
    }

    fn best(&mut self, bench: &Bench, own_core: bool, arguments: &[&str]) -> Result<Window> {
        let mut best = Window::default();
        for rate in OFFERED {
            bench.interrupt.check()?;
            let count = if rate == 0 { UNPACED } else { rate };
            let rate = rate.to_string();
            let arguments = [&["--rate", &rate, "--senders", "1048576"], arguments].concat();
            let report = match own_core {
                true => bench.lab.flood_first("hello", count, &arguments)?,
                false => bench.lab.flood("hello", count, &arguments)?,
            };
            let window = self.window(&report);
            if window.rate() > best.rate() {
                best = window;
            }
        }
        Ok(best)
    }

    fn window(&mut self, report: &Report) -> Window {
        let Report { sent, replies, replies_meanwhile: meanwhile, .. } = report;
        // Without cookies the answer is a flight, which counts once: by its ServerHello.
        let answered = replies.hello_verify_requests + replies.server_hellos;
        self.bytes_in += answered * (sent.bytes / sent.frames.max(1));
        self.bytes_out += replies.bytes;
        Window {
            sent: sent.frames,
            received: sent.frames,
            handled: meanwhile.hello_verify_requests + meanwhile.server_hellos,
            seconds: sent.seconds,
        }
    }
}
