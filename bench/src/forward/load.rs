//! Both ends of the traffic: sockets at the client and one at the backend, in our own process.
//!
//! Every datagram begins with the number of its trial and of its flow, so that what is late counts
//! for no other trial, and the backend's end knows where each flow's datagrams go back to.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::event::{Timespec, epoll};
use rustix::net::sockopt;

use super::round_trips::{self, Probe, RoundTrips};
use super::stage::{BACKEND_BESIDE, CLIENT_BESIDE, Stage};
use super::tunnels::BACKEND;
use crate::cores::{CLIENT_CPU, pin};

/// The trial whose datagrams only show where a flow comes from.
const HELLO: u32 = 0;

/// The trial whose datagrams are sent back.
const ECHO: u32 = u32::MAX;

/// Trial and flow.
const HEADER: usize = 8;

/// How often due datagrams are sent.
const TICK: Duration = Duration::from_micros(250);

/// What is due for longer than this was never offered.
const LATE: Duration = Duration::from_millis(2);

/// A trial is over when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(40);

/// How long all flows may take to get through for the first time.
const OPENING: Duration = Duration::from_secs(30);

/// Bytes that the kernel may keep for a socket.
const SOCKET_BUFFER: usize = 8 << 20;

/// A received buffer: as much as the kernel merges.
const MERGED_LEN: usize = 1 << 16;

/// Which way datagrams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the client to the backend.
    Up,
    /// From the backend to the client.
    Down,
}

/// Where the client's programs send from, and what to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) near: SocketAddr,
    pub(super) target: SocketAddr,
}

/// One socket.
struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Port {
    fn new(socket: UdpSocket) -> Result<Self> {
        sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER)?;
        sockopt::set_socket_send_buffer_size_force(&socket, SOCKET_BUFFER)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self { socket, state })
    }

    /// Sends as many datagrams as `contents` has segments.
    fn send(&self, destination: SocketAddr, contents: &[u8], segment: usize) -> io::Result<()> {
        let segment_size = (contents.len() > segment).then_some(segment);
        let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
        self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
    }
}

/// What the receiving threads know.
struct Shared {
    trial: AtomicU32,
    received: AtomicU64,
    /// When something was received last, in nanoseconds since `begin`.
    last_ns: AtomicU64,
    begin: Instant,
    /// Where the backend's end has heard each flow from.
    flows: Mutex<Vec<Option<SocketAddr>>>,
    stop: AtomicBool,
}

/// Both ends.
pub(super) struct Load {
    near: Arc<Vec<Port>>,
    far: Arc<Vec<Port>>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
    /// Through the tunnel, and past it.
    probes: Arc<[Probe; 2]>,
    target: SocketAddr,
    next_trial: u32,
}

/// What a trial has shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trial {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// How long datagrams were sent.
    pub(super) sending: f64,
    /// How long it took until the last has arrived.
    pub(super) seconds: f64,
}

impl Trial {
    pub(super) fn loss(self) -> f64 {
        1.0 - self.received as f64 / self.sent.max(1) as f64
    }

    /// Datagrams a second that have arrived.
    pub(super) fn rate(self) -> f64 {
        self.received as f64 / self.seconds
    }
}

impl Load {
    /// Opens `flows` flows from the client to `target` and waits until all get through.
    pub(super) fn open(
        stage: &Stage,
        Ends { near: near_address, target }: Ends,
        flows: usize,
    ) -> Result<Self> {
        let (client, backend) = (&stage.client, &stage.backend);
        let near: Result<Vec<_>> =
            (0..flows).map(|_| Port::new(client.bind_udp(near_address)?)).collect();
        let far =
            [BACKEND, BACKEND_BESIDE].map(|address| Port::new(backend.bind_udp(address.parse()?)?));
        let shared = Arc::new(Shared {
            trial: AtomicU32::new(HELLO),
            received: AtomicU64::new(0),
            last_ns: AtomicU64::new(0),
            begin: Instant::now(),
            flows: Mutex::new(vec![None; flows]),
            stop: AtomicBool::new(false),
        });
        let probes = Arc::new([
            Probe::new(client.bind_udp(near_address)?, target)?,
            Probe::new(client.bind_udp(CLIENT_BESIDE.parse()?)?, BACKEND_BESIDE.parse()?)?,
        ]);
        let far: Result<Vec<_>> = far.into_iter().collect();
        let (near, far) = (Arc::new(near?), Arc::new(far?));
        let receive = |ports: &Arc<Vec<Port>>| {
            let (ports, shared) = (Arc::clone(ports), Arc::clone(&shared));
            thread::spawn(move || receive(&ports, &shared))
        };
        let threads = vec![receive(&near), receive(&far)];
        let mut load = Self { near, far, shared, threads, probes, target, next_trial: 1 };
        load.say_hello()?;
        Ok(load)
    }

    fn say_hello(&mut self) -> Result<()> {
        let deadline = Instant::now() + OPENING;
        loop {
            let missing = self.known().iter().filter(|flow| flow.is_none()).count();
            if missing == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{missing} flows do not get through");
            let known = self.known();
            let missing = known.iter().enumerate().filter(|(_, flow)| flow.is_none());
            // A handshake costs both ends a millisecond: not more at once than a second's worth.
            for (flow, _) in missing.take(256) {
                // What is lost is sent again.
                let _ = self.near[flow].send(self.target, &header(HELLO, flow as u32), HEADER);
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    fn known(&self) -> Vec<Option<SocketAddr>> {
        self.shared.flows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends datagrams of `size` bytes for so long, at most `rate` a second.
    pub(super) fn trial(&mut self, way: Way, size: usize, rate: f64, time: Duration) -> Trial {
        let trial = self.next_trial;
        self.next_trial += 1;
        let known = self.known();
        self.shared.received.store(0, Ordering::SeqCst);
        self.shared.trial.store(trial, Ordering::SeqCst);
        let (begin, mut sent, mut skipped, mut flow) = (Instant::now(), 0_u64, 0_u64, 0);
        while begin.elapsed() < time {
            let due = (begin.elapsed().as_secs_f64() * rate) as u64;
            let mut behind = due.saturating_sub(sent + skipped);
            let most = ((LATE.as_secs_f64() * rate) as u64).max(64);
            skipped += behind.saturating_sub(most);
            behind = behind.min(most);
            if behind == 0 {
                thread::sleep(TICK);
            }
            while behind > 0 && begin.elapsed() < time {
                flow = (flow + 1) % self.near.len();
                // With several flows each datagram is of another: what is worst for a gateway.
                let run = if self.near.len() == 1 { behind.min(segments(size)) } else { 1 };
                let contents: Vec<u8> = contents(trial, flow as u32, size, run as usize);
                let result = match way {
                    Way::Up => self.near[flow].send(self.target, &contents, size),
                    Way::Down => match known[flow] {
                        Some(address) => self.far[0].send(address, &contents, size),
                        None => Ok(()),
                    },
                };
                match result {
                    Ok(()) => sent += run,
                    Err(_) => thread::sleep(TICK / 4),
                }
                behind -= run;
            }
        }
        let sending = begin.elapsed();
        self.settle();
        // What buffers held when the last one was sent has taken time, too.
        let last = Duration::from_nanos(self.shared.last_ns.load(Ordering::SeqCst));
        let until_last = (self.shared.begin + last).saturating_duration_since(begin);
        let seconds = sending.max(until_last).as_secs_f64();
        let sending = sending.as_secs_f64();
        Trial { sent, received: self.shared.received.load(Ordering::SeqCst), sending, seconds }
    }

    fn settle(&self) {
        let mut last = self.shared.received.load(Ordering::SeqCst);
        loop {
            thread::sleep(QUIET);
            let now = self.shared.received.load(Ordering::SeqCst);
            if now == last {
                return;
            }
            last = now;
        }
    }

    /// Round trips while nothing else goes, or while datagrams go up at a rate.
    pub(super) fn round_trips(
        &mut self,
        size: usize,
        rate: Option<f64>,
        beside: bool,
    ) -> Result<RoundTrips> {
        let probes = Arc::clone(&self.probes);
        let trips = thread::spawn(move || {
            let [tunnel, plain] = &*probes;
            round_trips::measure(tunnel, beside.then_some(plain), size)
        });
        while let Some(rate) = rate
            && !trips.is_finished()
        {
            self.trial(Way::Up, size, rate, TICK * 400);
        }
        trips.join().map_err(|_| anyhow!("a thread has panicked"))?
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            if let Ok(Err(error)) = thread.join() {
                eprintln!("bench: an end of the load has failed: {error:#}");
            }
        }
    }
}

fn header(trial: u32, flow: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&trial.to_be_bytes());
    header[4..].copy_from_slice(&flow.to_be_bytes());
    header
}

/// A datagram that the backend sends back.
pub(super) fn echo_request(size: usize) -> Vec<u8> {
    contents(ECHO, 0, size, 1)
}

fn contents(trial: u32, flow: u32, size: usize, run: usize) -> Vec<u8> {
    let mut contents = vec![0x42; size * run];
    for datagram in contents.chunks_exact_mut(size) {
        datagram[..HEADER].copy_from_slice(&header(trial, flow));
    }
    contents
}

/// How many datagrams leave by one system call.
const fn segments(size: usize) -> u64 {
    let fit = 60_000 / size;
    if fit > 50 { 50 } else { fit as u64 }
}

/// Receives at all ports until told to stop.
fn receive(ports: &[Port], shared: &Shared) -> Result<()> {
    pin(CLIENT_CPU)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (index, port) in ports.iter().enumerate() {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&poll, port.socket.as_fd(), data, epoll::EventFlags::IN)?;
    }
    let mut events = Vec::with_capacity(64);
    let timeout = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let mut buffers: Vec<Vec<u8>> = (0..BATCH_SIZE).map(|_| vec![0; MERGED_LEN]).collect();
    while !shared.stop.load(Ordering::SeqCst) {
        events.clear();
        let waited =
            epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&timeout));
        if waited.is_err() {
            continue;
        }
        for event in &events {
            let port = ports.get(event.data.u64() as usize).context("no such port")?;
            take(port, &mut buffers, shared);
        }
    }
    Ok(())
}

/// Takes what waits at one port, at most one batch.
fn take(port: &Port, buffers: &mut [Vec<u8>], shared: &Shared) {
    let mut meta = [RecvMeta::default(); BATCH_SIZE];
    let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
    let sock = UdpSockRef::from(&port.socket);
    // Nothing waits, or ICMP has said something that is shown by the loss.
    let Ok(received) = port.state.recv(sock, &mut slices, &mut meta) else { return };
    let current = shared.trial.load(Ordering::Relaxed);
    let mut counted = 0;
    for (buffer, meta) in buffers.iter().zip(&meta).take(received) {
        for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
            let Some((header, _)) = datagram.split_first_chunk::<HEADER>() else { continue };
            let [t0, t1, t2, t3, f0, f1, f2, f3] = *header;
            match u32::from_be_bytes([t0, t1, t2, t3]) {
                HELLO => {
                    let flow = u32::from_be_bytes([f0, f1, f2, f3]) as usize;
                    let mut flows = shared.flows.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(known) = flows.get_mut(flow) {
                        *known = Some(meta.addr);
                    }
                }
                ECHO => {
                    // What is lost is missed by who waits for it.
                    let _ = port.send(meta.addr, datagram, datagram.len());
                }
                trial => counted += u64::from(trial == current),
            }
        }
    }
    if counted > 0 {
        let since = shared.begin.elapsed().as_nanos() as u64;
        shared.last_ns.store(since, Ordering::Relaxed);
        shared.received.fetch_add(counted, Ordering::Relaxed);
    }
}
