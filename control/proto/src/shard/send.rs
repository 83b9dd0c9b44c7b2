//! The way out: plaintext and our own messages are sealed into the transmit buffer.

use std::time::Instant;

use xdtls_common::DropReason;
use xdtls_common::id::{LocalId, PeerId};
use xdtls_common::path_message::PathMessage;
use xdtls_common::prefix::{PREFIX_LEN, Prefix};
use xdtls_common::record::content_type;

use super::{Output, Shard};
use crate::association::CloseCause;
use crate::endpoint::{Endpoint, max_payload};
use crate::record_plane::seal;

pub(super) fn prefix_of(local: LocalId, peer: PeerId) -> Prefix {
    Prefix { sender: local.value(), receiver: peer.value() }
}

/// The plaintext of a record that is to be sealed.
#[derive(Clone, Copy)]
enum Plaintext<'a> {
    /// It is to be copied into the transmit buffer.
    Copied(&'a [u8]),
    /// So many bytes that the output holds.
    Held(usize),
}

impl Plaintext<'_> {
    fn len(self) -> usize {
        match self {
            Self::Copied(bytes) => bytes.len(),
            Self::Held(length) => length,
        }
    }
}

impl Shard {
    /// Seals one plaintext datagram and puts it into the transmit buffer, or counts why not.
    pub fn send(&mut self, now: Instant, id: LocalId, plaintext: &[u8], out: &mut impl Output) {
        self.send_data(now, id, Plaintext::Copied(plaintext), out);
    }

    /// Seals one plaintext datagram of `length` bytes where it stands: the output holds it, and gives
    /// room around it ([`Output::datagram_around`]) at most once.
    pub fn send_held(&mut self, now: Instant, id: LocalId, length: usize, out: &mut impl Output) {
        self.send_data(now, id, Plaintext::Held(length), out);
    }

    fn send_data(
        &mut self,
        now: Instant,
        id: LocalId,
        plaintext: Plaintext<'_>,
        out: &mut impl Output,
    ) {
        match self.try_send(now, id, None, content_type::APPLICATION_DATA, plaintext, out) {
            Ok(worn) => {
                self.counters.sealed += 1;
                self.counters.sealed_bytes += plaintext.len() as u64;
                if worn {
                    self.rekey(now, id, out);
                }
            }
            Err(reason) => out.count(reason),
        }
    }

    /// Seals one record and sends it to `to`, or to where everything goes. Whether something is to be
    /// done about the association's keys.
    fn try_send(
        &mut self,
        now: Instant,
        id: LocalId,
        to: Option<Endpoint>,
        content_type: u8,
        plaintext: Plaintext<'_>,
        out: &mut impl Output,
    ) -> Result<bool, DropReason> {
        let association = self.table.association(id).ok_or(DropReason::Closed)?;
        let aead = association.seal_keys.aead();
        if association.seal_state.is_worn(aead) && content_type == content_type::APPLICATION_DATA {
            self.close(now, id, CloseCause::KeysWorn, out);
            return Err(DropReason::KeyLimit);
        }
        let length = PREFIX_LEN + aead.record_overhead() + plaintext.len();
        let to = match to {
            Some(to) => to,
            None => association.paths.current(),
        };
        if length > usize::from(max_payload(self.config.path_mtu, to.remote)) {
            return Err(DropReason::TooBig);
        }
        association.paths.allow(&to, length)?;
        let counters = association.seal_state.take(aead)?;
        let start = aead.plaintext_offset();
        let room = match plaintext {
            Plaintext::Copied(_) => out.datagram(&to, length),
            Plaintext::Held(_) => out.datagram_around(&to, length, PREFIX_LEN + start),
        };
        let (prefix, record) = room.ok_or(DropReason::OutsideSend)?.split_at_mut(PREFIX_LEN);
        prefix.copy_from_slice(&prefix_of(id, association.peer).encode());
        if let Plaintext::Copied(bytes) = plaintext {
            record[start..start + bytes.len()].copy_from_slice(bytes);
        }
        let place = self.config.place_of(id);
        self.keys.seal(id, place, &association.seal_keys, |key| {
            seal(key, counters, content_type, record, plaintext.len())
        });
        if content_type != content_type::APPLICATION_DATA {
            return Ok(false);
        }
        let at = self.clock.moment(now);
        association.sent(at);
        association.traffic.sealed += 1;
        association.traffic.sealed_bytes += plaintext.len() as u64;
        self.timers.schedule(id, association, self.config.idle_timeout);
        let records = association.seal_state.sealed();
        Ok(association.extension && association.wants_rekey(at, records, &self.config.rekey))
    }

    /// Sends a message of our own, which is not worth more than an attempt.
    pub(super) fn send_own(
        &mut self,
        now: Instant,
        id: LocalId,
        to: Option<Endpoint>,
        (content_type, body): (u8, &[u8]),
        out: &mut impl Output,
    ) {
        let body = Plaintext::Copied(body);
        if let Err(reason) = self.try_send(now, id, to, content_type, body, out) {
            out.count(reason);
        }
    }

    pub(super) fn send_alert(
        &mut self,
        now: Instant,
        id: LocalId,
        alert: [u8; 2],
        out: &mut impl Output,
    ) {
        self.send_own(now, id, None, (content_type::ALERT, &alert), out);
    }

    /// Tells the peer that an association ends, if there is one.
    pub(super) fn send_last_alert(
        &mut self,
        now: Instant,
        id: LocalId,
        cause: CloseCause,
        out: &mut impl Output,
    ) {
        if self.table.association(id).is_some() {
            self.send_alert(now, id, cause.alert(), out);
        }
    }

    pub(super) fn send_path_message(
        &mut self,
        now: Instant,
        id: LocalId,
        to: Option<Endpoint>,
        message: PathMessage,
        out: &mut impl Output,
    ) {
        let record = (content_type::RETURN_ROUTABILITY_CHECK, &message.encode()[..]);
        self.send_own(now, id, to, record, out);
    }

    /// Asks a silent peer for any answer.
    pub(super) fn send_probe(&mut self, now: Instant, id: LocalId, out: &mut impl Output) {
        let challenge = PathMessage::Challenge(self.draw_cookie());
        self.send_path_message(now, id, None, challenge, out);
        if let Some(association) = self.table.association(id) {
            association.probed();
        }
    }
}
