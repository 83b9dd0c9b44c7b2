//! `udp-relay`: a bad road between clients and a server.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver};

use anyhow::{Result, bail};
use clap::Parser;

use crate::random::Random;
use crate::report::json_line;
use crate::udp;

/// How many clients are served; what further ones send is lost.
const CLIENTS_MAX: usize = 1_024;

/// Passes datagrams on in both directions and loses some of them, and those that cannot be sent.
///
/// Each client gets a source port of its own towards the target, and from time to time another if
/// that is asked for, as behind a NAT that forgets. Lines of standard input change the road: `drop
/// PERCENT` loses so many from then on, `rebind` gives each client another source port. SIGTERM ends
/// it with one JSON line: {"passed":N,"lost":N,"rebound":N}.
#[derive(Debug, Parser)]
pub struct Options {
    /// Where clients send to; port 0 means any.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Where their datagrams go.
    #[arg(long, value_name = "ADDR:PORT")]
    target: SocketAddr,
    /// How many of a hundred datagrams are lost, in each direction.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    drop: u8,
    /// Gives a client another port with every COUNTth of its datagrams; what comes to the port before
    /// is lost.
    #[arg(long, value_name = "COUNT")]
    rebind_every: Option<NonZeroU64>,
    /// What decides which ones.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs until SIGTERM.
pub fn run(options: &Options) -> Result<()> {
    let stop = udp::stop_flag()?;
    let listen = udp::bind(options.listen)?;
    println!("listening on {}", listen.local_addr()?);
    let orders = Orders::read();
    let mut relay = Relay {
        target: options.target,
        drop: options.drop,
        rebind_every: options.rebind_every,
        clients: Vec::new(),
        sockets: vec![listen],
        buffer: vec![0; udp::DATAGRAM_BYTES_MAX],
        random: Random::new(options.seed),
        passed: 0,
        lost: 0,
        rebound: 0,
    };
    while !stop.load(Ordering::Relaxed) {
        while let Some(order) = orders.next()? {
            relay.obey(&order)?;
        }
        for index in udp::readable(&relay.sockets, udp::STOP_TICK)? {
            relay.serve(index)?;
        }
    }
    println!(
        "{}",
        json_line(&[("passed", relay.passed), ("lost", relay.lost), ("rebound", relay.rebound)])
    );
    Ok(())
}

/// What standard input says, line by line; nothing once it has ended.
struct Orders(Receiver<io::Result<String>>);

impl Orders {
    fn read() -> Self {
        let (lines, orders) = mpsc::channel();
        // It ends with the process if not before: nobody can wake it.
        std::thread::spawn(move || io::stdin().lines().try_for_each(|line| lines.send(line)));
        Self(orders)
    }

    fn next(&self) -> Result<Option<String>> {
        Ok(self.0.try_recv().ok().transpose()?)
    }
}

struct Relay {
    target: SocketAddr,
    drop: u8,
    rebind_every: Option<NonZeroU64>,
    /// Where each client is, and how many datagrams it has sent.
    clients: Vec<(SocketAddr, u64)>,
    /// First the one that clients send to, then each client's towards the target.
    sockets: Vec<UdpSocket>,
    buffer: Vec<u8>,
    random: Random,
    passed: u64,
    lost: u64,
    rebound: u64,
}

impl Relay {
    fn obey(&mut self, order: &str) -> Result<()> {
        match order.split_once(' ') {
            Some(("drop", percent)) => self.drop = percent.parse()?,
            None if order == "rebind" => {
                (0..self.clients.len()).try_for_each(|client| self.rebind(client))?;
            }
            _ => bail!("unknown order {order:?}"),
        }
        println!("done: {order}");
        Ok(())
    }

    fn serve(&mut self, index: usize) -> Result<()> {
        for _ in 0..udp::BATCH {
            let received = udp::receive(&self.sockets[index], &mut self.buffer)?;
            let Some((length, from)) = received else { break };
            let passed = !loses_one(&mut self.random, self.drop)
                && match index.checked_sub(1) {
                    None => self.send_to_target(from, length)?,
                    Some(client) => self.send_to_client(client, from, length)?,
                };
            *(if passed { &mut self.passed } else { &mut self.lost }) += 1;
        }
        Ok(())
    }

    fn send_to_target(&mut self, from: SocketAddr, length: usize) -> Result<bool> {
        let known = self.clients.iter().position(|(client, _)| *client == from);
        let client = match known {
            Some(client) => client,
            None if self.clients.len() == CLIENTS_MAX => return Ok(false),
            None => {
                self.sockets.push(udp::bind_towards(self.target)?);
                self.clients.push((from, 0));
                self.clients.len() - 1
            }
        };
        let (_, sent) = &mut self.clients[client];
        *sent += 1;
        if self.rebind_every.is_some_and(|count| *sent % count == 0) {
            self.rebind(client)?;
        }
        Ok(self.sockets[client + 1].send_to(&self.buffer[..length], self.target).is_ok())
    }

    fn rebind(&mut self, client: usize) -> Result<()> {
        self.sockets[client + 1] = udp::bind_towards(self.target)?;
        self.rebound += 1;
        Ok(())
    }

    fn send_to_client(&mut self, client: usize, from: SocketAddr, length: usize) -> Result<bool> {
        if from != self.target {
            return Ok(false);
        }
        Ok(self.sockets[0].send_to(&self.buffer[..length], self.clients[client].0).is_ok())
    }
}

/// Whether the next datagram is one of so many of a hundred.
fn loses_one(random: &mut Random, percent: u8) -> bool {
    random.draw() % 100 < u64::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_lost_as_asked_for() {
        for percent in [0, 20, 100] {
            let mut random = Random::new(1);
            let lost = (0..10_000).filter(|_| loses_one(&mut random, percent)).count();
            let expected = usize::from(percent) * 100;
            assert!(lost.abs_diff(expected) <= expected.min(10_000 - expected) / 10, "{lost}");
        }
    }
}
