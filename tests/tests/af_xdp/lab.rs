//! The topology of the tests, and what goes over it.

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use xdtls::xsk::{ChunkSize, FrameAccount, Nic, RxPacket, ShardXsk, XskOptions, XskSet, ZeroCopy};
use xdtls_netlab::{Netns, Veth};

use crate::bpf::{HEADERS, Mode, Redirect};

/// Far longer than anything here takes on a machine that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Flows of one shard; with this many, some are on each queue.
pub(crate) const FLOWS: u8 = 12;

/// Entries of every ring.
pub(crate) const RING: u32 = 256;

pub(crate) const OPTIONS: XskOptions = XskOptions {
    chunk: ChunkSize::Small,
    zero_copy: ZeroCopy::Auto,
    rx_ring: RING,
    tx_ring: RING,
    fill_ring: RING,
    completion_ring: RING,
};

/// Two namespaces; the far end has the XDP program.
pub(crate) struct Lab {
    pub(crate) near: Netns,
    pub(crate) far: Netns,
    _veth: Veth,
}

impl Lab {
    pub(crate) fn new(queues: u32) -> Result<Self> {
        let (near, far) = (Netns::new("near")?, Netns::new("far")?);
        let veth = Veth::pair(&near, "near", "10.11.0.1/24", &far, "far", "10.11.0.2/24", queues)?;
        veth.disable_tx_offload()?;
        Ok(Self { near, far, _veth: veth })
    }

    /// Opens a set on the far end; nothing is redirected to it.
    pub(crate) fn open(&self, queues: u32, shards: u32, options: &XskOptions) -> Result<XskSet> {
        inside(&self.far, || Ok(XskSet::open(&[nic(queues)?], shards, options)?))
    }

    /// An ordinary socket on the near end that sends to the far one.
    pub(crate) fn sender(&self) -> Result<UdpSocket> {
        inside(&self.near, || {
            let socket = UdpSocket::bind("10.11.0.1:0")?;
            socket.connect("10.11.0.2:4433")?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        })
    }
}

/// A set that receives, with its program.
pub(crate) struct Receiver {
    pub(crate) set: XskSet,
    pub(crate) shards: Vec<ShardXsk>,
    _program: Redirect,
}

impl Receiver {
    pub(crate) fn new(lab: &Lab, queues: u32, shards: u32, mode: Mode) -> Result<Self> {
        let mut set = lab.open(queues, shards, &OPTIONS)?;
        let program = inside(&lab.far, || Ok(Redirect::attach(interface()?, shards, mode)?))
            .with_context(|| format!("cannot attach the program, {mode:?}"))?;
        let shards = set.take_shards();
        for (index, socket) in shards.iter().flat_map(|shard| shard.map_entries(0)) {
            program.set(index, socket)?;
        }
        Ok(Self { set, shards, _program: program })
    }

    /// Ensures that every frame is there, and none of them with anybody.
    pub(crate) fn ensure_at_rest(&mut self) -> Result<()> {
        self.shards.iter_mut().try_for_each(ShardXsk::service)?;
        let account = self.set.account();
        let FrameAccount { rx, tx, completion, held, .. } = account;
        ensure!(account.total() == self.set.frames() as i64, "{account:?}");
        ensure!([rx, tx, completion, held] == [0; 4], "{account:?}");
        Ok(())
    }
}

/// Runs `act` on a thread inside a namespace. Sockets stay there.
pub(crate) fn inside<T: Send>(netns: &Netns, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let namespace = File::open(format!("/run/netns/{}", netns.name()))?;
    let enter_and_act = || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        act()
    };
    std::thread::scope(|scope| {
        scope.spawn(enter_and_act).join().map_err(|_| anyhow!("the thread panicked"))?
    })
}

/// The far interface, seen from its namespace.
pub(crate) fn interface() -> Result<u32> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    Ok(rustix::net::netdevice::name_to_index(&socket, "far")?)
}

/// Some queues of it.
pub(crate) fn nic(queues: u32) -> Result<Nic> {
    Ok(Nic { interface: interface()?, queues })
}

/// Payload number `number` of a flow for a shard; all lengths from 6 to 1,405 bytes occur.
pub(crate) fn payload(shard: u8, flow: u8, number: u32) -> Vec<u8> {
    let mut payload = vec![shard, flow];
    payload.extend(number.to_be_bytes());
    let length = number.wrapping_mul(0x9e37_79b1) % 1400;
    payload.extend((0..length).map(|n| (number + n) as u8));
    payload
}

/// The payload of a received frame.
pub(crate) fn payload_of(frame: &[u8]) -> &[u8] {
    let length = u16::from_be_bytes([frame[HEADERS - 4], frame[HEADERS - 3]]);
    &frame[HEADERS..HEADERS + usize::from(length) - 8]
}

/// Sleeps until a packet waits at one of the shard's sockets, and receives.
pub(crate) fn receive(shard: &mut ShardXsk, batch: &mut Vec<RxPacket>) -> Result<usize> {
    let timeout = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    let sockets: Vec<_> = shard.fds().collect();
    let mut sockets: Vec<_> =
        sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
    poll(&mut sockets, Some(&timeout))?;
    Ok(shard.receive(batch))
}

/// Receives exactly `count` packets and hands each to `each`, which gives its frame back.
pub(crate) fn receive_exactly(
    shard: &mut ShardXsk,
    count: usize,
    mut each: impl FnMut(&mut ShardXsk, RxPacket) -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let (mut batch, mut received) = (Vec::new(), 0);
    while received < count {
        ensure!(Instant::now() < deadline, "{received} of {count} packets have arrived");
        received += receive(shard, &mut batch)?;
        batch.drain(..).try_for_each(|packet| each(shard, packet))?;
        shard.flush()?;
        shard.service()?;
    }
    ensure!(received == count, "{received} instead of {count} packets");
    Ok(())
}
