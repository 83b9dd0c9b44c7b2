//! An interface without a kernel: the other end of all rings, for tests of what is built on them.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;

use super::accounting::Flows;
use super::error::{Place, Step, XskError};
use super::frame::{ChunkSize, Descriptor, Frame, FrameAddr};
use super::options::{XskOptions, ZeroCopy};
use super::pool::Memory;
use super::port::Port;
use super::queue::Queue;
use super::ring::{Consumer, Producer, Ring};
use super::set::{XskSet, by_shard, memory};

/// What errors name in place of an interface.
const NO_INTERFACE: Place = Place { interface: 0, queue: 0, shard: 0 };

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is in the rx ring.
    Received,
    /// It is lost: there was no frame in the fill ring (`rx_fill_ring_empty_descs`).
    NoFrame,
    /// It is lost: the rx ring was full (`rx_ring_full`).
    RingFull,
}

/// The kernel's and the driver's part of a set, in copy mode.
pub struct SimulatedNic {
    memory: Arc<Memory>,
    queues: Vec<NicQueue>,
}

struct NicQueue {
    fill: Consumer<FrameAddr>,
    completion: Producer<FrameAddr>,
    sockets: Vec<NicSocket>,
    /// Taken from the fill ring for a packet that did not fit; the kernel uses it for the next.
    kept: Option<Frame>,
}

struct NicSocket {
    rx: Producer<Descriptor>,
    tx: Consumer<Descriptor>,
}

impl SimulatedNic {
    /// Small rings, so that they run full.
    pub const OPTIONS: XskOptions = XskOptions {
        chunk: ChunkSize::Small,
        zero_copy: ZeroCopy::Off,
        rx_ring: 32,
        tx_ring: 32,
        fill_ring: 64,
        completion_ring: 32,
    };

    /// A set and the interface that it is on.
    pub fn new(queues: u32, shards: u32, options: &XskOptions) -> Result<(XskSet, Self), XskError> {
        Self::several(&[queues], shards, options)
    }

    /// A set on several interfaces with so many queues, which are counted through.
    pub fn several(
        queues: &[u32],
        shards: u32,
        options: &XskOptions,
    ) -> Result<(XskSet, Self), XskError> {
        let memory = memory(NO_INTERFACE.interface, (queues.iter().sum(), shards), options)?;
        Self::with_memory(memory, (queues, shards), options)
            .map_err(|error| XskError::kernel(Step::MakeRing, NO_INTERFACE, error))
    }

    fn with_memory(
        memory: Arc<Memory>,
        (queues, shards): (&[u32], u32),
        options: &XskOptions,
    ) -> io::Result<(XskSet, Self)> {
        let (mut our_queues, mut ports, mut nic_queues) = (Vec::new(), Vec::new(), Vec::new());
        let (mut spare, mut flows) = (Vec::new(), Flows::default());
        let queues = queues.iter().enumerate();
        for nic in queues.flat_map(|(nic, count)| (0..*count).map(move |_| nic)) {
            let (fill, nic_fill) = Ring::pair(options.fill_ring)?;
            let (nic_completion, completion) = Ring::pair(options.completion_ring)?;
            let queue = Arc::new(Queue::new(fill, completion));
            queue.serve(&memory, &mut spare, &mut flows);
            let mut sockets = Vec::new();
            for _ in 0..shards {
                let (nic_rx, rx) = Ring::pair(options.rx_ring)?;
                let (tx, nic_tx) = Ring::pair(options.tx_ring)?;
                ports.push(Port { nic, queue: queue.clone(), socket: None, rx, tx });
                sockets.push(NicSocket { rx: nic_rx, tx: nic_tx });
            }
            our_queues.push(queue);
            let (fill, completion) = (nic_fill, nic_completion);
            nic_queues.push(NicQueue { fill, completion, sockets, kept: None });
        }
        let nic = Self { memory: memory.clone(), queues: nic_queues };
        let ports = by_shard(ports, shards);
        Ok((XskSet::assemble(memory, our_queues, ports, spare, flows), nic))
    }

    /// A packet, Ethernet header included, for a shard's socket on a queue.
    pub fn deliver(&mut self, queue: usize, shard: usize, packet: &[u8]) -> Delivery {
        let NicQueue { fill, sockets, kept, .. } = &mut self.queues[queue];
        let frame = kept.take().or_else(|| {
            let address = fill.pop()?;
            fill.release();
            // SAFETY: the fill ring has given us this frame.
            Some(unsafe { self.memory.umem.take(address, 0) })
        });
        let Some(mut frame) = frame else { return Delivery::NoFrame };
        frame.renew(packet.len()).copy_from_slice(packet);
        let rx = &mut sockets[shard].rx;
        if rx.is_full() {
            *kept = Some(frame);
            return Delivery::RingFull;
        }
        let full = rx.push(self.memory.umem.give(frame));
        debug_assert!(full.is_ok(), "there is room, and we are the only producer");
        rx.publish();
        Delivery::Received
    }

    /// Sends the next packet of a shard's socket on a queue; `None` if there is none, or no room
    /// to say that it was sent.
    pub fn send(&mut self, queue: usize, shard: usize) -> Option<Vec<u8>> {
        let NicQueue { completion, sockets, .. } = &mut self.queues[queue];
        if completion.is_full() {
            return None;
        }
        let tx = &mut sockets[shard].tx;
        let Descriptor { address, length, .. } = tx.pop()?;
        tx.release();
        // SAFETY: the tx ring has given us this frame.
        let frame = unsafe { self.memory.umem.take(address, length) };
        let packet = frame.bytes().to_vec();
        let full = completion.push(self.memory.umem.give(frame).address);
        debug_assert!(full.is_ok(), "there is room, and we are the only producer");
        completion.publish();
        Some(packet)
    }
}

impl Drop for SimulatedNic {
    fn drop(&mut self) {
        for frame in self.queues.iter_mut().filter_map(|queue| queue.kept.take()) {
            self.memory.umem.give(frame);
        }
    }
}
