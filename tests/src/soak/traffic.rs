//! Programs that send without pause and judge all that comes back: some for as long as the soak
//! lasts, each with an association of its own, and others that come and go.

use std::io;
use std::net::UdpSocket;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use xdtls_netlab::{Random, content, label};

/// Sizes of datagrams in bytes: at least a header, at most what passes every MTU that faults set.
const SIZES: RangeInclusive<usize> = 8..=1100;

/// How many datagrams a steady program sends at once, and how long it listens in between.
const BURST: RangeInclusive<usize> = 1..=12;
const LISTEN: RangeInclusive<usize> = 20..=120;

/// The same of programs that come and go, and how often they ask before they give up.
const VISIT: RangeInclusive<usize> = 1..=4;
const ASK_AGAIN: Duration = Duration::from_millis(250);
const ASK_TIMES: u32 = 8;

/// The pause between two visits of a visitor, in milliseconds.
const BETWEEN_VISITS: RangeInclusive<usize> = 150..=350;

/// How long one receive waits, so that a program sees in time that it is to stop.
const TICK: Duration = Duration::from_millis(20);

/// What all programs together have seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) sent: AtomicU64,
    pub(super) echoed: AtomicU64,
    pub(super) visits: AtomicU64,
    /// Bytes that came back as others than they were sent.
    pub(super) altered_bytes: AtomicU64,
    pub(super) doubled: AtomicU64,
    /// Datagrams that came to a program that had not sent them.
    pub(super) strayed: AtomicU64,
}

/// What programs have in common.
pub(super) struct Common {
    pub(super) seed: u64,
    pub(super) begun: Instant,
    pub(super) stop: AtomicBool,
    pub(super) tally: Tally,
    next_lane: AtomicU32,
}

impl Common {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            seed,
            begun: Instant::now(),
            stop: AtomicBool::new(false),
            tally: Tally::default(),
            next_lane: AtomicU32::new(0),
        })
    }

    fn is_over(&self) -> bool {
        self.stop.load(Relaxed)
    }

    fn random(&self, lane: u32) -> Random {
        Random::new(self.seed ^ u64::from(lane) << 20)
    }
}

/// One source port: what it has sent, and what has come back.
struct Lane {
    socket: UdpSocket,
    common: Arc<Common>,
    number: u32,
    /// Whether its port may have been another's: then late answers to that one are no fault.
    inherits: bool,
    /// Whether each datagram that was sent has come back, by sequence number.
    back: Vec<bool>,
    buffer: Vec<u8>,
}

impl Lane {
    fn new(socket: UdpSocket, common: &Arc<Common>, inherits: bool) -> io::Result<Self> {
        socket.set_read_timeout(Some(TICK))?;
        let number = common.next_lane.fetch_add(1, Relaxed);
        let (common, buffer) = (common.clone(), vec![0; 65_536]);
        Ok(Self { socket, common, number, inherits, back: Vec::new(), buffer })
    }

    fn send(&mut self) {
        let sequence = self.back.len() as u32;
        let datagram = content(self.common.seed, self.number, sequence, &SIZES);
        self.back.push(false);
        // What the kernel refuses is lost like anything else.
        if self.socket.send(&datagram).is_ok() {
            self.common.tally.sent.fetch_add(1, Relaxed);
        }
    }

    /// Waits for at most one tick; whether something of ours has come.
    fn receive(&mut self) -> bool {
        let Ok(length) = self.socket.recv(&mut self.buffer) else { return false };
        let (datagram, tally) = (&self.buffer[..length], &self.common.tally);
        let Some((lane, sequence)) = label(datagram) else {
            tally.altered_bytes.fetch_add(length.max(1) as u64, Relaxed);
            return false;
        };
        let wrong = differing(datagram, &content(self.common.seed, lane, sequence, &SIZES));
        if wrong > 0 {
            tally.altered_bytes.fetch_add(wrong, Relaxed);
            return false;
        }
        match self.back.get_mut(sequence as usize).filter(|_| lane == self.number) {
            None if lane != self.number && self.inherits => {}
            None => drop(tally.strayed.fetch_add(1, Relaxed)),
            Some(true) => drop(tally.doubled.fetch_add(1, Relaxed)),
            Some(back) => {
                *back = true;
                tally.echoed.fetch_add(1, Relaxed);
                return true;
            }
        }
        false
    }
}

/// Bytes that differ, those among them that one has and the other has not.
fn differing(one: &[u8], other: &[u8]) -> u64 {
    let common = one.iter().zip(other).filter(|(a, b)| a != b).count();
    (common + one.len().abs_diff(other.len())) as u64
}

/// A program that lasts as long as the soak.
pub(super) struct Steady {
    /// When it last got an answer, in microseconds since the beginning.
    answered: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Steady {
    /// A program on this socket.
    pub(super) fn start(socket: UdpSocket, common: &Arc<Common>) -> Result<Self> {
        let mut lane = Lane::new(socket, common, false)?;
        let answered = Arc::new(AtomicU64::new(0));
        let noted = answered.clone();
        let thread = std::thread::spawn(move || {
            let mut random = lane.common.random(lane.number);
            while !lane.common.is_over() {
                (0..random.within(&BURST)).for_each(|_| lane.send());
                let until = Instant::now() + Duration::from_millis(random.within(&LISTEN) as u64);
                while Instant::now() < until {
                    if lane.receive() {
                        noted.store(lane.common.begun.elapsed().as_micros() as u64, Relaxed);
                    }
                }
            }
        });
        Ok(Self { answered, thread })
    }

    /// When it last got an answer, counted from the beginning.
    pub(super) fn answered(&self) -> Duration {
        Duration::from_micros(self.answered.load(Relaxed))
    }

    /// Waits for its end, after all have been told to stop.
    pub(super) fn join(self) -> Result<()> {
        self.thread.join().map_err(|_| anyhow!("a program has panicked"))
    }
}

/// Somebody who starts one program after the other, each with a new association.
pub(super) struct Visitor(JoinHandle<Result<()>>);

impl Visitor {
    /// `bind` makes the programs' sockets.
    pub(super) fn start(
        bind: impl Fn() -> Result<UdpSocket> + Send + 'static,
        common: &Arc<Common>,
    ) -> Self {
        let common = common.clone();
        Self(std::thread::spawn(move || {
            while !common.is_over() {
                visit(Lane::new(bind()?, &common, true).context("a visitor's socket")?);
            }
            Ok(())
        }))
    }

    /// Waits for its end, after all have been told to stop.
    pub(super) fn join(self) -> Result<()> {
        self.0.join().map_err(|_| anyhow!("a visitor has panicked"))?
    }
}

/// Asks until something comes back, or not at all for long, and goes.
fn visit(mut lane: Lane) {
    let mut random = lane.common.random(lane.number);
    for _ in 0..ASK_TIMES {
        (0..random.within(&VISIT)).for_each(|_| lane.send());
        let again = Instant::now() + ASK_AGAIN;
        let mut answered = false;
        while Instant::now() < again && !answered && !lane.common.is_over() {
            answered = lane.receive();
        }
        if answered || lane.common.is_over() {
            break;
        }
    }
    lane.common.tally.visits.fetch_add(1, Relaxed);
    std::thread::sleep(Duration::from_millis(random.within(&BETWEEN_VISITS) as u64));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane and the other end of its road.
    fn lane() -> (Lane, UdpSocket) {
        let (near, far) = (UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0"));
        let (near, far) = (near.unwrap(), far.unwrap());
        near.connect(far.local_addr().unwrap()).unwrap();
        far.connect(near.local_addr().unwrap()).unwrap();
        (Lane::new(near, &Common::new(1), false).unwrap(), far)
    }

    #[test]
    fn whatever_comes_back_is_judged() {
        let (mut lane, far) = lane();
        (0..3).for_each(|_| lane.send());
        let mut datagram = content(1, 0, 1, &SIZES);
        assert!(far.send(&datagram).is_ok() && lane.receive(), "as it was sent");
        assert!(far.send(&datagram).is_ok() && !lane.receive(), "a second time");
        assert!(far.send(&content(1, 7, 0, &SIZES)).is_ok() && !lane.receive(), "another's");
        assert!(far.send(&content(1, 0, 3, &SIZES)).is_ok() && !lane.receive(), "not sent yet");
        datagram.truncate(datagram.len() - 2);
        assert!(far.send(&datagram).is_ok() && !lane.receive(), "cut");
        let Tally { sent, echoed, altered_bytes, doubled, strayed, .. } = &lane.common.tally;
        let counts =
            [sent, echoed, altered_bytes, doubled, strayed].map(|count| count.load(Relaxed));
        assert_eq!(counts, [3, 1, 2, 1, 2]);
    }
}
