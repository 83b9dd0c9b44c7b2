//! Fill and completion rings that several workers share.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::super::accounting::Flows;
use super::super::frame::FrameAddr;
use super::super::pool::Memory;
use super::super::queue::Queue;
use super::super::ring::{Consumer, Producer, Ring};
use super::*;

fn return_all(shard: &mut ShardXsk, batch: &mut Vec<RxPacket>) {
    batch.drain(..).for_each(|packet| shard.return_frame(packet.frame));
}

#[test]
fn a_sleeping_shard_starves_nobody() {
    let (set, mut shards, mut nic) = simulated(1, 2);
    // The second shard never wakes up, and its ring runs over.
    let outcomes: Vec<Delivery> = (0..40).map(|_| nic.deliver(0, 1, b"for nobody")).collect();
    assert!(outcomes[..32].iter().all(|outcome| *outcome == Delivery::Received));
    assert!(outcomes[32..].iter().all(|outcome| *outcome == Delivery::RingFull));
    let mut batch = Vec::new();
    for number in 0..10 * OPTIONS.fill_ring {
        assert_eq!(nic.deliver(0, 0, &number.to_be_bytes()), Delivery::Received, "{number}");
        if number % 8 == 7 {
            assert_eq!(shards[0].receive(&mut batch), 8);
            assert_eq!(batch[7].frame.bytes(), number.to_be_bytes());
            return_all(&mut shards[0], &mut batch);
            shards[0].service().unwrap();
            balanced(&set);
        }
    }
    // When it wakes up at last, everything that fitted is there.
    assert_eq!(shards[1].receive(&mut batch), 32);
    return_all(&mut shards[1], &mut batch);
    shards[1].service().unwrap();
    let account = balanced(&set);
    assert_eq!((account.rx, account.held, account.fill), (0, 0, 64));
}

#[test]
fn what_a_sleeping_shard_has_sent_comes_back_through_another() {
    let (set, mut shards, mut nic) = simulated(1, 2);
    for round in 0..5 {
        for _ in 0..32 {
            let frame = shards[1].allocate().unwrap();
            shards[1].transmit(0, frame).unwrap();
        }
        shards[1].flush().unwrap();
        while nic.send(0, 1).is_some() {}
        assert_eq!(balanced(&set).completion, 32, "round {round}");
        shards[0].service().unwrap();
        assert_eq!(balanced(&set).completion, 0);
    }
}

#[test]
fn the_fill_ring_is_refilled_though_nothing_was_received() {
    let (set, mut shards, mut nic) = simulated(1, 2);
    let mut batch = Vec::new();
    for _ in 0..2 {
        for _ in 0..32 {
            assert_eq!(nic.deliver(0, 0, b"a"), Delivery::Received);
            assert_eq!(nic.deliver(0, 1, b"b"), Delivery::Received);
        }
        assert_eq!(nic.deliver(0, 0, b"c"), Delivery::NoFrame);
        // Whoever comes by refills for both.
        shards[1].service().unwrap();
        assert_eq!(nic.deliver(0, 0, b"c"), Delivery::RingFull);
        for shard in &mut shards {
            assert_eq!(shard.receive(&mut batch), 32);
            return_all(shard, &mut batch);
            shard.service().unwrap();
        }
        balanced(&set);
        // The simulated kernel has kept one frame; let it use it up.
        assert_eq!(nic.deliver(0, 0, b"d"), Delivery::Received);
        assert_eq!(shards[0].receive(&mut batch), 1);
        return_all(&mut shards[0], &mut batch);
        shards[0].service().unwrap();
    }
}

struct Parts {
    queue: Queue,
    memory: Arc<Memory>,
    fill: Consumer<FrameAddr>,
    _completion: Producer<FrameAddr>,
}

fn parts() -> Parts {
    let memory = Arc::new(Memory::new(128, ChunkSize::Small, 1).unwrap());
    let (ours, fill) = Ring::pair(64).unwrap();
    let (completion, theirs) = Ring::pair(64).unwrap();
    let queue = Queue::new(ours, theirs);
    queue.serve(&memory, &mut Vec::new(), &mut Flows::default());
    Parts { queue, memory, fill, _completion: completion }
}

fn use_up(fill: &mut Consumer<FrameAddr>, count: usize) {
    assert_eq!(std::iter::from_fn(|| fill.pop()).take(count).count(), count);
    fill.release();
}

#[test]
fn a_worker_passes_by_while_another_serves_the_rings() {
    let mut parts = parts();
    use_up(&mut parts.fill, 40);
    let guard = parts.queue.occupy();
    parts.queue.serve(&parts.memory, &mut Vec::new(), &mut Flows::default());
    assert_eq!(parts.fill.available(), 24, "nothing was done");
    drop(guard);
    parts.queue.serve(&parts.memory, &mut Vec::new(), &mut Flows::default());
    assert_eq!(parts.fill.available(), 64);
}

#[test]
fn a_worker_waits_where_the_fill_ring_runs_low() {
    let Parts { queue, memory, mut fill, _completion } = parts();
    use_up(&mut fill, 64);
    let guard = queue.occupy();
    std::thread::scope(|scope| {
        let (done, is_done) = channel();
        let (queue, memory) = (&queue, &memory);
        scope.spawn(move || {
            queue.serve(memory, &mut Vec::new(), &mut Flows::default());
            done.send(()).unwrap();
        });
        assert!(is_done.recv_timeout(Duration::from_millis(50)).is_err(), "it did not wait");
        drop(guard);
        is_done.recv_timeout(Duration::from_secs(10)).unwrap();
    });
    assert_eq!(fill.available(), 64);
}
