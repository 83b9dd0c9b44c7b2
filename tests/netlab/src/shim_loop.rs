//! Moves datagrams between clients, [`Shim`] and the gateway.

use std::net::UdpSocket;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::Result;

use crate::random::Random;
use crate::report::json_line;
use crate::shim::{Options, Shim};
use crate::udp;

/// Runs the shim until SIGTERM.
pub fn run(options: &Options) -> Result<()> {
    let stop = udp::stop_flag()?;
    let listen = udp::bind(options.listen)?;
    println!("listening on {}", listen.local_addr()?);
    let shim = Shim::new(options.client_id, Random::unseen()?.draw())
        .losing_final_flights(options.lose_final_flights);
    let mut mover = Mover {
        options,
        shim,
        sockets: vec![listen],
        buffer: vec![0; udp::DATAGRAM_BYTES_MAX],
        to_gateway: 0,
        to_clients: 0,
    };
    while !stop.load(Ordering::Relaxed) {
        for index in udp::readable(&mover.sockets, udp::STOP_TICK)? {
            match index.checked_sub(1) {
                None => mover.serve_clients()?,
                Some(slot) => mover.serve_gateway(slot)?,
            }
        }
    }
    let report = [
        ("clients", mover.sockets.len() as u64 - 1),
        ("to_gateway", mover.to_gateway),
        ("to_clients", mover.to_clients),
        ("ignored", mover.shim.ignored()),
        ("lost", mover.shim.lost()),
    ];
    println!("{}", json_line(&report));
    Ok(())
}

struct Mover<'a> {
    options: &'a Options,
    shim: Shim,
    /// First the one that clients send to, then one for each slot of the shim.
    sockets: Vec<UdpSocket>,
    buffer: Vec<u8>,
    to_gateway: u64,
    to_clients: u64,
}

impl Mover<'_> {
    fn serve_clients(&mut self) -> Result<()> {
        for _ in 0..udp::BATCH {
            let Some((length, from)) = udp::receive(&self.sockets[0], &mut self.buffer)? else {
                break;
            };
            let datagram = &self.buffer[..length];
            let (slot, sent) = self.shim.to_gateway(Instant::now(), from, datagram);
            // Slots are handed out in order, so at most one socket is missing.
            if self.sockets.len() == slot + 1 {
                self.sockets.push(udp::bind_towards(self.options.gateway)?);
            }
            self.to_gateway +=
                u64::from(pass_on(&self.sockets[slot + 1], &sent, self.options.gateway));
        }
        Ok(())
    }

    fn serve_gateway(&mut self, slot: usize) -> Result<()> {
        for _ in 0..udp::BATCH {
            let received = udp::receive(&self.sockets[slot + 1], &mut self.buffer)?;
            let Some((length, from)) = received else { break };
            if from != self.options.gateway {
                continue;
            }
            if let Some((client, datagram)) = self.shim.to_client(slot, &self.buffer[..length]) {
                self.to_clients += u64::from(pass_on(&self.sockets[0], datagram, client));
            }
        }
        Ok(())
    }
}

/// Sends a datagram on; what cannot be sent is lost, as it may be anywhere on the way.
fn pass_on(socket: &UdpSocket, datagram: &[u8], target: std::net::SocketAddr) -> bool {
    match udp::send(socket, datagram, target) {
        Ok(sent) => sent,
        Err(error) => {
            eprintln!("{error:#}");
            false
        }
    }
}
