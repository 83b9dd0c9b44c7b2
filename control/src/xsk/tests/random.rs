//! Random sequences of operations against a model: no frame is lost, no packet is changed, doubled
//! or overtaken.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const QUEUES: usize = 2;
const SHARDS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Deliver { queue: usize, shard: usize, count: usize },
    Receive { shard: usize },
    Return { shard: usize, count: usize },
    Transmit { shard: usize, queue: u32, count: usize },
    Originate { shard: usize, queue: u32, count: usize },
    Send { queue: usize, shard: usize, count: usize },
    Service { shard: usize },
}

fn operation() -> impl Strategy<Value = Operation> {
    let (queue, shard, count) = (0..QUEUES, 0..SHARDS, 0..50_usize);
    let all = (queue, shard, count);
    prop_oneof![
        all.clone().prop_map(|(queue, shard, count)| Operation::Deliver { queue, shard, count }),
        (0..SHARDS).prop_map(|shard| Operation::Receive { shard }),
        all.clone().prop_map(|(_, shard, count)| Operation::Return { shard, count }),
        all.clone().prop_map(|(queue, shard, count)| {
            Operation::Transmit { shard, queue: queue as u32, count }
        }),
        all.clone().prop_map(|(queue, shard, count)| {
            Operation::Originate { shard, queue: queue as u32, count }
        }),
        all.prop_map(|(queue, shard, count)| Operation::Send { queue, shard, count }),
        (0..SHARDS).prop_map(|shard| Operation::Service { shard }),
    ]
}

/// The numbers of packets on their way, by queue and shard.
type Expected = [[VecDeque<u32>; SHARDS]; QUEUES];

struct World {
    set: XskSet,
    shards: Vec<ShardXsk>,
    nic: SimulatedNic,
    /// What the workers hold, with the numbers in it.
    held: [Vec<(Frame, u32)>; SHARDS],
    receiving: Expected,
    sending: Expected,
    number: u32,
}

impl World {
    fn new() -> Self {
        let (set, shards, nic) = simulated(QUEUES as u32, SHARDS as u32);
        let (held, number) = (Default::default(), 0);
        let (receiving, sending) = (Expected::default(), Expected::default());
        Self { set, shards, nic, held, receiving, sending, number }
    }

    fn next_packet(&mut self) -> [u8; 4] {
        self.number += 1;
        self.number.to_be_bytes()
    }

    fn carry_out(&mut self, operation: Operation) {
        match operation {
            Operation::Deliver { queue, shard, count } => {
                for _ in 0..count {
                    let packet = self.next_packet();
                    if self.nic.deliver(queue, shard, &packet) == Delivery::Received {
                        self.receiving[queue][shard].push_back(self.number);
                    }
                }
            }
            Operation::Receive { shard } => self.receive(shard),
            Operation::Return { shard, count } => {
                let rest = self.held[shard].len().saturating_sub(count);
                for (frame, number) in self.held[shard].split_off(rest) {
                    assert_eq!(frame.bytes(), number.to_be_bytes());
                    self.shards[shard].return_frame(frame);
                }
            }
            Operation::Transmit { shard, queue, count } => {
                let rest = self.held[shard].len().saturating_sub(count);
                for (frame, number) in self.held[shard].split_off(rest) {
                    self.transmit(shard, queue, frame, number);
                }
            }
            Operation::Originate { shard, queue, count } => {
                for _ in 0..count {
                    let Some(mut frame) = self.shards[shard].allocate() else { break };
                    let packet = self.next_packet();
                    frame.renew(4).copy_from_slice(&packet);
                    self.transmit(shard, queue, frame, self.number);
                }
            }
            Operation::Send { queue, shard, count } => {
                for _ in 0..count {
                    let Some(packet) = self.nic.send(queue, shard) else { break };
                    let expected = self.sending[queue][shard].pop_front().unwrap();
                    assert_eq!(packet, expected.to_be_bytes());
                }
            }
            Operation::Service { shard } => self.shards[shard].service().unwrap(),
        }
        self.shards.iter_mut().for_each(|shard| assert!(!shard.flush().unwrap()));
        balanced(&self.set);
    }

    fn receive(&mut self, shard: usize) {
        let mut batch = Vec::new();
        let count = self.shards[shard].receive(&mut batch);
        assert_eq!(count, batch.len());
        for RxPacket { queue, frame } in batch {
            let expected = self.receiving[queue as usize][shard].pop_front().unwrap();
            assert_eq!(frame.bytes(), expected.to_be_bytes());
            self.held[shard].push((frame, expected));
        }
    }

    fn transmit(&mut self, shard: usize, queue: u32, frame: Frame, number: u32) {
        match self.shards[shard].transmit(queue, frame) {
            Ok(()) => self.sending[queue as usize][shard].push_back(number),
            Err(frame) => self.held[shard].push((frame, number)),
        }
    }

    /// Lets everything come to rest; returns what is left to be said about frames.
    fn settle(&mut self) -> FrameAccount {
        for shard in 0..SHARDS {
            for _ in 0..20 {
                self.carry_out(Operation::Receive { shard });
                self.carry_out(Operation::Return { shard, count: usize::MAX });
                for queue in 0..QUEUES {
                    self.carry_out(Operation::Send { queue, shard, count: 64 });
                }
                self.carry_out(Operation::Service { shard });
            }
        }
        balanced(&self.set)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 128 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn frames_are_always_accounted_for(operations in prop::collection::vec(operation(), 1..80)) {
        let mut world = World::new();
        for operation in operations {
            world.carry_out(operation);
        }
        let account = world.settle();
        let FrameAccount { rx, tx, completion, held, .. } = account;
        assert_eq!([rx, tx, completion, held], [0; 4], "{account:?}");
        // The simulated kernel may keep one frame a queue beyond the rings.
        let rings = QUEUES as i64 * i64::from(OPTIONS.fill_ring);
        assert!((rings..=rings + QUEUES as i64).contains(&account.fill), "{account:?}");
    }
}
