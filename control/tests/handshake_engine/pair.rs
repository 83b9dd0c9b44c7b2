//! Two engines and the network between them, with the little of the gateway that they need: our
//! HelloVerifyRequest, and the filter that splits and renumbers records.

use std::time::{Duration, Instant};

use xdtls::handshake::{OpensslAcceptor, OpensslEngine};
use xdtls_common::client_hello::{COOKIE_LEN, ClientHello, CookieField};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::hello_verify::hello_verify_request;
use xdtls_common::id::LocalId;
use xdtls_common::prefix::PREFIX_LEN;
use xdtls_common::record::{RecordHeader, content_type, records};
use xdtls_proto::engine::{AcceptEngine, Engine, Finished, Progress};

pub(crate) const MAX_DATAGRAM: usize = 1400;

/// What servers call their associations.
pub(crate) fn local() -> LocalId {
    LocalId::new(0x5a00_002a).unwrap()
}

const COOKIE: [u8; COOKIE_LEN] = *b"twelve bytes";

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Server,
    Client,
}

/// A record header and the record, header included.
pub(crate) type Record = (RecordHeader, Vec<u8>);

pub(crate) fn split(datagram: &[u8]) -> Vec<Record> {
    let whole = |record: Result<(RecordHeader, std::ops::Range<usize>), _>| {
        let (header, range) = record.unwrap();
        (header, datagram[range].to_vec())
    };
    records(datagram).map(whole).collect()
}

/// Lets only handshakes pass and counts epoch-0 records anew.
#[derive(Default)]
struct Filter {
    next_sequence: u64,
}

impl Filter {
    fn pass(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let wanted = [content_type::CHANGE_CIPHER_SPEC, content_type::HANDSHAKE];
        let mut passed = Vec::new();
        for (mut header, mut record) in split(datagram) {
            if !wanted.contains(&header.content_type) {
                continue;
            }
            if header.epoch == 0 {
                header.sequence = self.next_sequence;
                self.next_sequence += 1;
                let encoded = header.encode();
                record[..encoded.len()].copy_from_slice(&encoded);
            }
            passed.push(record);
        }
        passed
    }
}

/// A client, a server in the making, and all that they have said.
pub(crate) struct Pair<C> {
    pub(crate) client: C,
    pub(crate) server: Option<OpensslEngine>,
    /// Every datagram that was sent, lost or not, in order.
    pub(crate) sent: Vec<(To, Vec<u8>)>,
    acceptor: OpensslAcceptor,
    client_filter: Filter,
    server_filter: Filter,
}

impl<C: Engine> Pair<C> {
    pub(crate) fn new(client: C, acceptor: &OpensslAcceptor) -> Self {
        Self {
            client,
            server: None,
            sent: Vec::new(),
            acceptor: acceptor.clone(),
            client_filter: Filter::default(),
            server_filter: Filter::default(),
        }
    }

    /// Runs until nothing is in flight.
    pub(crate) fn run(&mut self) {
        self.run_losing(&mut |_, _| false);
    }

    /// Runs until nothing is in flight; what `lose` says about a datagram does not arrive.
    pub(crate) fn run_losing(&mut self, lose: &mut dyn FnMut(To, &[u8]) -> bool) {
        let now = Instant::now();
        loop {
            let (to, datagram) = if let Some(datagram) = self.client.poll_transmit() {
                (To::Server, datagram)
            } else if let Some(datagram) = self.server.as_mut().and_then(Engine::poll_transmit) {
                (To::Client, datagram)
            } else {
                return;
            };
            assert!(datagram.len() <= MAX_DATAGRAM, "{} bytes", datagram.len());
            let lost = lose(to, &datagram);
            if !lost && to == To::Server {
                self.deliver_to_server(now, &datagram);
            } else if !lost {
                self.deliver_to_client(now, &datagram);
            }
            self.sent.push((to, datagram));
        }
    }

    /// Runs through retransmissions, on the real clock, until both ends are complete.
    pub(crate) fn run_with_timers(&mut self, lose: &mut dyn FnMut(To, &[u8]) -> bool) {
        for _ in 0..20 {
            self.run_losing(lose);
            let now = Instant::now();
            let server = self.server.as_ref().and_then(|server| server.deadline(now));
            let Some(deadline) = self.client.deadline(now).into_iter().chain(server).min() else {
                return;
            };
            std::thread::sleep(deadline - now + Duration::from_millis(1));
            self.client.handle_timeout(Instant::now());
            if let Some(server) = &mut self.server {
                server.handle_timeout(Instant::now());
            }
        }
    }

    /// Delivers to the server's side: the cookie exchange, then the engine.
    pub(crate) fn deliver_to_server(&mut self, now: Instant, datagram: &[u8]) {
        if let Some(server) = &mut self.server {
            for record in self.server_filter.pass(datagram) {
                server.handle_record(now, &record);
            }
            return;
        }
        let hello = ClientHello::parse(&mut SliceCursor::new(datagram)).unwrap();
        if hello.cookie == CookieField::Cookie(COOKIE) {
            self.server_filter.next_sequence = hello.record_sequence + 1;
            self.server = Some(self.acceptor.accept(now, local(), datagram, MAX_DATAGRAM).unwrap());
        } else {
            let reply = hello_verify_request(0, hello.record_sequence, &COOKIE);
            self.deliver_to_client(now, &reply[PREFIX_LEN..]);
        }
    }

    /// Delivers to the client.
    pub(crate) fn deliver_to_client(&mut self, now: Instant, datagram: &[u8]) {
        for record in self.client_filter.pass(datagram) {
            self.client.handle_record(now, &record);
        }
    }

    /// The records sent in one direction, by datagram.
    pub(crate) fn records_to(&self, direction: To) -> Vec<Vec<Record>> {
        let there = self.sent.iter().filter(|(to, _)| *to == direction);
        there.map(|(_, datagram)| split(datagram)).collect()
    }

    pub(crate) fn server_progress(&self) -> Progress {
        self.server.as_ref().unwrap().progress()
    }

    /// What both ends have at the end: client's, server's.
    pub(crate) fn finish(self) -> (Finished, Finished) {
        let server = self.server.unwrap();
        assert_eq!(self.client.progress(), Progress::Complete);
        assert_eq!(server.progress(), Progress::Complete);
        (self.client.finish().unwrap(), server.finish().unwrap())
    }
}
