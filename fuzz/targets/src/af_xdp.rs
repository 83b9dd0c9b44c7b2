//! Batches over AF_XDP rings with a simulated interface: whatever the order of operations, every
//! frame is accounted for, and no packet is altered, doubled or overtaken.

use std::collections::VecDeque;

use xdtls::xsk::{
    Delivery, Frame, FrameAccount, RxPacket, ShardXsk, SimulatedNic, XskOptions, XskSet,
};

const QUEUES: usize = 2;
const SHARDS: usize = 2;

const OPTIONS: XskOptions = SimulatedNic::OPTIONS;

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

/// Two bytes are an operation: which, on which queue and shard, and how often.
pub(crate) fn run(data: &[u8]) {
    let (mut set, nic) = SimulatedNic::new(QUEUES as u32, SHARDS as u32, &OPTIONS).unwrap();
    let shards = set.take_shards();
    let (held, number) = (Default::default(), 0);
    let (receiving, sending) = (Expected::default(), Expected::default());
    let mut world = World { set, shards, nic, held, receiving, sending, number };
    for [operation, count] in data.as_chunks().0.iter().take(400) {
        let (queue, shard) = (usize::from(operation >> 3 & 1), usize::from(operation >> 4 & 1));
        world.carry_out(operation & 7, queue, shard, usize::from(count % 50));
        world.balance();
    }
    world.come_to_rest();
}

impl World {
    fn carry_out(&mut self, operation: u8, queue: usize, shard: usize, count: usize) {
        match operation {
            0 | 1 => (0..count).for_each(|_| self.deliver(queue, shard)),
            2 => self.receive(shard),
            3 => self.give_back(shard, count),
            4 => {
                let rest = self.held[shard].len().saturating_sub(count);
                for (frame, number) in self.held[shard].split_off(rest) {
                    self.transmit(queue, shard, frame, number);
                }
            }
            5 => (0..count).for_each(|_| self.originate(queue, shard)),
            6 => (0..count).for_each(|_| self.send(queue, shard)),
            _ => self.shards[shard].service().unwrap(),
        }
    }

    fn next_packet(&mut self) -> [u8; 4] {
        self.number += 1;
        self.number.to_be_bytes()
    }

    fn deliver(&mut self, queue: usize, shard: usize) {
        let packet = self.next_packet();
        if self.nic.deliver(queue, shard, &packet) == Delivery::Received {
            self.receiving[queue][shard].push_back(self.number);
        }
    }

    fn receive(&mut self, shard: usize) {
        let mut batch = Vec::new();
        assert_eq!(self.shards[shard].receive(&mut batch), batch.len());
        for RxPacket { queue, frame, .. } in batch {
            let expected = self.receiving[queue as usize][shard].pop_front().unwrap();
            assert_eq!(frame.bytes(), expected.to_be_bytes());
            self.held[shard].push((frame, expected));
        }
    }

    fn give_back(&mut self, shard: usize, count: usize) {
        let rest = self.held[shard].len().saturating_sub(count);
        for (frame, number) in self.held[shard].split_off(rest) {
            assert_eq!(frame.bytes(), number.to_be_bytes());
            self.shards[shard].return_frame(frame);
        }
    }

    fn originate(&mut self, queue: usize, shard: usize) {
        let Some(mut frame) = self.shards[shard].allocate() else { return };
        let packet = self.next_packet();
        frame.renew(packet.len()).copy_from_slice(&packet);
        self.transmit(queue, shard, frame, self.number);
    }

    fn transmit(&mut self, queue: usize, shard: usize, frame: Frame, number: u32) {
        match self.shards[shard].transmit(queue as u32, frame) {
            Ok(()) => self.sending[queue][shard].push_back(number),
            Err(frame) => self.held[shard].push((frame, number)),
        }
    }

    fn send(&mut self, queue: usize, shard: usize) {
        if let Some(packet) = self.nic.send(queue, shard) {
            let expected = self.sending[queue][shard].pop_front().unwrap();
            assert_eq!(packet, expected.to_be_bytes());
        }
    }

    fn balance(&mut self) -> FrameAccount {
        self.shards.iter_mut().for_each(|shard| assert!(!shard.flush().unwrap()));
        let account = self.set.account();
        assert_eq!(account.total(), self.set.frames() as i64, "{account:?}");
        let FrameAccount { rx, tx, fill, completion, free, held } = account;
        assert!([rx, tx, fill, completion, free, held].iter().all(|n| *n >= 0), "{account:?}");
        account
    }

    /// Nothing new comes, and everything is worked off.
    fn come_to_rest(&mut self) {
        for _ in 0..20 {
            for shard in 0..SHARDS {
                self.receive(shard);
                self.give_back(shard, usize::MAX);
                for queue in 0..QUEUES {
                    (0..64).for_each(|_| self.send(queue, shard));
                }
                self.shards[shard].service().unwrap();
                self.balance();
            }
        }
        let account = self.balance();
        let FrameAccount { rx, tx, fill, completion, held, .. } = account;
        assert_eq!([rx, tx, completion, held], [0; 4], "{account:?}");
        // The simulated kernel may keep one frame a queue beyond the rings.
        let rings = QUEUES as i64 * i64::from(OPTIONS.fill_ring);
        assert!((rings..=rings + QUEUES as i64).contains(&fill), "{account:?}");
    }
}
