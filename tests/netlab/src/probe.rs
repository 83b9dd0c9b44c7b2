//! `udp-probe`: sends datagrams to an echo and compares what comes back.

use std::net::{SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::content::content;
use crate::ledger::{Lane, RoundTrips, Tally};
use crate::report::json_line;
use crate::udp;

/// The largest UDP payload over IPv4.
const SIZE_MAX: usize = 65_507;

/// How long duplicates are waited for once everything is answered.
const LINGER: Duration = Duration::from_millis(100);

/// How often lost datagrams are looked for.
const EXPIRY_TICK: Duration = Duration::from_millis(20);

/// How long a full send buffer is given to drain.
const SEND_PAUSE: Duration = Duration::from_millis(1);

/// How often progress is reported.
const PROGRESS_TICK: Duration = Duration::from_secs(1);

/// Sends datagrams to an echo and compares what comes back byte for byte.
///
/// Nothing is sent twice. The first datagram of a run, and of each socket, goes alone: neighbour
/// discovery or a tunnel's handshake on the way would lose more. The last line of standard output
/// is a JSON object; the exit status is 0 only if each datagram came back once and unaltered.
#[derive(Debug, Parser)]
pub struct Options {
    /// Where the echo is.
    #[arg(long, value_name = "ADDR:PORT")]
    target: SocketAddr,
    /// How many datagrams all sockets send together.
    #[arg(long, value_name = "N")]
    count: u64,
    /// The sizes to mix, in bytes of UDP payload.
    #[arg(long, value_name = "MIN-MAX", default_value = "0-1200", value_parser = parse_sizes)]
    sizes: RangeInclusive<usize>,
    /// What sizes and content are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many datagrams all sockets may send a second; 0 means as fast as the windows allow.
    #[arg(long, value_name = "PPS", default_value_t = 0)]
    rate: u32,
    /// How many source ports send in parallel.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    sockets: u32,
    /// After how many seconds a datagram counts as lost.
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = parse_seconds)]
    timeout: Duration,
    /// How many datagrams each socket may have under way.
    #[arg(long, value_name = "W", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    window: u32,
    /// Prints the JSON line only.
    #[arg(long)]
    json: bool,
}

fn parse_sizes(text: &str) -> Result<RangeInclusive<usize>> {
    let (min, max) = text.split_once('-').context("expected MIN-MAX")?;
    let (min, max) = (min.trim().parse()?, max.trim().parse()?);
    ensure!(min <= max && max <= SIZE_MAX, "expected MIN ≤ MAX ≤ {SIZE_MAX}");
    Ok(min..=max)
}

fn parse_seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// Sends and compares everything, reports, and says whether all came back once and unaltered.
pub fn run(options: &Options) -> Result<bool> {
    let mut probe = Probe::new(options)?;
    probe.run()?;
    let tally = probe.tally;
    if !options.json {
        println!("{}", probe.summary());
    }
    let (p50, p99) = (probe.round_trips.percentile(50), probe.round_trips.percentile(99));
    let report = [
        ("sent", tally.sent),
        ("echoed", tally.echoed),
        ("lost", tally.lost),
        ("altered", tally.altered),
        ("unexpected", tally.unexpected),
        ("bytes_sent", tally.bytes_sent),
        ("bytes_echoed", tally.bytes_echoed),
        ("rtt_us_p50", p50),
        ("rtt_us_p99", p99),
    ];
    println!("{}", json_line(&report));
    Ok(tally.is_clean())
}

struct Probe<'a> {
    options: &'a Options,
    sockets: Vec<UdpSocket>,
    lanes: Vec<Lane>,
    tally: Tally,
    round_trips: RoundTrips,
    started: Instant,
    next_lane: usize,
    buffer: Vec<u8>,
}

/// Why sending has stopped for now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// The windows are full, or everything is sent.
    Window,
    /// The rate allows the next one only then.
    Until(Instant),
    /// The kernel takes no more.
    Buffer,
}

impl<'a> Probe<'a> {
    fn new(options: &'a Options) -> Result<Self> {
        let sockets = (0..options.sockets).map(|_| udp::bind_towards(options.target));
        Ok(Self {
            options,
            sockets: sockets.collect::<Result<_>>()?,
            lanes: (0..options.sockets).map(|_| Lane::default()).collect(),
            tally: Tally::default(),
            round_trips: RoundTrips::new(options.seed),
            started: Instant::now(),
            next_lane: 0,
            buffer: vec![0; udp::DATAGRAM_BYTES_MAX],
        })
    }

    fn run(&mut self) -> Result<()> {
        let (mut next_expiry, mut next_progress) = (self.started, self.started + PROGRESS_TICK);
        while !self.is_done() {
            let pause = self.send()?;
            self.receive_for(match pause {
                Pause::Window => EXPIRY_TICK,
                Pause::Until(due) => due.saturating_duration_since(Instant::now()).min(EXPIRY_TICK),
                Pause::Buffer => SEND_PAUSE,
            })?;
            let now = Instant::now();
            if now >= next_expiry {
                next_expiry = now + EXPIRY_TICK;
                for lane in &mut self.lanes {
                    lane.expire(now, self.options.timeout, &mut self.tally);
                }
            }
            if now >= next_progress {
                next_progress = now + PROGRESS_TICK;
                eprintln!("{}", self.summary());
            }
        }
        let end = Instant::now() + LINGER;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.receive_for(left)?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let Tally { sent, echoed, lost, altered, .. } = self.tally;
        sent == self.options.count && echoed + lost + altered == sent
    }

    /// Sends what rate and windows allow.
    fn send(&mut self) -> Result<Pause> {
        while self.tally.sent < self.options.count {
            let due = self.due();
            if Instant::now() < due {
                return Ok(Pause::Until(due));
            }
            let Some(lane) = self.lane_with_room() else { return Ok(Pause::Window) };
            if !self.send_one(lane)? {
                return Ok(Pause::Buffer);
            }
        }
        Ok(Pause::Window)
    }

    /// When the rate allows the next datagram.
    fn due(&self) -> Instant {
        match self.options.rate {
            0 => self.started,
            rate => {
                self.started + Duration::from_secs_f64(self.tally.sent as f64 / f64::from(rate))
            }
        }
    }

    /// The next lane in turn that may send.
    fn lane_with_room(&self) -> Option<usize> {
        let Tally { sent, echoed, lost, altered, .. } = self.tally;
        if sent > 0 && echoed + lost + altered == 0 {
            return None;
        }
        let count = self.lanes.len();
        let in_turn = (self.next_lane..count).chain(0..self.next_lane);
        in_turn.into_iter().find(|index| {
            let lane = &self.lanes[*index];
            let window = if lane.is_settled() { self.options.window as usize } else { 1 };
            lane.outstanding() < window
        })
    }

    /// Sends one datagram; `false` if the kernel takes none now.
    fn send_one(&mut self, index: usize) -> Result<bool> {
        let Options { target, seed, sizes, .. } = self.options;
        // Sequence numbers run through all lanes; 2^32 datagrams later a wrapped one is long gone.
        let content = content(*seed, index as u32, self.tally.sent as u32, sizes);
        let now = Instant::now();
        if !udp::send(&self.sockets[index], &content, *target)? {
            return Ok(false);
        }
        self.lanes[index].sent(now, content, &mut self.tally);
        self.next_lane = (index + 1) % self.lanes.len();
        Ok(true)
    }

    /// Waits at most so long for something to come and takes a batch from each socket.
    fn receive_for(&mut self, timeout: Duration) -> Result<()> {
        for index in udp::readable(&self.sockets, timeout)? {
            for _ in 0..udp::BATCH {
                let received = udp::receive(&self.sockets[index], &mut self.buffer)?;
                let Some((length, from)) = received else { break };
                if from != self.options.target {
                    self.tally.unexpected += 1;
                    continue;
                }
                let datagram = &self.buffer[..length];
                let (now, lane) = (Instant::now(), &mut self.lanes[index]);
                lane.received(now, datagram, &mut self.tally, &mut self.round_trips);
            }
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let Tally { sent, echoed, lost, altered, unexpected, .. } = self.tally;
        format!(
            "{sent} of {} sent, {echoed} echoed, {lost} lost, {altered} altered, \
             {unexpected} unexpected after {:.1} s",
            self.options.count,
            self.started.elapsed().as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_a_range_of_payload_lengths() {
        assert_eq!(parse_sizes("0-1200").unwrap(), 0..=1200);
        assert_eq!(parse_sizes("5-5").unwrap(), 5..=5);
        for bad in ["", "7", "9-8", "0-65508", "a-b", "-3-4"] {
            assert!(parse_sizes(bad).is_err(), "{bad:?}");
        }
    }
}
