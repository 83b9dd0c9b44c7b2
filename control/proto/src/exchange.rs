//! One handshake in either role: filter, engine, and what has to be observed for the takeover.
//!
//! Datagrams come in and go out without prefix. When the engine has verified the peer's Finished,
//! [`Exchange::take_over`] frees it and yields the raw material of an established association.

use std::collections::VecDeque;
use std::time::Instant;

use xdtls_common::DropReason;
use xdtls_common::id::PeerId;
use xdtls_common::record::{HEADER_LEN, RecordHeader, content_type, records};

use crate::engine::{Engine, PeerIdentity, Progress};
use crate::failure::{Failure, FailureClass};
use crate::filter::{Filter, Filtered};
use crate::keys::{DirectionKeys, KeyPair, Role};
use crate::record_plane::{ExpandedKey, SealState, open};
use crate::rekey::RekeyKey;
use crate::replay::ReplayWindow;
use crate::suite::CipherSuite;

/// Records held for the established association: how many, and how many bytes in all.
const MAX_HELD_RECORDS: usize = 8;
const MAX_HELD_BYTES: usize = 16 << 10;

/// One handshake.
pub struct Exchange<E> {
    role: Role,
    engine: E,
    filter: Filter,
    outgoing: VecDeque<Vec<u8>>,
    /// What the engine wrote in the step that completed the handshake.
    final_flight: Vec<Vec<u8>>,
    /// Sequence number and explicit nonce of the last epoch-1 record that the engine wrote.
    last_sealed: Option<(u64, [u8; 8])>,
    held: Vec<Vec<u8>>,
    alert_seen: Option<u8>,
}

/// The raw material of an established association.
pub struct TakenOver {
    /// The negotiated suite.
    pub suite: CipherSuite,
    /// What seals.
    pub seal_keys: DirectionKeys,
    /// What opens.
    pub open_keys: DirectionKeys,
    /// Continues where the engine stopped.
    pub seal_state: SealState,
    /// Counts every copy of the peer's Finished as received.
    pub window: ReplayWindow,
    /// The datagrams of the handshake's last flight, without prefix; empty if the peer sent it.
    pub final_flight: Vec<Vec<u8>>,
    /// Whole records that came before the keys did.
    pub held: Vec<Vec<u8>>,
    /// Whether both sides sent the xdtls extension.
    pub extension: bool,
    /// Whether both hellos carry the same rekey token.
    pub replaces: bool,
    /// What the server calls the association, as Finished vouches for it; a client knows.
    pub answerer: Option<PeerId>,
    /// Whether it continues an earlier session.
    pub resumed: bool,
    /// Shows that an association which is to replace this one belongs to the same two ends.
    pub rekey_key: RekeyKey,
    /// Who the peer is.
    pub identity: PeerIdentity,
    /// The ClientHello's random.
    pub client_random: [u8; 32],
}

impl<E: Engine> Exchange<E> {
    /// Wraps an engine that has just been made.
    pub fn new(role: Role, engine: E, filter: Filter) -> Self {
        let mut exchange = Self {
            role,
            engine,
            filter,
            outgoing: VecDeque::new(),
            final_flight: Vec::new(),
            last_sealed: None,
            held: Vec::new(),
            alert_seen: None,
        };
        exchange.collect();
        exchange
    }

    /// Takes one datagram. Records behind a malformed one are lost with it.
    pub fn receive(&mut self, now: Instant, datagram: &[u8], count: &mut impl FnMut(DropReason)) {
        for item in records(datagram) {
            let Ok((header, range)) = item else {
                return count(DropReason::MalformedRecord);
            };
            if let Err(reason) = self.receive_record(now, &header, &datagram[range]) {
                count(reason);
            }
        }
    }

    fn receive_record(
        &mut self,
        now: Instant,
        header: &RecordHeader,
        record: &[u8],
    ) -> Result<(), DropReason> {
        match self.filter.admit(header, record)? {
            Filtered::Hold => return self.hold(record),
            Filtered::Alert(description) => self.alert_seen = Some(description),
            Filtered::Pass(record) if self.engine.progress() == Progress::Pending => {
                self.engine.handle_record(now, &record);
                self.collect();
            }
            Filtered::Pass(_) => {}
        }
        Ok(())
    }

    fn hold(&mut self, record: &[u8]) -> Result<(), DropReason> {
        let bytes: usize = self.held.iter().map(Vec::len).sum();
        if self.held.len() >= MAX_HELD_RECORDS || bytes + record.len() > MAX_HELD_BYTES {
            return Err(DropReason::HeldLimit);
        }
        self.held.push(record.to_vec());
        Ok(())
    }

    /// Lets the engine retransmit.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.engine.handle_timeout(now);
        self.collect();
    }

    /// When the engine wants [`Exchange::handle_timeout`].
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.engine.deadline(now)
    }

    /// How far the handshake has come.
    pub fn progress(&self) -> Progress {
        self.engine.progress()
    }

    /// The next datagram for the peer, without prefix.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// Whether our Finished has been written, the only handshake message that is encrypted.
    pub fn finished_sent(&self) -> bool {
        self.last_sealed.is_some()
    }

    /// How many different handshake messages of the peer have been seen.
    pub fn messages_seen(&self) -> u32 {
        self.filter.messages_seen()
    }

    /// The description of the last unauthenticated alert, for the words of a failure.
    pub fn alert_seen(&self) -> Option<u8> {
        self.alert_seen
    }

    /// Takes what the engine wrote since it was last asked.
    fn collect(&mut self) {
        let mut flight = Vec::new();
        while let Some(datagram) = self.engine.poll_transmit() {
            self.observe(&datagram);
            flight.push(datagram);
        }
        if self.engine.progress() == Progress::Complete {
            self.final_flight.clone_from(&flight);
        }
        self.outgoing.extend(flight);
    }

    /// Follows the engine's epoch-1 records: the record plane continues behind the last one.
    fn observe(&mut self, datagram: &[u8]) {
        for (header, range) in records(datagram).flatten() {
            let nonce = datagram[range].get(HEADER_LEN..).and_then(|body| body.first_chunk::<8>());
            if header.epoch == 1
                && let Some(nonce) = nonce
                && self.last_sealed.is_none_or(|(sequence, _)| header.sequence >= sequence)
            {
                self.last_sealed = Some((header.sequence, *nonce));
            }
        }
    }

    /// Frees the engine and yields what the record plane continues with. Fails unless complete.
    pub fn take_over(self) -> Result<TakenOver, Failure> {
        let (sequence, nonce) = self.last_sealed.ok_or_else(|| {
            FailureClass::Internal.because("the engine has written no encrypted record")
        })?;
        let finished = self.engine.finish()?;
        let pair = KeyPair::derive(
            finished.suite,
            &finished.master_secret,
            &finished.client_random,
            &finished.server_random,
        );
        let rekey_key = RekeyKey::derive(
            finished.suite,
            &finished.master_secret,
            &finished.client_random,
            &finished.server_random,
        );
        let (seal_keys, open_keys) = pair.into_seal_and_open(self.role);
        let window =
            window_behind_finished(&open_keys, self.filter.into_encrypted()).ok_or_else(|| {
                let reason = "the peer's Finished does not open with the derived keys";
                FailureClass::Internal.because(reason)
            })?;
        Ok(TakenOver {
            suite: finished.suite,
            seal_state: SealState::after(sequence, u64::from_be_bytes(nonce)),
            seal_keys,
            open_keys,
            window,
            final_flight: self.final_flight,
            held: self.held,
            extension: finished.extension,
            replaces: finished.replaces,
            answerer: finished.answerer,
            resumed: finished.resumed,
            rekey_key,
            identity: finished.identity,
            client_random: finished.client_random,
        })
    }
}

/// A window in which every authentic copy of the peer's Finished counts as received, and nothing
/// behind the first record of the epoch else: between a copy that was lost and the next, data may
/// have come. Forged records may have been passed to the engine as well, so that what was passed
/// says nothing by itself. `None` if no copy is authentic.
fn window_behind_finished(keys: &DirectionKeys, encrypted: Vec<Vec<u8>>) -> Option<ReplayWindow> {
    let key = ExpandedKey::new(keys);
    let open_one = |mut record: Vec<u8>| {
        let (header, _) = records(&record).next()?.ok()?;
        open(&key, &header, &mut record).ok()?;
        (header.content_type == content_type::HANDSHAKE).then_some(header.sequence)
    };
    let copies: Vec<u64> = encrypted.into_iter().filter_map(open_one).collect();
    let mut window = ReplayWindow::starting_after(0);
    for copy in &copies {
        if window.check(*copy).is_ok() {
            window.commit(*copy);
        }
    }
    (!copies.is_empty()).then_some(window)
}
