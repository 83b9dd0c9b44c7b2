//! A worker: one thread that alone owns one shard of the associations, its outside sockets and its
//! inside.
//!
//! The loop is only about descriptors, batches and queues; what is done to a packet stands in
//! [`Shard`]. It sleeps in epoll when nothing is to be done, and reads the clock once a round.

mod frames;
mod hellos;
mod output;
mod outside;
mod way;

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{Timespec, epoll};
use tracing::{debug, trace};
use xdtls_common::DropReason;
use xdtls_common::id::LocalId;
use xdtls_proto::association::CloseCause;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::handshakes::Installation;
use xdtls_proto::shard::{Front, Output, Shard};

use crate::access::AccessList;
use crate::counters::Counters;
use crate::datapath::sides::{INSIDE, Transmits};
use crate::datapath::socket::{Batch, Channel};
use crate::datapath::xdp::Associations;
use crate::handshake_pool::Pool;
use crate::inside::{Arrival, Inside, Request, Token, watch};
use crate::mailbox::{Mailbox, Postbox};
use crate::messages::ToWorker;
use crate::sys::prefer_huge_pages;
use crate::trace::Trace;
use crate::xsk::{RECEIVE_BATCH, RxPacket, ShardXsk};
pub use hellos::Hellos;
use output::{Kept, WorkerOutput};
use outside::Outside;
use way::{Came, Way};

/// Tokens that no inside uses: ids and port numbers have 32 bits.
const OUTSIDE: Token = u64::MAX;
const BELL: Token = u64::MAX - 1;
const XSK: Token = u64::MAX - 2;

/// Descriptors that one call of epoll reports.
const EVENTS: usize = 64;

/// Messages that are taken from the mailbox in one round.
const MESSAGES: usize = 256;

/// What a worker is made of.
pub struct Parts<I> {
    /// The shard that it owns.
    pub shard: Shard,
    /// Its inside.
    pub inside: I,
    /// Its outside socket.
    pub channel: Channel,
    /// Its AF_XDP sockets, if packets take the fast path.
    pub xsk: Option<ShardXsk>,
    /// Where frames go, where its AF_XDP sockets transmit, too.
    pub transmits: Transmits,
    /// What the XDP program knows of associations, if there is one.
    pub associations: Option<Arc<Associations>>,
    /// What is asked of it.
    pub mailbox: Mailbox<ToWorker>,
    /// All workers, itself among them, by shard.
    pub workers: Vec<Postbox<ToWorker>>,
    /// The handshakes.
    pub pool: Pool,
    /// What it judges ClientHellos by, if anybody may send it some.
    pub hellos: Option<Hellos>,
    /// Who may send to the outside socket. The XDP program asks for what it hands over.
    pub access: Arc<AccessList>,
    /// Where associations that we open lead to.
    pub gateway: Option<Endpoint>,
    /// The epoll descriptor that the inside was made with.
    pub poll: Arc<OwnedFd>,
    /// What it counts.
    pub counters: Arc<Counters>,
    /// Whom the operator watches.
    pub trace: Arc<Trace>,
}

/// A worker.
pub struct Worker<I> {
    parts: Parts<I>,
    outside: Outside,
    batch: Batch,
    packets: Vec<RxPacket>,
    came: Vec<Came>,
    kept: Vec<Kept>,
    local_port: u16,
}

/// What a worker needs epoll for.
pub fn poll_descriptor() -> io::Result<Arc<OwnedFd>> {
    Ok(Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?))
}

impl<I: Inside> Worker<I> {
    /// Makes a worker; fails if its descriptors cannot be watched.
    pub fn new(mut parts: Parts<I>) -> io::Result<Self> {
        if let Err(error) = prefer_huge_pages(parts.shard.addresses()) {
            debug!(%error, "there are no huge pages for associations");
        }
        watch(parts.poll.as_fd(), parts.channel.fd(), OUTSIDE)?;
        watch(parts.poll.as_fd(), parts.mailbox.bell(), BELL)?;
        let local_port = parts.channel.local_address()?.port();
        let (xsk, transmits) = (parts.xsk.take(), std::mem::take(&mut parts.transmits));
        let outside = Outside::new(parts.channel.clone(), xsk, transmits)?;
        outside.watch_xsk(&parts.poll, XSK)?;
        let (batch, packets) = (Batch::default(), Vec::with_capacity(RECEIVE_BATCH));
        let (came, kept) = (Vec::with_capacity(RECEIVE_BATCH), Vec::new());
        Ok(Self { parts, outside, batch, packets, came, kept, local_port })
    }

    /// Works until told to stop.
    pub fn work(mut self) -> io::Result<()> {
        let mut events = [MaybeUninit::uninit(); EVENTS];
        loop {
            let timeout = self.timeout();
            let (ready, _) = match epoll::wait(&self.parts.poll, &mut events, timeout.as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                outcome => outcome?,
            };
            let now = Instant::now();
            let mut stop = false;
            self.outside.begin_round();
            let tokens = ready.iter().map(|event| event.data.u64());
            let mut ahead = self.parts.shard.look_ahead();
            for id in tokens.filter_map(|token| self.parts.inside.association_at(token)) {
                ahead.to_seal(id);
            }
            ahead.read();
            for event in &*ready {
                match event.data.u64() {
                    OUTSIDE => self.receive_outside(now, &mut stop),
                    BELL => self.parts.mailbox.silence(),
                    XSK => self.receive_fast(now, &mut stop),
                    token => self.receive_inside(now, token),
                }
            }
            self.read_mail(now, &mut stop);
            self.handle_timeouts(now);
            self.carry_out_requests(now);
            if stop {
                self.with_output(now, |shard, _, out| shard.close_all(now, out));
            }
            // Before anything leaves: what somebody has received has been counted.
            let shard = &self.parts.shard;
            self.parts.counters.publish(shard.counters(), shard.established());
            self.outside.flush(&self.parts.counters);
            self.parts.inside.flush();
            self.outside.service();
            if stop {
                self.outside.linger(&self.parts.counters);
                return Ok(());
            }
        }
    }

    /// How long to sleep; `None` for as long as nothing happens.
    fn timeout(&mut self) -> Option<Timespec> {
        let now = Instant::now();
        let (shard, inside) = (self.parts.shard.deadline(), self.parts.inside.deadline());
        let deadlines = [shard, inside, self.outside.deadline(now)];
        deadlines.into_iter().flatten().min().map(|deadline| {
            let left = deadline.saturating_duration_since(now);
            Timespec {
                tv_sec: left.as_secs().min(3600) as i64,
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        })
    }

    /// Gives `act` the shard, the receive batch and an output that reaches everything else.
    fn with_output<R>(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut Shard, &mut Batch, &mut WorkerOutput<'_, I>) -> R,
    ) -> R {
        let parts = &mut self.parts;
        let mut out = WorkerOutput {
            now,
            inside: &mut parts.inside,
            outside: &mut self.outside,
            workers: &parts.workers,
            pool: &parts.pool,
            counters: &parts.counters,
            associations: parts.associations.as_deref(),
            at_hand: None,
            kept: &mut self.kept,
            held: None,
        };
        act(&mut parts.shard, &mut self.batch, &mut out)
    }

    fn receive_outside(&mut self, now: Instant, stop: &mut bool) {
        if let Err(error) = self.outside.channel().receive(&mut self.batch) {
            // The kernel reports what unauthenticated ICMP said: it ends nothing.
            return debug!(%error, "cannot receive from the outside");
        }
        // An answer to a flight must find the id reserved that was posted before the flight left.
        self.read_mail(now, stop);
        let (front, watch) = (self.front(), self.parts.trace.watch());
        let access = self.parts.access.clone();
        self.with_output(now, |shard, batch, out| {
            let mut ahead = shard.look_ahead();
            batch.for_each(|datagram| ahead.to_open(datagram.payload));
            ahead.read();
            batch.for_each(|datagram| {
                trace!(from = %datagram.from, length = datagram.payload.len(), "outside");
                if !access.admits(datagram.from.ip()) {
                    return out.count(DropReason::AccessDenied);
                }
                let from = Endpoint { remote: datagram.from, local: datagram.to };
                let way = Way { now, front: front.as_ref(), watch: watch.as_ref(), name: "socket" };
                way.receive(shard, from, datagram.payload, out);
            });
        });
    }

    fn receive_fast(&mut self, now: Instant, stop: &mut bool) {
        let mut packets = std::mem::take(&mut self.packets);
        if self.outside.receive_fast(&mut packets) > 0 {
            self.count_fast(&packets);
            self.read_mail(now, stop);
            let mut came = std::mem::take(&mut self.came);
            let (front, watch) = (self.front(), self.parts.trace.watch());
            self.with_output(now, |shard, _, out| {
                let mut ahead = shard.look_ahead();
                let found = |packet| Came::find(now, packet, &mut ahead, out.inside);
                came.extend(packets.iter().map(found));
                ahead.read();
                let way = Way { now, front: front.as_ref(), watch: watch.as_ref(), name: "AF_XDP" };
                for (RxPacket { mut frame, .. }, came) in packets.drain(..).zip(came.drain(..)) {
                    match came {
                        Came::FromPeer(headers) => {
                            out.take_in_hand(&frame);
                            way.receive_frame(shard, &headers, frame.bytes_mut(), out);
                            out.let_go(frame);
                        }
                        Came::FromBackend(id, place) => {
                            way.send_frame(shard, (id, &place), frame, out);
                        }
                        Came::Nowhere(reason) => {
                            out.count(reason);
                            out.outside.return_frame(frame);
                        }
                    }
                }
            });
            self.came = came;
        }
        self.packets = packets;
    }

    fn count_fast(&self, packets: &[RxPacket]) {
        let from_backends = packets.iter().filter(|packet| packet.nic == INSIDE).count();
        self.parts.counters.fast_path((packets.len() - from_backends) as u64);
        self.parts.counters.fast_path_inside(from_backends as u64);
    }

    fn front(&self) -> Option<Front> {
        self.parts.hellos.as_ref().map(|hellos| hellos.front(self.local_port))
    }

    fn receive_inside(&mut self, now: Instant, token: Token) {
        if let Err(error) = self.parts.inside.receive(token, &mut self.batch) {
            return debug!(%error, "cannot receive from the inside");
        }
        let watch = self.parts.trace.watch();
        self.with_output(now, |shard, batch, out| {
            let way = Way { now, front: None, watch: watch.as_ref(), name: "inside" };
            batch.for_each(|datagram| {
                let payload = &*datagram.payload;
                if let Some(id) = out.inside.owner(now, token, datagram.from, payload) {
                    way.send(shard, id, payload, out);
                }
            });
        });
    }

    fn read_mail(&mut self, now: Instant, stop: &mut bool) {
        for _ in 0..MESSAGES {
            let Some(message) = self.parts.mailbox.take() else { return };
            match message {
                ToWorker::Reserve(id, peer) => self.parts.shard.reserve(id, peer),
                ToWorker::Rest(id) => self.parts.shard.rest(id),
                ToWorker::Forget(id) => self.parts.shard.release(id),
                ToWorker::Install(installation) => self.install(now, *installation),
                ToWorker::Datagram(from, mut datagram) => {
                    let (front, watch) = (self.front(), self.parts.trace.watch());
                    self.with_output(now, |shard, _, out| {
                        let (front, watch) = (front.as_ref(), watch.as_ref());
                        let way = Way { now, front, watch, name: "another thread" };
                        way.receive(shard, from, &mut datagram, out);
                    });
                }
                ToWorker::Failed(request, reason) => self.parts.inside.failed(request, &reason),
                ToWorker::RekeyFailed(id) => self.parts.shard.rekey_failed(now, id),
                ToWorker::Look(ids, answer) => {
                    let shard = &mut self.parts.shard;
                    let views = ids.into_iter().map(|id| shard.look(now, id)).collect();
                    // Who does not wait any more needs no answer.
                    let _ = answer.send(views);
                }
                ToWorker::Close(id, answer) => {
                    let _ = answer.send(self.close(now, id, CloseCause::Operator));
                }
                ToWorker::Supersede(id) => {
                    self.close(now, id, CloseCause::Superseded);
                }
                ToWorker::Prove(id) => self.with_output(now, |shard, _, out| {
                    shard.prove(now, id, out);
                }),
                ToWorker::Link(link, order) => {
                    self.parts.inside.link(link, order);
                    self.send_released(now);
                }
                ToWorker::Dismiss(refused) => {
                    self.with_output(now, |shard, _, out| {
                        for (id, refusal) in refused {
                            shard.close(now, id, CloseCause::NotAdmitted(refusal), out);
                        }
                    });
                }
                ToWorker::Announce => {
                    self.with_output(now, |shard, _, out| shard.announce(now, out));
                }
                ToWorker::Reconfigure(limits) => {
                    self.parts.shard.set_idle_timeout(limits.idle_timeout);
                    self.parts.shard.set_rekey_limits(limits.rekey);
                    self.parts.inside.reconfigure(limits.flows);
                }
                ToWorker::Stop => *stop = true,
            }
        }
        // More is waiting: ring again, so that the next round does not sleep.
        self.parts.workers[self.parts.shard.index()].ring();
    }

    /// Closes an association; `false` if there is none. The operator means what has taken its place,
    /// too.
    fn close(&mut self, now: Instant, id: LocalId, cause: CloseCause) -> bool {
        let shard = &mut self.parts.shard;
        let known = shard.look(now, id).is_some();
        let id = if cause == CloseCause::Operator { shard.newest(id) } else { id };
        if known {
            self.with_output(now, |shard, _, out| shard.close(now, id, cause, out));
        }
        known
    }

    fn install(&mut self, now: Instant, installation: Installation) {
        // What is to replace another is none of the inside's business until it does.
        if installation.replaces.is_none() {
            self.parts.inside.established(now, &Arrival::of(&installation));
        }
        self.with_output(now, |shard, _, out| shard.install(now, installation, out));
        self.send_released(now);
    }

    /// Sends what has waited at the inside for an association.
    fn send_released(&mut self, now: Instant) {
        self.with_output(now, |shard, _, out| {
            while let Some((id, datagram)) = out.inside.poll_released() {
                shard.send(now, id, &datagram, out);
            }
        });
    }

    fn handle_timeouts(&mut self, now: Instant) {
        if self.parts.shard.deadline().is_some_and(|deadline| deadline <= now) {
            self.with_output(now, |shard, _, out| shard.handle_timeout(now, out));
        }
        self.parts.inside.handle_timeout(now);
    }

    fn carry_out_requests(&mut self, now: Instant) {
        while let Some(request) = self.parts.inside.poll_request() {
            match (request, self.parts.gateway) {
                (Request::Open(token), Some(gateway)) => self.parts.pool.open(gateway, token),
                (Request::Open(token), None) => {
                    self.parts.inside.failed(token, "this worker opens no associations");
                }
                (Request::Close(id), _) => self.with_output(now, |shard, _, out| {
                    shard.close(now, id, CloseCause::Local, out);
                }),
            }
        }
    }
}

/// Hands a datagram to the worker that owns its receiver id.
fn hand_over(
    workers: &[Postbox<ToWorker>],
    shard: u32,
    from: Endpoint,
    datagram: Vec<u8>,
) -> Result<(), DropReason> {
    let worker = workers.get(shard as usize).ok_or(DropReason::UnknownId)?;
    worker.offer(ToWorker::Datagram(from, datagram)).map_err(|_| DropReason::QueueFull)
}
