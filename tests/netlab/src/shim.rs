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

use crate::random::Random;

pub use crate::shim_loop::run;

/// How many clients are remembered; the one that has been silent longest makes room for another.
pub const CLIENTS_MAX: usize = 1_024;

/// Adds the gateway's 8-byte prefix to clients' datagrams and takes it off its answers, so that
/// unmodified DTLS clients can talk to it. Each client gets a source port of its own.
///
/// SIGTERM ends it with one JSON line: {"clients":N,"to_gateway":N,"to_clients":N,"ignored":N}.
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
    random: Random,
    ignored: u64,
}

#[derive(Debug)]
struct Client {
    address: SocketAddr,
    id: u32,
    server_id: Option<u32>,
    last_heard: Instant,
}

impl Shim {
    /// A shim without clients, whose ids are drawn from `seed` unless one is given.
    pub fn new(client_id: Option<u32>, seed: u64) -> Self {
        let random = Random::new(seed);
        Self { clients: Vec::new(), fixed_id: client_id, random, ignored: 0 }
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
    /// `None` if it is too short, not for this client, or not from the server that it talks to.
    pub fn to_client<'a>(
        &mut self,
        slot: usize,
        datagram: &'a [u8],
    ) -> Option<(SocketAddr, &'a [u8])> {
        let accepted = self.clients.get_mut(slot).and_then(|client| client.accept(datagram));
        self.ignored += u64::from(accepted.is_none());
        accepted
    }

    /// How many datagrams of the gateway have been ignored.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Gives a client a fresh id in its own slot, a new one, or the most silent client's.
    fn admit(&mut self, now: Instant, address: SocketAddr, known: Option<usize>) -> usize {
        let id = self.fixed_id.unwrap_or_else(|| self.random.id());
        let client = Client { address, id, server_id: None, last_heard: now };
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
}

/// Whether this is a client's first message: it has given up what it had.
fn begins_anew(datagram: &[u8]) -> bool {
    let hello = ClientHello::parse(&mut SliceCursor::new(datagram));
    hello.is_ok_and(|hello| hello.cookie == CookieField::Empty && hello.message_seq == 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hello::{Hello, MESSAGE_SEQ_AT};

    const SERVER: u32 = 0x5e5e_0001;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn from_gateway(sender: u32, receiver: u32, records: &[u8]) -> Vec<u8> {
        [&Prefix { sender, receiver }.encode()[..], records].concat()
    }

    /// Sends for the client at `port` and returns its slot and the ids in the prefix.
    fn send(shim: &mut Shim, now: Instant, port: u16, datagram: &[u8]) -> (usize, u32, u32) {
        let (slot, sent) = shim.to_gateway(now, address(port), datagram);
        assert_eq!(sent[8..], *datagram);
        let prefix = Prefix::parse(&mut SliceCursor::new(&sent)).unwrap();
        (slot, prefix.sender, prefix.receiver)
    }

    #[test]
    fn the_servers_id_is_learned_from_its_first_flight() {
        let (mut shim, now) = (Shim::new(None, 1), Instant::now());
        let (slot, id, server) = send(&mut shim, now, 1, &Hello::default().encode());
        assert!(id != 0 && server == 0);
        let verify = from_gateway(0, id, b"verify");
        assert_eq!(shim.to_client(slot, &verify), Some((address(1), &b"verify"[..])));
        let second = Hello { cookie: &[9; 12], ..Hello::default() }.encode();
        assert_eq!(send(&mut shim, now, 1, &second), (slot, id, 0));
        let flight = from_gateway(SERVER, id, b"flight");
        assert_eq!(shim.to_client(slot, &flight), Some((address(1), &b"flight"[..])));
        assert_eq!(send(&mut shim, now, 1, b"certificate"), (slot, id, SERVER));
        assert_eq!(send(&mut shim, now, 1, b""), (slot, id, SERVER));
        assert_eq!(shim.ignored(), 0);
    }

    #[test]
    fn what_is_for_somebody_else_is_ignored_and_counted() {
        let (mut shim, now) = (Shim::new(Some(0xc1), 1), Instant::now());
        let (slot, id, _) = send(&mut shim, now, 1, b"hello");
        assert_eq!(id, 0xc1);
        assert_eq!(shim.to_client(slot, &from_gateway(SERVER, 0xc2, b"other")), None);
        assert_eq!(shim.to_client(slot, &from_gateway(SERVER, 0, b"other")), None);
        assert_eq!(shim.to_client(slot, &[0; 7]), None);
        assert_eq!(shim.to_client(slot + 1, &from_gateway(SERVER, 0xc1, b"other")), None);
        assert!(shim.to_client(slot, &from_gateway(SERVER, 0xc1, b"ours")).is_some());
        assert_eq!(shim.to_client(slot, &from_gateway(SERVER + 1, 0xc1, b"other server")), None);
        assert_eq!(shim.ignored(), 5);
        assert_eq!(send(&mut shim, now, 1, b"more"), (slot, 0xc1, SERVER));
    }

    #[test]
    fn a_first_hello_begins_anew_only_once_the_server_is_known() {
        let (mut shim, now) = (Shim::new(None, 1), Instant::now());
        let first = Hello::default().encode();
        let (slot, id, _) = send(&mut shim, now, 1, &first);
        assert_eq!(send(&mut shim, now, 1, &first), (slot, id, 0), "a retransmission");
        assert!(shim.to_client(slot, &from_gateway(SERVER, id, b"flight")).is_some());
        let second = Hello { cookie: &[9; 12], ..Hello::default() }.encode();
        assert_eq!(send(&mut shim, now, 1, &second), (slot, id, SERVER), "a retransmission");
        let mut later = first.clone();
        later[MESSAGE_SEQ_AT] = 1;
        assert_eq!(send(&mut shim, now, 1, &later), (slot, id, SERVER), "not message 0");
        let (same_slot, new_id, server) = send(&mut shim, now, 1, &first);
        assert!(same_slot == slot && new_id != id && server == 0);
        assert_eq!(shim.to_client(slot, &from_gateway(SERVER, id, b"late")), None);
    }

    #[test]
    fn clients_are_told_apart_and_the_most_silent_makes_room() {
        let (mut shim, start) = (Shim::new(None, 1), Instant::now());
        for n in 0..CLIENTS_MAX {
            let now = start + Duration::from_secs(n as u64);
            assert_eq!(send(&mut shim, now, n as u16, b"x").0, n);
        }
        let now = start + Duration::from_secs(CLIENTS_MAX as u64);
        let (_, first_id, _) = send(&mut shim, now, 0, b"x");
        let (slot, id, _) = send(&mut shim, now, 9_999, b"x");
        assert_eq!(slot, 1, "client 0 has just been heard, client 1 is the most silent");
        let for_newcomer = from_gateway(0, id, b"y");
        assert_eq!(shim.to_client(slot, &for_newcomer), Some((address(9_999), &b"y"[..])));
        assert_eq!(send(&mut shim, now, 0, b"x"), (0, first_id, 0));
    }

    #[test]
    fn ids_are_hexadecimal_and_not_0() {
        assert_eq!(parse_id("0xCafe").unwrap(), 0xcafe);
        assert_eq!(parse_id("ffffffff").unwrap(), u32::MAX);
        for bad in ["0", "", "100000000", "xyz"] {
            assert!(parse_id(bad).is_err(), "{bad:?}");
        }
    }
}
