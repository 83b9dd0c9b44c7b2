//! A handshake engine that follows a script: real messages, record numbers, timers and encrypted
//! Finished, but no key exchange, so that all handshakes have the same master secret.
//!
//! Encrypted records begin with sequence number 1, because a seal state cannot begin before 0.

mod finished;
mod flight;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use xdtls_common::cursor::SliceCursor;
use xdtls_common::id::{LocalId, PeerId};
use xdtls_common::record::{HEADER_LEN, RecordHeader, content_type};
use xdtls_proto::engine::{Engine, Finished, PeerIdentity, Progress};
use xdtls_proto::failure::{Failure, FailureClass};
use xdtls_proto::keys::Role;
use xdtls_proto::rekey::Replaces;
use zeroize::Zeroizing;

use super::messages::{self, Hello, record};
use super::rng::Rng;
use super::scripted::Script;
use finished::Ciphers;
use flight::Part;

pub(crate) const MASTER_SECRET: [u8; 48] = [0x4d; 48];

/// The first retransmission; each further one takes twice as long, up to the longest.
pub(crate) const FIRST_TIMEOUT: Duration = Duration::from_millis(400);
const MAX_TIMEOUT: Duration = Duration::from_millis(6400);

/// The SHA-256 of the key of whoever has this name, which is as good as any.
pub(crate) fn key_of(name: &str) -> [u8; 32] {
    let mut key = [0; 32];
    key.iter_mut().zip(name.as_bytes()).for_each(|(to, from)| *to = *from);
    key
}

/// One handshake.
pub(crate) struct ScriptedEngine {
    role: Role,
    script: Script,
    progress: Progress,
    own: Hello,
    /// Until the peer's has come, its suites are empty.
    peer: Hello,
    /// Both hellos as they were sent.
    hellos: Vec<u8>,
    peer_name: Option<String>,
    done_seen: bool,
    change_cipher_spec_seen: bool,
    answered: bool,
    ciphers: Option<Ciphers>,
    first_nonce: u64,
    /// Records that could be the peer's Finished.
    encrypted: Vec<Vec<u8>>,
    flight: Vec<Part>,
    timer: Option<(Instant, Duration)>,
    next_record: u64,
    expected_record: u64,
    outgoing: VecDeque<Vec<u8>>,
}

impl ScriptedEngine {
    pub(crate) fn new(
        role: Role,
        mut script: Script,
        replaces: Option<&Replaces>,
        rng: &mut Rng,
    ) -> Self {
        let random = rng.bytes();
        // What is to have new keys does not continue an old session.
        script.resumed &= replaces.is_none();
        let rekey_token = replaces.map(|replaces| replaces.token(&random));
        Self {
            role,
            own: Hello { rekey_token, ..script.hello(random) },
            first_nonce: rng.next(),
            script,
            progress: Progress::Pending,
            peer: Hello::default(),
            hellos: Vec::new(),
            peer_name: None,
            done_seen: false,
            change_cipher_spec_seen: false,
            answered: false,
            ciphers: None,
            encrypted: Vec::new(),
            flight: Vec::new(),
            timer: None,
            next_record: 0,
            expected_record: 0,
            outgoing: VecDeque::new(),
        }
    }

    pub(crate) fn send_client_hello(&mut self, now: Instant) {
        let message_seq = u16::from(!self.own.cookie.is_empty());
        let body = self.own.client_body();
        self.hellos.clone_from(&body);
        self.send(now, vec![Part::Message(messages::CLIENT_HELLO, message_seq, body)]);
    }

    pub(crate) fn answer_client_hello(
        &mut self,
        now: Instant,
        local: LocalId,
        record_sequence: u64,
        hello: Hello,
    ) {
        self.expected_record = record_sequence + 1;
        self.next_record = record_sequence;
        let Some(suite) = hello.suites.iter().find(|suite| self.script.suites.contains(suite))
        else {
            return self.fail("no shared cipher suite");
        };
        self.own.suites = vec![*suite];
        self.own.session_id.clone_from(&hello.session_id);
        self.own.extension &= hello.extension;
        self.own.answerer = PeerId::new(local.value());
        self.own.rekey_token = hello.rekey_token.filter(|_| !self.script.keeps_associations);
        let body = self.own.server_body();
        self.hellos = [hello.client_body(), body.clone()].concat();
        self.peer = hello;
        self.agree();
        let mut flight = vec![Part::Message(messages::SERVER_HELLO, 1, body)];
        if self.resumed() {
            self.peer_name = String::from_utf8(self.peer.session_id.clone()).ok();
            flight.extend([Part::ChangeCipherSpec, Part::Finished(2)]);
        } else {
            let name = self.script.name.into();
            flight.push(Part::Message(messages::CERTIFICATE, 2, name));
            flight.push(Part::Message(messages::SERVER_HELLO_DONE, 3, Vec::new()));
        }
        self.send(now, flight);
    }

    fn resumed(&self) -> bool {
        !self.own.session_id.is_empty() && self.own.session_id == self.peer.session_id
    }

    fn randoms(&self) -> (&[u8; 32], &[u8; 32]) {
        match self.role {
            Role::Client => (&self.own.random, &self.peer.random),
            Role::Server => (&self.peer.random, &self.own.random),
        }
    }

    /// What Finished vouches for, as this end has seen it: hellos and names.
    fn transcript(&self) -> Vec<u8> {
        let peer_name = self.peer_name.as_deref().unwrap_or_default();
        let names = match self.role {
            _ if self.resumed() => [""; 2],
            Role::Client => [self.script.name, peer_name],
            Role::Server => [peer_name, self.script.name],
        };
        [&self.hellos[..], names[0].as_bytes(), b"/", names[1].as_bytes()].concat()
    }

    fn fail(&mut self, reason: &str) {
        self.outgoing.push_back(record(content_type::ALERT, 0, self.next_record, &[2, 40]));
        self.next_record += 1;
        self.timer = None;
        self.progress = Progress::Failed(FailureClass::NothingInCommon.because(reason));
    }

    fn take_message(&mut self, now: Instant, kind: u8, body: &[u8]) {
        let peer_is_new = self.peer.suites.is_empty();
        match (self.role, kind) {
            (Role::Client, messages::HELLO_VERIFY_REQUEST)
                if self.own.cookie.is_empty() && peer_is_new =>
            {
                self.own.cookie = messages::parse_hello_verify(body).unwrap_or_default();
                self.send_client_hello(now);
            }
            (Role::Client, messages::SERVER_HELLO) if peer_is_new => {
                match Hello::parse_server(body) {
                    Ok(hello)
                        if hello.suites.len() == 1
                            && self.own.suites.contains(&hello.suites[0]) =>
                    {
                        self.own.suites.clone_from(&hello.suites);
                        self.hellos.extend(body);
                        self.peer = hello;
                        self.agree();
                    }
                    _ => self.fail("the ServerHello makes no sense"),
                }
            }
            (Role::Client, messages::SERVER_HELLO_DONE) => self.done_seen = true,
            (_, messages::CERTIFICATE) => {
                self.peer_name = String::from_utf8(body.to_vec()).ok();
            }
            _ => {}
        }
    }

    /// Goes on as far as what has come allows.
    fn advance(&mut self, now: Instant) {
        let client = self.role == Role::Client;
        if self.ciphers.is_none() || self.progress != Progress::Pending {
            return;
        }
        let flight_has_come = self.done_seen && self.peer_name.is_some();
        if client && flight_has_come && !self.answered && !self.resumed() {
            self.answered = true;
            let certificate = Part::Message(messages::CERTIFICATE, 2, self.script.name.into());
            self.send(now, vec![certificate, Part::ChangeCipherSpec, Part::Finished(3)]);
        }
        let server_may_end = !client && self.peer_name.is_some();
        let client_may_end = client && (self.answered || self.resumed());
        if (server_may_end || client_may_end) && self.finished_has_come() {
            if client == self.resumed() {
                let message_seq = if client { 2 } else { 4 };
                self.send(now, vec![Part::ChangeCipherSpec, Part::Finished(message_seq)]);
            }
            self.timer = None;
            self.progress = Progress::Complete;
        }
    }
}

impl Engine for ScriptedEngine {
    fn handle_record(&mut self, now: Instant, record: &[u8]) {
        let header = RecordHeader::parse(&mut SliceCursor::new(record)).unwrap();
        let fragment = &record[HEADER_LEN..];
        if header.epoch == 0 {
            assert_eq!(header.sequence, self.expected_record, "the filter numbers without a gap");
            self.expected_record += 1;
        }
        match (header.epoch, header.content_type) {
            (0, content_type::HANDSHAKE) => {
                if let Some((kind, body)) = messages::parse_message(fragment) {
                    self.take_message(now, kind, body);
                }
            }
            (0, content_type::CHANGE_CIPHER_SPEC) => self.change_cipher_spec_seen = true,
            (1, content_type::HANDSHAKE) => self.encrypted.push(record.to_vec()),
            other => panic!("the filter has passed a record of epoch and type {other:?}"),
        }
        self.advance(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some((deadline, interval)) = self.timer
            && deadline <= now
        {
            let interval = MAX_TIMEOUT.min(2 * interval);
            self.timer = Some((now + interval, interval));
            self.transmit();
        }
    }

    fn deadline(&self, _now: Instant) -> Option<Instant> {
        self.timer.map(|(deadline, _)| deadline)
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    fn progress(&self) -> Progress {
        self.progress.clone()
    }

    fn finish(self) -> Result<Finished, Failure> {
        let (client_random, server_random) = self.randoms();
        let name = self.peer_name.clone().unwrap_or_else(|| "a resumed session's".to_owned());
        Ok(Finished {
            suite: self.own.suites[0],
            master_secret: Zeroizing::new(MASTER_SECRET),
            client_random: *client_random,
            server_random: *server_random,
            extension: self.own.extension && self.peer.extension,
            replaces: self.own.rekey_token.is_some()
                && self.own.rekey_token == self.peer.rekey_token,
            answerer: self.peer.answerer,
            resumed: self.resumed(),
            identity: PeerIdentity {
                spki_sha256: key_of(&name),
                names: vec![name],
                ..PeerIdentity::default()
            },
        })
    }
}
