//! Very many OpenSSL clients in one thread and over few sockets: the prefix tells them apart.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use xdtls::handshake::{OpensslConnector, OpensslEngine};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::prefix::{PREFIX_LEN, Prefix};
use xdtls_common::record::records;
use xdtls_proto::engine::{ConnectEngine, Engine, Progress};

use crate::numbers::percentile;

/// The longest datagram without prefix that a client may write.
pub(super) const MAX_DATAGRAM: usize = 1_452;

/// How long a handshake may take: as long as the gateway gives it.
const DEADLINE: Duration = Duration::from_secs(15);

/// How long nothing may come before timers are looked at and more handshakes begin.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000 };

/// How often timers are looked at: far more often than anything is sent again.
const TIMERS: Duration = Duration::from_millis(50);

/// How many handshakes may be under way if so many a second begin.
const AT_ONCE_MAX: usize = 512;

/// When handshakes begin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Offer {
    /// As soon as fewer than this are under way.
    AtOnce(usize),
    /// This many a second.
    Rate(f64),
}

/// What has become of handshakes.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// How many have failed or taken too long.
    pub(super) failed: u64,
    /// How many have continued a session.
    pub(super) resumed: u64,
    /// How long the others took, from ClientHello to the client's end, in milliseconds; sorted.
    pub(super) milliseconds: Vec<f64>,
    /// From the first beginning to the last end, in seconds.
    pub(super) seconds: f64,
}

impl Done {
    /// How many succeeded.
    pub(super) fn completed(&self) -> f64 {
        self.milliseconds.len() as f64
    }

    /// How many succeeded a second.
    pub(super) fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.completed() / self.seconds } else { 0.0 }
    }

    /// The time that this share of them took at most.
    pub(super) fn milliseconds(&self, share: f64) -> f64 {
        percentile(&self.milliseconds, share)
    }
}

/// One client.
struct Client {
    engine: OpensslEngine,
    /// What the gateway calls the association; 0 until it has said so.
    server: u32,
    began: Instant,
}

/// The clients of one kind.
pub(super) struct Clients {
    sockets: Vec<UdpSocket>,
    gateway: SocketAddr,
    connector: OpensslConnector,
    /// Whether sessions are kept, so that the next handshake continues the last one's.
    resume: bool,
    under_way: HashMap<u32, Client>,
    next: u32,
    timers: Instant,
    done: Done,
}

impl Clients {
    /// Clients that talk to `gateway` through `sockets` by turns. With `resume`, they share one session.
    pub(super) fn new(
        sockets: Vec<UdpSocket>,
        gateway: SocketAddr,
        connector: OpensslConnector,
        resume: bool,
    ) -> Result<Self> {
        sockets.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
        let (under_way, next, timers) = (HashMap::new(), 1, Instant::now());
        let done = Done::default();
        Ok(Self { sockets, gateway, connector, resume, under_way, next, timers, done })
    }

    /// Begins handshakes as long as `go_on` says so, and waits for the end of all of them.
    pub(super) fn run(
        &mut self,
        offer: Offer,
        mut go_on: impl FnMut(Duration) -> Result<bool>,
    ) -> Result<Done> {
        self.done = Done::default();
        let (begin, mut begun) = (Instant::now(), 0_u64);
        let mut more = true;
        while more || !self.under_way.is_empty() {
            more = more && go_on(begin.elapsed())?;
            let room = match offer {
                Offer::AtOnce(count) => count.saturating_sub(self.under_way.len()) as u64,
                Offer::Rate(rate) => {
                    let due = (begin.elapsed().as_secs_f64() * rate) as u64;
                    let room = AT_ONCE_MAX.saturating_sub(self.under_way.len()) as u64;
                    due.saturating_sub(begun).min(room)
                }
            };
            for _ in 0..if more { room } else { 0 } {
                self.begin()?;
                begun += 1;
            }
            self.turn()?;
        }
        let mut done = std::mem::take(&mut self.done);
        done.seconds = begin.elapsed().as_secs_f64();
        done.milliseconds.sort_by(f64::total_cmp);
        Ok(done)
    }

    /// One handshake that nobody measures: afterwards there is a session to continue.
    pub(super) fn warm_up(&mut self) -> Result<()> {
        let mut first = true;
        let done = self.run(Offer::AtOnce(1), |_| Ok(std::mem::take(&mut first)))?;
        ensure!(done.failed == 0, "the first handshake has failed");
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        let began = Instant::now();
        let engine = self.connector.connect(began, MAX_DATAGRAM, None);
        let engine = engine.map_err(|failure| anyhow!("no handshake can begin: {failure}"))?;
        let (id, client) = (self.next, Client { engine, server: 0, began });
        self.next += 1;
        self.under_way.insert(id, client);
        self.go_on(id);
        Ok(())
    }

    /// Waits for datagrams and takes all that are there.
    fn turn(&mut self) -> Result<()> {
        let mut waiting: Vec<_> =
            self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        // Whatever ends the wait early does no harm.
        let _ = poll(&mut waiting, Some(&TICK));
        let ready: Vec<_> = waiting.iter().map(|it| !it.revents().is_empty()).collect();
        let mut buffer = [0; 2_048];
        for (at, _) in ready.into_iter().enumerate().filter(|(_, ready)| *ready) {
            while let Ok((length, _)) = self.sockets[at].recv_from(&mut buffer) {
                self.receive(&buffer[..length]);
            }
        }
        if self.timers.elapsed() > TIMERS {
            self.timers = Instant::now();
            self.handle_timeouts();
        }
        Ok(())
    }

    fn receive(&mut self, datagram: &[u8]) {
        let Ok(prefix) = Prefix::parse(&mut SliceCursor::new(datagram)) else { return };
        // What comes for one that has ended is a repetition.
        let Some(client) = self.under_way.get_mut(&prefix.receiver) else { return };
        if prefix.sender != 0 {
            client.server = prefix.sender;
        }
        let (now, flight) = (Instant::now(), &datagram[PREFIX_LEN..]);
        for (_, range) in records(flight).map_while(Result::ok) {
            client.engine.handle_record(now, &flight[range]);
        }
        self.go_on(prefix.receiver);
    }

    fn handle_timeouts(&mut self) {
        let now = Instant::now();
        let ids: Vec<_> = self.under_way.keys().copied().collect();
        for id in ids {
            let Some(client) = self.under_way.get_mut(&id) else { continue };
            if now - client.began > DEADLINE {
                self.under_way.remove(&id);
                self.done.failed += 1;
            } else if client.engine.deadline(now).is_some_and(|deadline| deadline <= now) {
                client.engine.handle_timeout(now);
                self.go_on(id);
            }
        }
    }

    /// Sends what a client has to send, and takes note of its end.
    fn go_on(&mut self, id: u32) {
        let Some(client) = self.under_way.get_mut(&id) else { return };
        let prefix = Prefix { sender: id, receiver: client.server }.encode();
        let socket = &self.sockets[id as usize % self.sockets.len()];
        while let Some(flight) = client.engine.poll_transmit() {
            // What does not leave is sent again.
            let _ = socket.send_to(&[&prefix[..], &flight].concat(), self.gateway);
        }
        match client.engine.progress() {
            Progress::Pending => {}
            Progress::Failed(_) => {
                self.under_way.remove(&id);
                self.done.failed += 1;
            }
            Progress::Complete => {
                let took = client.began.elapsed();
                let Some(Client { engine, .. }) = self.under_way.remove(&id) else { return };
                self.done.milliseconds.push(took.as_secs_f64() * 1e3);
                // An engine that is dropped keeps no session, so that the next handshake is full.
                if self.resume && engine.finish().is_ok_and(|finished| finished.resumed) {
                    self.done.resumed += 1;
                }
            }
        }
    }
}
