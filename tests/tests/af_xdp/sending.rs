//! From AF_XDP to ordinary sockets.

use std::time::Instant;
use xdtls_tests::receive;

use anyhow::{Context, Result, anyhow, ensure};
use xdtls::xsk::RxPacket;

use crate::bpf::Mode;
use crate::lab::{FLOWS, Lab, PATIENCE, RING, Receiver, payload, receive_exactly};

/// Received frames go back to where they came from, on the queue that they came from.
pub(crate) fn an_echo_reaches_an_ordinary_socket() -> Result<()> {
    let lab = Lab::new(2)?;
    let mut receiver = Receiver::new(&lab, 2, 2, Mode::Native)?;
    let senders = (0..FLOWS).map(|_| lab.sender()).collect::<Result<Vec<_>>>()?;
    let mut buffer = [0; 2048];
    for number in 0..100 {
        for (flow, socket) in (0..).zip(&senders) {
            for (index, shard) in (0..).zip(&mut receiver.shards) {
                let datagram = payload(index, flow, number);
                socket.send(&datagram)?;
                receive_exactly(shard, 1, |shard, RxPacket { queue, mut frame, .. }| {
                    turn_round(frame.bytes_mut());
                    shard.transmit(queue, frame).map_err(|_| anyhow!("the tx ring is full"))
                })?;
                let (length, _) = receive(socket, &mut buffer)?;
                ensure!(buffer[..length] == datagram, "{:?} came back", &buffer[..length]);
            }
        }
    }
    receiver.ensure_at_rest()
}

/// Makes a received packet one to its sender. Checksums stay right: only the order of what they
/// add up changes.
fn turn_round(packet: &mut [u8]) {
    for (a, b, length) in [(0, 6, 6), (26, 30, 4), (34, 36, 2)] {
        let (head, tail) = packet.split_at_mut(b);
        head[a..a + length].swap_with_slice(&mut tail[..length]);
    }
}

/// Several rings full of packets of our own, as fast as the rings take them.
pub(crate) fn many_packets_reach_an_ordinary_socket() -> Result<()> {
    let lab = Lab::new(1)?;
    let mut receiver = Receiver::new(&lab, 1, 2, Mode::Native)?;
    let sender = lab.sender()?;
    sender.send(&payload(0, 0, 0))?;
    let mut template = Vec::new();
    receive_exactly(&mut receiver.shards[0], 1, |shard, mut packet| {
        turn_round(packet.frame.bytes_mut());
        // Without a checksum, so that the payload can be changed.
        packet.frame.bytes_mut()[40..42].fill(0);
        template = packet.frame.bytes().to_vec();
        shard.return_frame(packet.frame);
        Ok(())
    })?;
    let (mut sent, mut buffer) = (0_u32, [0; 2048]);
    for _ in 0..8 {
        let (first, shard) = (sent, &mut receiver.shards[0]);
        // The ring takes as many as it has entries, and then no more.
        loop {
            let mut frame = shard.allocate().context("no frame")?;
            frame.renew(template.len()).copy_from_slice(&template);
            frame.bytes_mut()[44..48].copy_from_slice(&sent.to_be_bytes());
            if let Err(frame) = shard.transmit(0, frame) {
                shard.return_frame(frame);
                break;
            }
            sent += 1;
        }
        ensure!(sent - first == RING, "{first}..{sent}");
        let deadline = Instant::now() + PATIENCE;
        while shard.flush()? {
            ensure!(Instant::now() < deadline, "the kernel does not take what is sent");
            shard.service()?;
        }
        for number in first..sent {
            let (length, _) = receive(&sender, &mut buffer)?;
            ensure!(buffer[2..6] == number.to_be_bytes(), "{number}: {:?}", &buffer[..length]);
        }
        // The other shard is on the same queue and may take what was sent.
        receiver.shards[1].service()?;
        let account = receiver.set.account();
        ensure!(account.tx == 0 && account.completion == 0, "{account:?}");
    }
    receiver.ensure_at_rest()
}
