//! What one worker has of AF_XDP: a socket on each queue, and the frames in its hands.
#![allow(unsafe_code)]

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::net::xdp::XdpStatistics;

use super::accounting::Flows;
use super::frame::{Descriptor, Frame};
use super::options::{HELD_FRAMES_MAX, SPARE_FRAMES_MAX};
use super::pool::Memory;
use super::port::Port;
use super::socket::XskSocket;

/// The most packets that one call receives.
pub const RECEIVE_BATCH: usize = 64;

/// Frames that are taken from the common pool at once.
const REFILL_BATCH: usize = 64;

/// A received packet.
#[derive(Debug)]
pub struct RxPacket {
    /// Which of the set's interfaces it came from.
    pub nic: usize,
    /// The queue that it came from, counted over all interfaces.
    pub queue: u32,
    /// Its bytes, from the Ethernet header on.
    pub frame: Frame,
}

/// The sockets of one shard, one on each queue. One worker owns it.
///
/// A worker's round: [`receive`](Self::receive), then for each packet either
/// [`return_frame`](Self::return_frame) or [`transmit`](Self::transmit), then
/// [`flush`](Self::flush), and always [`service`](Self::service), also where nothing was received.
pub struct ShardXsk {
    index: u32,
    shards: u32,
    ports: Vec<Port>,
    memory: Arc<Memory>,
    /// Free frames, so that the common pool is not asked for each.
    spare: Vec<Frame>,
    flows: Flows,
    /// The queue that is received from first, for fairness.
    next: usize,
}

impl ShardXsk {
    pub(super) fn new(
        (index, shards): (u32, u32),
        ports: Vec<Port>,
        memory: Arc<Memory>,
        spare: Vec<Frame>,
        flows: Flows,
    ) -> Self {
        let mut shard = Self { index, shards, ports, memory, spare, flows, next: 0 };
        shard.settle();
        shard
    }

    /// Appends what waits in the rx rings, at most [`RECEIVE_BATCH`] packets, and returns how many.
    /// A worker that holds [`HELD_FRAMES_MAX`] frames gets no more.
    pub fn receive(&mut self, batch: &mut Vec<RxPacket>) -> usize {
        let before = batch.len();
        let may_hold = (HELD_FRAMES_MAX as i64 - self.flows.held).max(0) as usize;
        let limit = before + RECEIVE_BATCH.min(may_hold);
        let queues = self.ports.len();
        for queue in (self.next..queues).chain(0..self.next) {
            let Port { nic, rx, .. } = &mut self.ports[queue];
            while batch.len() < limit
                && let Some(Descriptor { address, length, .. }) = rx.pop()
            {
                // SAFETY: the kernel gives us a frame that it had from a fill ring, once.
                let frame = unsafe { self.memory.umem.take(address, length) };
                batch.push(RxPacket { nic: *nic, queue: queue as u32, frame });
            }
            rx.release();
        }
        self.next = (self.next + 1) % queues;
        let count = batch.len() - before;
        self.flows.received += count as i64;
        self.flows.held += count as i64;
        self.settle();
        count
    }

    /// An empty frame for a packet of our own. `None` if the worker holds [`HELD_FRAMES_MAX`], or
    /// all frames are under way.
    pub fn allocate(&mut self) -> Option<Frame> {
        if self.flows.held >= HELD_FRAMES_MAX as i64 {
            return None;
        }
        if self.spare.is_empty() {
            self.flows.from_pool += self.memory.take(REFILL_BATCH, &mut self.spare) as i64;
        }
        let mut frame = self.spare.pop()?;
        frame.renew(0);
        self.flows.held += 1;
        Some(frame)
    }

    /// Puts a packet, Ethernet header included, into the tx ring of a queue, counted over all
    /// interfaces; it leaves with [`ShardXsk::flush`]. Gives it back where the ring is full or there
    /// is no such queue.
    pub fn transmit(&mut self, queue: u32, frame: Frame) -> Result<(), Frame> {
        let Some(port) = self.ports.get_mut(queue as usize) else { return Err(frame) };
        if port.tx.is_full() {
            return Err(frame);
        }
        let full = port.tx.push(self.memory.umem.give(frame));
        debug_assert!(full.is_ok(), "there is room, and we are the only producer");
        self.flows.transmitted += 1;
        self.flows.held -= 1;
        Ok(())
    }

    /// Takes a frame back that is of no more use. It may have been received by another shard of
    /// the same set.
    pub fn return_frame(&mut self, frame: Frame) {
        assert!(self.memory.umem.owns(&frame), "the frame is of another UMEM");
        self.spare.push(frame);
        self.flows.held -= 1;
    }

    /// Serves the fill and completion rings of all queues, for all shards on them.
    pub fn service(&mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        for Port { queue, socket, .. } in &self.ports {
            let wake = queue.serve(&self.memory, &mut self.spare, &mut self.flows);
            if let (true, Some(socket)) = (wake, socket) {
                outcome = outcome.and(socket.wake_rx());
            }
        }
        if self.spare.len() > SPARE_FRAMES_MAX {
            let given = self.memory.give(&mut self.spare, SPARE_FRAMES_MAX / 2);
            self.flows.from_pool -= given as i64;
        }
        self.settle();
        outcome
    }

    /// Sends what was put into the tx rings, with as few system calls as the driver asks for.
    ///
    /// `Ok(true)` if the kernel did not take all of it and will not by itself: call
    /// [`ShardXsk::service`] and this again soon.
    pub fn flush(&mut self) -> io::Result<bool> {
        let mut outcome = Ok(false);
        for port in &mut self.ports {
            port.tx.publish();
            let left = port.send();
            outcome = outcome.and_then(|before| Ok(left? || before));
        }
        self.settle();
        outcome
    }

    /// How many packets the driver has not taken from the tx rings.
    pub fn unsent(&mut self) -> u32 {
        self.ports.iter_mut().map(|port| port.tx.unconsumed()).sum()
    }

    /// On which queues of all it has the sockets of an interface.
    pub fn queues(&self, nic: usize) -> Range<u32> {
        let first = self.ports.iter().take_while(|port| port.nic < nic).count() as u32;
        first..first + self.ports_on(nic).count() as u32
    }

    /// What to watch for reading, level-triggered; in the order of the queues.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.ports.iter().filter_map(|port| port.socket.as_ref()).map(XskSocket::fd)
    }

    /// The elements of the XSKMAP of an interface: index (`queue × shards + shard`) and socket.
    pub fn map_entries(&self, nic: usize) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        let sockets = self.ports_on(nic).filter_map(|port| port.socket.as_ref());
        sockets.zip(0..).map(|(socket, queue)| (queue * self.shards + self.index, socket.fd()))
    }

    fn ports_on(&self, nic: usize) -> impl Iterator<Item = &Port> {
        self.ports.iter().filter(move |port| port.nic == nic)
    }

    /// Which shard this is.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Packets received so far.
    pub fn received(&self) -> u64 {
        self.flows.received as u64
    }

    /// What the kernel counts for the socket on a queue. `rx_fill_ring_empty_descs` is the queue's:
    /// all its sockets report the same number. `None` if there is no such socket.
    pub fn statistics(&self, queue: u32) -> Option<io::Result<XdpStatistics>> {
        self.ports.get(queue as usize)?.socket.as_ref().map(XskSocket::statistics)
    }

    /// Publishes the counters between two batches.
    fn settle(&mut self) {
        self.flows.spare = self.spare.len() as i64;
        self.flows.waiting = self.ports.iter().map(|port| i64::from(port.rx.available())).sum();
        // A panic in the middle of a batch is not to be hidden by another.
        let balanced = self.flows.is_balanced() || std::thread::panicking();
        debug_assert!(balanced, "a frame is missing: {:?}", self.flows);
        self.memory.ledger.publish(self.index as usize, &self.flows);
    }
}

impl Drop for ShardXsk {
    fn drop(&mut self) {
        self.flows.from_pool -= self.memory.give(&mut self.spare, 0) as i64;
        self.settle();
    }
}
