//! All AF_XDP sockets of one or several interfaces over one memory.

use std::io;
use std::sync::Arc;

use super::accounting::{Flows, FrameAccount};
use super::error::{Place, Step, XskError};
use super::frame::Frame;
use super::kernel_ring::RingKind;
use super::monitor::XskMonitor;
use super::options::{FrameDemand, XskOptions};
use super::pool::Memory;
use super::port::Port;
use super::queue::Queue;
use super::ring::{Consumer, Producer};
use super::shard::ShardXsk;
use super::socket::{Sharing, XskSocket};

/// A network interface that a set has sockets on, on its queues from 0 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nic {
    /// The kernel's number for it.
    pub interface: u32,
    /// How many of its queues.
    pub queues: u32,
}

/// A set of sockets: one for each shard on each queue of each interface.
pub struct XskSet {
    memory: Arc<Memory>,
    queues: Vec<Arc<Queue>>,
    shards: Vec<ShardXsk>,
    zero_copy: bool,
}

impl XskSet {
    /// Opens the sockets on interfaces of the calling thread's network namespace. Nothing is received
    /// before their [map entries](ShardXsk::map_entries) are in an XSKMAP that a program on the
    /// interface redirects to.
    ///
    /// The kernel lets all of them copy or none: the first socket decides, and where it is zero-copy,
    /// an interface that cannot do so is an error.
    ///
    /// May take 200 ms where a queue is still taken.
    pub fn open(nics: &[Nic], shards: u32, options: &XskOptions) -> Result<Self, XskError> {
        let queues = nics.iter().map(|nic| nic.queues).sum();
        let interface = nics.first().map_or(0, |nic| nic.interface);
        let memory = memory(interface, (queues, shards), options)?;
        let mut opening = Opening { options, memory, queues: Vec::new(), ports: Vec::new() };
        let (mut spare, mut flows) = (Vec::new(), Flows::default());
        for (number, nic) in nics.iter().enumerate() {
            for queue in 0..nic.queues {
                let place = Place { interface: nic.interface, queue, shard: 0 };
                opening.open_queue((number, place), &mut spare, &mut flows)?;
                for shard in 1..shards {
                    opening.join_queue((number, Place { shard, ..place }))?;
                }
            }
        }
        let Opening { memory, queues, ports, .. } = opening;
        Ok(Self::assemble(memory, queues, by_shard(ports, shards), spare, flows))
    }

    /// Puts a set together from its sockets, for each shard in the order of the queues. What was
    /// done with frames before is the first shard's.
    pub(super) fn assemble(
        memory: Arc<Memory>,
        queues: Vec<Arc<Queue>>,
        ports: Vec<Vec<Port>>,
        spare: Vec<Frame>,
        flows: Flows,
    ) -> Self {
        let mut sockets = ports.iter().flatten().map(|port| port.socket.as_ref());
        let zero_copy = sockets.all(|socket| socket.is_some_and(XskSocket::zero_copy));
        let count = ports.len() as u32;
        let mut first = Some((spare, flows));
        let shards = (0..count)
            .zip(ports)
            .map(|(index, ports)| {
                let (spare, flows) = first.take().unwrap_or_default();
                ShardXsk::new((index, count), ports, memory.clone(), spare, flows)
            })
            .collect();
        Self { memory, queues, shards, zero_copy }
    }

    /// Hands the shards out, each to be moved to its worker. Empty the second time.
    pub fn take_shards(&mut self) -> Vec<ShardXsk> {
        std::mem::take(&mut self.shards)
    }

    /// Whether the driver writes into our memory itself; otherwise the kernel copies.
    pub fn is_zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// How many frames there are.
    pub fn frames(&self) -> usize {
        self.memory.umem.frames()
    }

    /// Where they are. Each number is as of the last batch of its shard, so that the total is exact
    /// only while no worker is working.
    pub fn account(&self) -> FrameAccount {
        FrameAccount::of(&self.memory, &self.queues)
    }

    /// Something that sees the set when its shards are somewhere else; to be had before they are.
    pub fn monitor(&self) -> io::Result<XskMonitor> {
        let mut sockets = Vec::new();
        for shard in &self.shards {
            for (queue, socket) in (0..).zip(shard.fds()) {
                sockets.push((queue, socket.try_clone_to_owned()?));
            }
        }
        sockets.sort_by_key(|(queue, _)| *queue);
        Ok(XskMonitor::new(self.memory.clone(), self.queues.clone(), sockets))
    }
}

/// Memory with as many frames as everybody together may need.
pub(super) fn memory(
    interface: u32,
    (queues, shards): (u32, u32),
    options: &XskOptions,
) -> Result<Arc<Memory>, XskError> {
    let demand = FrameDemand { queues, shards };
    if let Some(objection) = demand.objection(options) {
        return Err(XskError::Options(objection));
    }
    let frames = demand.frames(options);
    assert!(frames >= demand.ring_entries(options), "somebody could starve");
    let place = Place { interface, queue: 0, shard: 0 };
    let memory = Memory::new(frames, options.chunk, shards as usize);
    memory.map(Arc::new).map_err(|error| XskError::kernel(Step::AllocateMemory, place, error))
}

/// From queue by queue to shard by shard.
pub(super) fn by_shard(ports: Vec<Port>, shards: u32) -> Vec<Vec<Port>> {
    let mut by_shard: Vec<Vec<Port>> = (0..shards).map(|_| Vec::new()).collect();
    for (n, port) in ports.into_iter().enumerate() {
        by_shard[n % shards as usize].push(port);
    }
    by_shard
}

/// A set of which some sockets are open.
struct Opening<'a> {
    options: &'a XskOptions,
    memory: Arc<Memory>,
    queues: Vec<Arc<Queue>>,
    /// Queue by queue, in each shard by shard.
    ports: Vec<Port>,
}

impl Opening<'_> {
    /// Opens the first socket on a queue, the one that makes its fill and completion rings.
    fn open_queue(
        &mut self,
        (nic, place): (usize, Place),
        spare: &mut Vec<Frame>,
        flows: &mut Flows,
    ) -> Result<(), XskError> {
        let socket = XskSocket::new(place)?;
        if self.ports.is_empty() {
            socket.register(&self.memory.umem)?;
        }
        let fill = Producer::new(socket.ring(RingKind::Fill, self.options.fill_ring)?);
        let completion =
            Consumer::new(socket.ring(RingKind::Completion, self.options.completion_ring)?);
        let rings = Arc::new(Queue::new(fill, completion));
        // Zero-copy drivers take their first frames while the socket is being bound.
        rings.serve(&self.memory, spare, flows);
        self.queues.push(rings);
        self.bind(nic, socket, self.ports.first().and_then(|port| port.socket.as_ref()))
            .map(|port| self.ports.push(port))
    }

    /// Opens a further socket on the queue that was opened last.
    fn join_queue(&mut self, (nic, place): (usize, Place)) -> Result<(), XskError> {
        let socket = XskSocket::new(place)?;
        let first = self.ports.len() - place.shard as usize;
        let port = self.bind(nic, socket, self.ports[first].socket.as_ref())?;
        self.ports.push(port);
        Ok(())
    }

    fn bind(
        &self,
        nic: usize,
        mut socket: XskSocket,
        first: Option<&XskSocket>,
    ) -> Result<Port, XskError> {
        let rx = Consumer::new(socket.ring(RingKind::Rx, self.options.rx_ring)?);
        let tx = Producer::new(socket.ring(RingKind::Tx, self.options.tx_ring)?);
        socket.bind(&first.map_or(Sharing::Own(self.options.zero_copy), Sharing::With))?;
        let queue = self.queues[self.queues.len() - 1].clone();
        Ok(Port { nic, queue, socket: Some(socket), rx, tx })
    }
}
