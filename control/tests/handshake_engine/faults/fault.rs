//! What can happen to one datagram of a handshake.

use xdtls_common::client_hello::COOKIE_LEN;
use xdtls_common::hello_verify::hello_verify_request;
use xdtls_common::prefix::{PREFIX_LEN, Prefix};
use xdtls_common::record::content_type::{ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE};
use xdtls_common::record::{DTLS_1_2, HEADER_LEN, RecordHeader, records};

use super::end::{Packet, prefix_of};

/// The highest sequence number that a record can have.
pub(super) const LAST_SEQUENCE: u64 = (1 << 48) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Drop,
    /// The datagram and its first repetition.
    DropTwice,
    Duplicate,
    /// It arrives behind the next one.
    Swap,
    /// As many thousandths of it are left.
    Truncate(usize),
    /// One bit behind so many thousandths of it is another.
    Flip(usize),
    /// It arrives again when the association is established.
    ReplayLater,
    /// Before it comes a record with the highest sequence number there is.
    FarAhead,
    /// Before it comes a fatal alert that nobody has sent, with the number of its own first record.
    Alert,
    HelloVerifyRequest,
    ServerHello,
    /// Numbered like the alert.
    ChangeCipherSpec,
    /// Before it come a datagram of no byte and one of a prefix alone.
    Empty,
    /// Before it comes the longest record that a datagram can hold.
    Oversized,
    /// Before it come random bytes, without and with its prefix.
    Garbage,
}

impl Fault {
    pub(super) const ALL: [Self; 23] = [
        Self::Drop,
        Self::DropTwice,
        Self::Duplicate,
        Self::Swap,
        Self::Truncate(20),
        Self::Truncate(500),
        Self::Truncate(990),
        Self::Flip(5),
        Self::Flip(70),
        Self::Flip(120),
        Self::Flip(300),
        Self::Flip(500),
        Self::Flip(800),
        Self::Flip(999),
        Self::ReplayLater,
        Self::FarAhead,
        Self::Alert,
        Self::HelloVerifyRequest,
        Self::ServerHello,
        Self::ChangeCipherSpec,
        Self::Empty,
        Self::Oversized,
        Self::Garbage,
    ];
}

/// Strikes one datagram, the `at`-th of those that it is shown.
pub(super) struct Striker {
    fault: Fault,
    at: usize,
    shown: usize,
    /// The records of a ServerHello of another handshake.
    server_hello: Vec<u8>,
    /// The kind of the datagram whose repetition is to be lost.
    lose: Option<[u8; 2]>,
    /// What waits for the next datagram in its direction.
    kept_back: Option<Packet>,
}

impl Striker {
    pub(super) fn new(fault: Fault, at: usize, server_hello: Vec<u8>) -> Self {
        Self { fault, at, shown: 0, server_hello, lose: None, kept_back: None }
    }

    /// What arrives instead of `packet`.
    pub(super) fn strike(&mut self, packet: Packet) -> Vec<Packet> {
        let struck = self.shown == self.at;
        self.shown += 1;
        if struck {
            return self.meet(packet);
        }
        if self.lose.is_some_and(|kind| kind == kind_of(&packet.bytes)) {
            self.lose = None;
            return Vec::new();
        }
        let behind = self.kept_back.take_if(|kept| kept.to == packet.to);
        [packet].into_iter().chain(behind).collect()
    }

    fn meet(&mut self, mut packet: Packet) -> Vec<Packet> {
        let before = match self.fault {
            Fault::Drop => return Vec::new(),
            Fault::DropTwice => {
                self.lose = Some(kind_of(&packet.bytes));
                return Vec::new();
            }
            Fault::Duplicate => return vec![packet.clone(), packet],
            Fault::Swap => {
                self.kept_back = Some(packet);
                return Vec::new();
            }
            Fault::Truncate(thousandths) => {
                packet.bytes.truncate(packet.bytes.len() * thousandths / 1000);
                return vec![packet];
            }
            Fault::Flip(thousandths) => {
                let at = packet.bytes.len() * thousandths / 1000;
                packet.bytes[at] ^= 0x10;
                return vec![packet];
            }
            _ => self.forged(&packet.bytes),
        };
        let forged = before.into_iter().map(|bytes| Packet { bytes, ..packet.clone() });
        forged.chain([packet.clone()]).collect()
    }

    /// Datagrams that come before the one that is struck, as whoever has seen it would forge them.
    fn forged(&self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let prefix = prefix_of(datagram);
        let one = |records: Vec<u8>| vec![[&prefix.encode()[..], &records].concat()];
        let first = records(&datagram[PREFIX_LEN..]).next();
        let own = first.and_then(Result::ok).map_or(0, |(header, _)| header.sequence);
        match self.fault {
            Fault::FarAhead => one(hello_request(LAST_SEQUENCE)),
            Fault::Alert => one(record(ALERT, own, &[2, 40])),
            Fault::ChangeCipherSpec => one(record(CHANGE_CIPHER_SPEC, own, &[1])),
            Fault::HelloVerifyRequest => one(forged_hello_verify_request(prefix)),
            Fault::ServerHello => one(self.server_hello.clone()),
            Fault::Empty => [one(Vec::new()), vec![Vec::new()]].concat(),
            Fault::Oversized => one(record(HANDSHAKE, LAST_SEQUENCE, &vec![1; 65_000])),
            Fault::Garbage => [one(noise(300)), vec![noise(300)], one(noise(7))].concat(),
            _ => Vec::new(),
        }
    }
}

fn forged_hello_verify_request(prefix: Prefix) -> Vec<u8> {
    let cookie = [0xab; COOKIE_LEN];
    hello_verify_request(prefix.receiver, 0, &cookie)[PREFIX_LEN..].to_vec()
}

/// A record that any handshake may meet, but for its sequence number: HelloRequest, which means
/// nothing in the middle of one (RFC 5246 §7.4.1.1).
pub(super) fn hello_request(sequence: u64) -> Vec<u8> {
    record(HANDSHAKE, sequence, &[0; 12])
}

/// An epoch-0 record.
pub(super) fn record(content_type: u8, sequence: u64, fragment: &[u8]) -> Vec<u8> {
    let length = fragment.len() as u16;
    let header = RecordHeader { content_type, version: DTLS_1_2, epoch: 0, sequence, length };
    [&header.encode()[..], fragment].concat()
}

fn noise(length: usize) -> Vec<u8> {
    (1..=length as u32).map(|n| (n.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect()
}

/// Type of the first record and, of a handshake message, its type.
fn kind_of(datagram: &[u8]) -> [u8; 2] {
    let at = |index: usize| datagram.get(PREFIX_LEN + index).copied().unwrap_or_default();
    [at(0), at(HEADER_LEN)]
}
