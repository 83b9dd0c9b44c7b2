mod service;

use super::accounting::FrameAccount;
use super::options::FrameDemand;
use super::*;

const OPTIONS: XskOptions = SimulatedNic::OPTIONS;

fn simulated(queues: u32, shards: u32) -> (XskSet, Vec<ShardXsk>, SimulatedNic) {
    let (mut set, nic) = SimulatedNic::new(queues, shards, &OPTIONS).unwrap();
    let shards = set.take_shards();
    (set, shards, nic)
}

fn balanced(set: &XskSet) -> FrameAccount {
    let account = set.account();
    assert_eq!(account.total(), set.frames() as i64, "{account:?}");
    let FrameAccount { rx, tx, fill, completion, free, held } = account;
    assert!([rx, tx, fill, completion, free, held].iter().all(|n| *n >= 0), "{account:?}");
    account
}

#[test]
fn a_packet_goes_in_and_out() {
    let (set, mut shards, mut nic) = simulated(2, 1);
    let shard = &mut shards[0];
    assert_eq!(balanced(&set).fill, 128);
    assert_eq!(nic.deliver(1, 0, b"hello"), Delivery::Received);
    let mut batch = Vec::new();
    assert_eq!(shard.receive(&mut batch), 1);
    let RxPacket { queue, mut frame, .. } = batch.pop().unwrap();
    assert_eq!((queue, frame.bytes(), balanced(&set).held), (1, &b"hello"[..], 1));

    frame.bytes_mut().make_ascii_uppercase();
    shard.transmit(0, frame).unwrap();
    assert_eq!(nic.send(0, 0), None, "not before it is flushed");
    assert!(!shard.flush().unwrap());
    assert_eq!((balanced(&set).tx, balanced(&set).held), (1, 0));
    assert_eq!(nic.send(0, 0).unwrap(), b"HELLO");
    assert_eq!(balanced(&set).completion, 1);

    let mut frame = shard.allocate().unwrap();
    frame.renew(1792).fill(7);
    shard.transmit(1, frame).unwrap();
    let frame = shard.allocate().unwrap();
    assert!(frame.bytes().is_empty());
    let frame = shard.transmit(2, frame).unwrap_err();
    shard.return_frame(frame);
    shard.flush().unwrap();
    assert_eq!(nic.send(1, 0).unwrap(), [7; 1792]);
    shard.service().unwrap();
    let free = set.frames() as i64 - 128;
    assert_eq!(balanced(&set), FrameAccount { fill: 128, free, ..FrameAccount::default() });
    assert_eq!((shard.received(), shard.index()), (1, 0));
}

#[test]
fn full_rings_give_back_what_they_do_not_take() {
    let (set, mut shards, mut nic) = simulated(1, 1);
    let shard = &mut shards[0];
    for _ in 0..32 {
        let frame = shard.allocate().unwrap();
        shard.transmit(0, frame).unwrap();
    }
    shard.flush().unwrap();
    let frame = shard.allocate().unwrap();
    let frame = shard.transmit(0, frame).unwrap_err();
    assert!(nic.send(0, 0).is_some());
    shard.transmit(0, frame).unwrap();
    shard.flush().unwrap();
    for _ in 1..32 {
        assert!(nic.send(0, 0).is_some());
    }
    assert_eq!(nic.send(0, 0), None, "the completion ring is full");
    assert_eq!((balanced(&set).tx, balanced(&set).completion), (1, 32));
    shard.service().unwrap();
    assert!(nic.send(0, 0).is_some());
}

#[test]
fn a_worker_can_hold_only_so_many_frames() {
    let (set, mut shards, mut nic) = simulated(1, 1);
    let shard = &mut shards[0];
    let mut held: Vec<Frame> = std::iter::from_fn(|| shard.allocate()).collect();
    assert_eq!(held.len(), HELD_FRAMES_MAX);
    nic.deliver(0, 0, b"waits");
    let mut batch = Vec::new();
    assert_eq!(shard.receive(&mut batch), 0);
    shard.return_frame(held.pop().unwrap());
    assert_eq!(shard.receive(&mut batch), 1);
    held.extend(batch.into_iter().map(|packet| packet.frame));
    held.into_iter().for_each(|frame| shard.return_frame(frame));
    shard.service().unwrap();
    assert_eq!(balanced(&set).held, 0);
}

#[test]
fn a_dropped_frame_is_counted() {
    let (set, mut shards, _nic) = simulated(1, 1);
    let before = lost_frames();
    drop(shards[0].allocate().unwrap());
    assert!(lost_frames() > before);
    shards[0].service().unwrap();
    assert_eq!(balanced(&set).held, 1);
}

#[test]
fn a_frame_may_outlive_its_set() {
    let (set, mut shards, nic) = simulated(1, 1);
    let mut frame = shards[0].allocate().unwrap();
    drop((set, shards, nic));
    frame.renew(100).fill(3);
    assert_eq!(frame.bytes(), [3; 100]);
}

#[test]
#[should_panic = "another UMEM"]
fn a_frame_of_another_set_is_refused() {
    let (_set, mut shards, _nic) = simulated(1, 1);
    let (_other_set, mut other_shards, _other_nic) = simulated(1, 1);
    shards[0].return_frame(other_shards[0].allocate().unwrap());
}

#[test]
fn options_that_cannot_be_met_are_refused() {
    let objects = |queues, shards, options: &XskOptions| {
        FrameDemand { queues, shards }.objection(options).is_some()
    };
    assert!(!objects(4, 4, &XskOptions::default()) && !objects(1, 1, &OPTIONS));
    assert!(objects(0, 1, &OPTIONS) && objects(1, 0, &OPTIONS));
    for size in [0, 16, 100, 1 << 17] {
        assert!(objects(1, 1, &XskOptions { completion_ring: size, ..OPTIONS }), "{size}");
    }
    let error = SimulatedNic::new(0, 1, &OPTIONS).err().unwrap();
    assert_eq!(error.to_string(), "AF_XDP options: there has to be a queue and a shard");
}

#[test]
fn errors_name_the_step_the_place_and_the_gate() {
    use rustix::io::Errno;
    let place = Place { interface: 7, queue: 1, shard: 0 };
    let error = XskError::kernel(Step::OpenSocket, place, Errno::PERM);
    assert_eq!(
        error.to_string(),
        "interface 7, queue 1, shard 0: opening an AF_XDP socket failed: Operation not permitted \
         (os error 1) (AF_XDP needs the capability CAP_NET_RAW; a seccomp filter may forbid it, \
         too)"
    );
    let gate = |step, errno| XskError::kernel(step, place, errno).gate().unwrap_or_default();
    assert!(gate(Step::Bind, Errno::BUSY).contains("UMEM"));
    assert!(gate(Step::Bind, Errno::OPNOTSUPP).contains("zero-copy"));
    assert!(
        gate(Step::RegisterMemory, Errno::NOBUFS).ends_with("LimitMEMLOCK=infinity in the unit")
    );
    assert_eq!(gate(Step::Bind, Errno::IO), "");
}

#[test]
fn a_shard_can_move_to_its_thread() {
    fn is_send<T: Send>() {}
    is_send::<ShardXsk>();
    is_send::<RxPacket>();
}
