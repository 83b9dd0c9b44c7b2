//! From ordinary sockets to AF_XDP.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use xdtls::xsk::{RxPacket, ShardXsk};

use crate::bpf::Mode;
use crate::lab::{FLOWS, Lab, PATIENCE, RING, Receiver, payload, payload_of, receive_exactly};

/// Datagrams that may be under way. Fewer than a ring holds, so none may be lost.
const WINDOW: usize = 64;

pub(crate) fn one_queue() -> Result<()> {
    everything_arrives(1, Mode::Native)
}

pub(crate) fn two_queues() -> Result<()> {
    everything_arrives(2, Mode::Native)
}

/// In generic mode the veth driver records no receive queue: everything is on queue 0.
pub(crate) fn generic_mode() -> Result<()> {
    everything_arrives(1, Mode::Generic)
}

/// Two shards, each on its own thread, several flows for each: everything arrives unchanged at the
/// right shard, in order.
fn everything_arrives(queues: u32, mode: Mode) -> Result<()> {
    const DATAGRAMS: u32 = 1000;
    let lab = Lab::new(queues)?;
    let mut receiver = Receiver::new(&lab, queues, 2, mode)?;
    ensure!(!receiver.set.is_zero_copy(), "a veth pair has no zero-copy");
    let senders = (0..FLOWS).map(|_| lab.sender()).collect::<Result<Vec<_>>>()?;
    let expected = DATAGRAMS as usize * usize::from(FLOWS);
    let received = AtomicUsize::new(0);
    let queues_seen = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..)
            .zip(&mut receiver.shards)
            .map(|(index, shard)| {
                let received = &received;
                scope.spawn(move || verify(shard, index, expected, received))
            })
            .collect();
        let mut sent = 0;
        for number in 0..DATAGRAMS {
            for (flow, socket) in (0..).zip(&senders) {
                for shard in 0..2 {
                    socket.send(&payload(shard, flow, number))?;
                    sent += 1;
                }
                wait_until(|| sent < received.load(Ordering::Relaxed) + WINDOW)?;
            }
        }
        let seen = workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("panic"))?);
        seen.collect::<Result<Vec<_>>>()
    })?;
    let all: BTreeSet<u32> = (0..queues).collect();
    ensure!(queues_seen == [all.clone(), all], "{queues_seen:?}");
    receiver.ensure_at_rest()
}

/// Receives what is meant for a shard; returns the queues that it came from.
fn verify(
    shard: &mut ShardXsk,
    index: u8,
    count: usize,
    received: &AtomicUsize,
) -> Result<BTreeSet<u32>> {
    let mut queues = BTreeSet::new();
    let mut next = [0; FLOWS as usize];
    receive_exactly(shard, count, |shard, RxPacket { queue, frame, .. }| {
        let bytes = payload_of(frame.bytes());
        let flow = bytes[1];
        let expected = payload(index, flow, next[usize::from(flow)]);
        ensure!(bytes == expected, "shard {index}, flow {flow}: {bytes:?} is not {expected:?}");
        next[usize::from(flow)] += 1;
        queues.insert(queue);
        shard.return_frame(frame);
        received.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })?;
    Ok(queues)
}

fn wait_until(holds: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        ensure!(Instant::now() < deadline, "the receivers have stopped");
        std::thread::yield_now();
    }
    Ok(())
}

/// One shard never wakes up. Its ring runs over; the other, on the same queue, misses nothing.
pub(crate) fn a_sleeping_shard_starves_nobody() -> Result<()> {
    let lab = Lab::new(1)?;
    let mut receiver = Receiver::new(&lab, 1, 2, Mode::Native)?;
    let sender = lab.sender()?;
    let [awake, asleep] = &mut receiver.shards[..] else { return Err(anyhow!("two shards")) };
    let surplus = 100;
    for number in 0..RING + surplus {
        sender.send(&payload(1, 0, number))?;
        // What is lost for the one that sleeps has used up no frame of the other.
        awake.service()?;
    }
    for batch in 0..10 * RING / 32 {
        for number in batch * 32..(batch + 1) * 32 {
            sender.send(&payload(0, 0, number))?;
        }
        let mut number = batch * 32;
        receive_exactly(awake, 32, |shard, packet| {
            ensure!(payload_of(packet.frame.bytes()) == payload(0, 0, number), "number {number}");
            number += 1;
            shard.return_frame(packet.frame);
            Ok(())
        })?;
    }
    let statistics = awake.statistics(0).context("no socket")??;
    ensure!(statistics.rx_ring_full == Some(0) && statistics.rx_dropped == 0, "{statistics:?}");
    ensure!(statistics.rx_fill_ring_empty_descs == Some(0), "{statistics:?}");
    let statistics = asleep.statistics(0).context("no socket")??;
    ensure!(statistics.rx_ring_full == Some(u64::from(surplus)), "{statistics:?}");
    let mut number = 0;
    receive_exactly(asleep, RING as usize, |shard, packet| {
        ensure!(payload_of(packet.frame.bytes()) == payload(1, 0, number), "number {number}");
        number += 1;
        shard.return_frame(packet.frame);
        Ok(())
    })?;
    receiver.ensure_at_rest()
}
