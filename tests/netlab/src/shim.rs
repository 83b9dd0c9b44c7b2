//! `prefix-shim`: lets unmodified DTLS clients talk to a gateway.
//!
//! It stands between them, puts the prefix before what a client sends and takes it off what the
//! gateway sends. [`Shim`] decides, without sockets or clocks; [`run`] moves the datagrams.

use std::net::SocketAddr;
use std::time::Instant;

use clap::Parser;
use xdtls_common::client_hello::{ClientHello, CookieField};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::prefix::Prefix;
use xdtls_common::record::{RecordHeader, content_type};

use crate::random::Random;

pub use crate::shim_loop::run;

#[cfg(test)]
mod tests;

/// How many clients are remembered; the one that has been silent longest makes room for another.
pub const CLIENTS_MAX: usize = 1_024;

/// Adds the gateway's 8-byte prefix to clients' datagrams and takes it off its answers, so that
/// unmodified DTLS clients can talk to it. Each client gets a source port of its own.
///
/// SIGTERM ends it with one JSON line:
/// {"clients":N,"to_gateway":N,"to_clients":N,"ignored":N,"lost":N}.
#[derive(Debug, Parser)]
pub struct Options {
    /// Where clients send to; port 0 means any.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: SocketAddr,
    /// Where the gateway is.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) gateway: SocketAddr,
    /// The id of all clients, in hexadecimal digits, instead of random ones.
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    pub(crate) client_id: Option<u32>,
    /// Loses the first COUNT datagrams to each client that begin with ChangeCipherSpec: the flight
    /// that ends the gateway's part of a handshake.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) lose_final_flights: u32,
}

fn parse_id(text: &str) -> anyhow::Result<u32> {
    let id = u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16)?;
    anyhow::ensure!(id != 0, "0 means that an id is not known yet");
    Ok(id)
}

/// What the shim knows of its clients. A client's *slot* is below [`CLIENTS_MAX`] and stays its own
/// until another takes its place.
#[derive(Debug)]
pub struct Shim {
    clients: Vec<Client>,
    fixed_id: Option<u32>,
    final_flights_to_lose: u32,
    random: Random,
    ignored: u64,
    lost: u64,
}

#[derive(Debug)]
struct Client {
    address: SocketAddr,
    id: u32,
    server_id: Option<u32>,
    final_flights_to_lose: u32,
    last_heard: Instant,
}

impl Shim {
    /// A shim without clients, whose ids are drawn from `seed` unless one is given.
    pub fn new(client_id: Option<u32>, seed: u64) -> Self {
        Self {
            clients: Vec::new(),
            fixed_id: client_id,
            final_flights_to_lose: 0,
            random: Random::new(seed),
            ignored: 0,
            lost: 0,
        }
    }

    /// Loses so many of the gateway's final flights to each client.
    #[must_use]
    pub fn losing_final_flights(mut self, count: u32) -> Self {
        self.final_flights_to_lose = count;
        self
    }

    /// Takes a client's datagram; yields its slot and what goes to the gateway.
    pub fn to_gateway(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) -> (usize, Vec<u8>) {
        let slot = match self.clients.iter().position(|client| client.address == from) {
            Some(slot) if !(self.clients[slot].server_id.is_some() && begins_anew(datagram)) => {
                self.clients[slot].last_heard = now;
                slot
            }
            known => self.admit(now, from, known),
        };
        let Client { id, server_id, .. } = self.clients[slot];
        let prefix = Prefix { sender: id, receiver: server_id.unwrap_or(0) };
        (slot, [&prefix.encode()[..], datagram].concat())
    }

    /// Takes a datagram of the gateway that came for a slot; yields the client and what goes there.
    ///
    /// `None` if it is too short, not for this client, or not from the server that it talks to, or
    /// one that is to be lost.
    pub fn to_client<'a>(
        &mut self,
        slot: usize,
        datagram: &'a [u8],
    ) -> Option<(SocketAddr, &'a [u8])> {
        let accepted = self.clients.get_mut(slot).and_then(|client| client.accept(datagram));
        self.ignored += u64::from(accepted.is_none());
        let (address, records) = accepted?;
        if self.clients[slot].loses(records) {
            self.lost += 1;
            return None;
        }
        Some((address, records))
    }

    /// How many datagrams of the gateway have been ignored.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// How many datagrams of the gateway have been lost on purpose.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Gives a client a fresh id in its own slot, a new one, or the most silent client's.
    fn admit(&mut self, now: Instant, address: SocketAddr, known: Option<usize>) -> usize {
        let id = self.fixed_id.unwrap_or_else(|| self.random.id());
        let client = Client {
            address,
            id,
            server_id: None,
            final_flights_to_lose: self.final_flights_to_lose,
            last_heard: now,
        };
        if known.is_none() && self.clients.len() < CLIENTS_MAX {
            self.clients.push(client);
            return self.clients.len() - 1;
        }
        let slot = known.unwrap_or_else(|| self.most_silent());
        self.clients[slot] = client;
        slot
    }

    fn most_silent(&self) -> usize {
        let oldest = self.clients.iter().enumerate().min_by_key(|(_, client)| client.last_heard);
        oldest.map_or(0, |(slot, _)| slot)
    }
}

impl Client {
    fn accept<'a>(&mut self, datagram: &'a [u8]) -> Option<(SocketAddr, &'a [u8])> {
        let mut cursor = SliceCursor::new(datagram);
        let prefix = Prefix::parse(&mut cursor).ok()?;
        if prefix.receiver != self.id {
            return None;
        }
        // HelloVerifyRequest comes without a sender's id: its server has made no state yet.
        if prefix.sender != 0 && *self.server_id.get_or_insert(prefix.sender) != prefix.sender {
            return None;
        }
        Some((self.address, cursor.rest()))
    }

    /// Whether these records are a final flight that is to be lost.
    fn loses(&mut self, records: &[u8]) -> bool {
        let first = RecordHeader::parse(&mut SliceCursor::new(records));
        let is_final =
            first.is_ok_and(|first| first.content_type == content_type::CHANGE_CIPHER_SPEC);
        let loses = is_final && self.final_flights_to_lose > 0;
        self.final_flights_to_lose -= u32::from(loses);
        loses
    }
}

/// Whether this is a client's first message: it has given up what it had.
fn begins_anew(datagram: &[u8]) -> bool {
    let hello = ClientHello::parse(&mut SliceCursor::new(datagram));
    hello.is_ok_and(|hello| hello.cookie == CookieField::Empty && hello.message_seq == 0)
}
