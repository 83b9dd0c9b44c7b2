//! What AF_XDP carries by itself: every UDP datagram goes back to its sender through the gateway's own
//! sockets, in the frame that it came in, with its addresses and ports exchanged. Neither sum nor
//! length changes, so that no checksum does.

use std::os::fd::BorrowedFd;

use anyhow::{Context, Result, ensure};
use aya::Ebpf;
use aya::maps::XskMap;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use xdtls::xsk::{Nic, RECEIVE_BATCH, RxPacket, ShardXsk, XskOptions, XskSet};
use xdtls_bench_plan::{PAYLOAD_AT, QUEUES_MAX};

use crate::interrupt::Interrupt;

/// How often a signal is looked for.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// How soon the kernel is asked again to take what it has not taken.
const RETRY: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// Where addresses stand in a frame that has a plain IPv4 header: the first of each two, and its
/// length, in bytes.
const ADDRESSES: [(usize, usize); 3] = [(0, 6), (26, 4), (34, 2)];

/// The sockets of one interface.
pub(crate) struct Echo {
    shard: ShardXsk,
    /// What the kernel needs for as long as the sockets are to be reached.
    _sockets: (XskSet, XskMap<aya::maps::MapData>),
}

impl Echo {
    /// Opens a socket on each queue and puts them into the map of the program `to_sockets`.
    pub(crate) fn open(name: &str, interface: u32, ebpf: &mut Ebpf) -> Result<Self> {
        let queues = receive_queues(name)?;
        ensure!(queues <= QUEUES_MAX, "{name} has {queues} queues, more than {QUEUES_MAX}");
        let mut set = XskSet::open(&[Nic { interface, queues }], 1, &XskOptions::default())?;
        let shard = set.take_shards().pop().context("there is no socket")?;
        let map = ebpf.take_map("SOCKETS").context("the object has no map SOCKETS")?;
        let mut sockets = XskMap::try_from(map)?;
        for (index, socket) in shard.map_entries(0) {
            sockets.set(index, socket, 0)?;
        }
        Ok(Self { shard, _sockets: (set, sockets) })
    }

    /// Sends back what comes, until a signal does.
    pub(crate) fn run(mut self, interrupt: &Interrupt) -> Result<()> {
        let (mut packets, mut behind) = (Vec::with_capacity(RECEIVE_BATCH), false);
        while !interrupt.has_come() {
            wait(self.shard.fds(), if behind { &RETRY } else { &TICK })?;
            self.shard.receive(&mut packets);
            for packet in packets.drain(..) {
                self.send_back(packet)?;
            }
            behind = self.shard.flush()?;
            self.shard.service()?;
        }
        Ok(())
    }

    fn send_back(&mut self, RxPacket { queue, mut frame, .. }: RxPacket) -> Result<()> {
        exchange(frame.bytes_mut());
        let refused = match self.shard.transmit(queue, frame) {
            Ok(()) => return Ok(()),
            Err(frame) => frame,
        };
        // The ring is full. What does not fit now either is lost, and is missed by the sender.
        self.shard.flush()?;
        if let Err(frame) = self.shard.transmit(queue, refused) {
            self.shard.return_frame(frame);
        }
        Ok(())
    }
}

/// Exchanges the addresses of the link, of IPv4 and of UDP. The XDP program has seen that they are
/// there.
fn exchange(frame: &mut [u8]) {
    let Some(head) = frame.first_chunk_mut::<PAYLOAD_AT>() else { return };
    for (at, length) in ADDRESSES {
        let (first, second) = head[at..at + 2 * length].split_at_mut(length);
        first.swap_with_slice(second);
    }
}

fn wait<'a>(sockets: impl Iterator<Item = BorrowedFd<'a>>, timeout: &Timespec) -> Result<()> {
    let mut sockets: Vec<_> =
        sockets.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN)).collect();
    match poll(&mut sockets, Some(timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn receive_queues(interface: &str) -> Result<u32> {
    let folder = format!("/sys/class/net/{interface}/queues");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    let receives =
        entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes()[0] == b'r');
    Ok(receives.count() as u32)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use xdtls_common::cursor::SliceCursor;
    use xdtls_common::frame::{self, FrameHeaders, LinkHeader};

    use super::*;

    #[test]
    fn a_frame_goes_back_whole() {
        let link = LinkHeader { destination: [2; 6], source: [4; 6], vlan: None };
        let near = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 5000).into();
        let far = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 4433).into();
        let [there, mut back] =
            [(link, near, far), (turned(link), far, near)].map(|(link, source, destination)| {
                let headers = FrameHeaders::new(&link, source, destination, 3).unwrap();
                let mut bytes = vec![7; headers.frame_len()];
                headers.write(&mut bytes);
                bytes
            });
        exchange(&mut back);
        assert_eq!(there, back);
        assert!(frame::parse(SliceCursor::new(&back)).is_ok());
    }

    fn turned(link: LinkHeader) -> LinkHeader {
        LinkHeader { destination: link.source, source: link.destination, vlan: None }
    }
}
