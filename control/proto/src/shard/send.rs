//! The way out: plaintext and our own messages are sealed into the transmit buffer.

use std::time::Instant;

use xdtls_common::DropReason;
use xdtls_common::id::{LocalId, PeerId};
use xdtls_common::path_message::PathMessage;
use xdtls_common::prefix::{PREFIX_LEN, Prefix};
use xdtls_common::record::content_type;

use super::{Output, Shard};
use crate::association::CloseCause;
use crate::endpoint::max_payload;
use crate::record_plane::seal;

pub(super) fn prefix_of(local: LocalId, peer: PeerId) -> Prefix {
    Prefix { sender: local.value(), receiver: peer.value() }
}

impl Shard {
    /// Seals one plaintext datagram and puts it into the transmit buffer, or counts why not.
    pub fn send(&mut self, now: Instant, id: LocalId, plaintext: &[u8], out: &mut impl Output) {
        match self.try_send(now, id, content_type::APPLICATION_DATA, plaintext, out) {
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

    /// Whether something is to be done about the association's keys.
    fn try_send(
        &mut self,
        now: Instant,
        id: LocalId,
        content_type: u8,
        plaintext: &[u8],
        out: &mut impl Output,
    ) -> Result<bool, DropReason> {
        let association = self.table.association(id).ok_or(DropReason::Closed)?;
        if association.seal_state.is_worn() && content_type == content_type::APPLICATION_DATA {
            self.close(now, id, CloseCause::KeysWorn, out);
            return Err(DropReason::KeyLimit);
        }
        let overhead = association.seal_keys.aead().record_overhead();
        let length = PREFIX_LEN + overhead + plaintext.len();
        let remote = association.endpoint.remote;
        if length > usize::from(max_payload(self.config.path_mtu, remote)) {
            return Err(DropReason::TooBig);
        }
        let counters = association.seal_state.take()?;
        let room = out.datagram(&association.endpoint, length).ok_or(DropReason::OutsideSend)?;
        let (prefix, record) = room.split_at_mut(PREFIX_LEN);
        prefix.copy_from_slice(&prefix_of(id, association.peer).encode());
        let start = association.seal_keys.aead().plaintext_offset();
        record[start..start + plaintext.len()].copy_from_slice(plaintext);
        let place = self.config.place_of(id);
        let keys = self.keys.pair(id, place, &association.seal_keys, &association.open_keys);
        seal(&keys.seal, counters, content_type, record, plaintext.len());
        if content_type != content_type::APPLICATION_DATA {
            return Ok(false);
        }
        association.sent(now);
        association.traffic.sealed += 1;
        association.traffic.sealed_bytes += plaintext.len() as u64;
        self.timers.schedule(id, association, self.config.idle_timeout);
        Ok(association.extension && association.wants_rekey(now, &self.config.rekey))
    }

    /// Sends a message of our own, which is not worth more than an attempt.
    pub(super) fn send_own(
        &mut self,
        now: Instant,
        id: LocalId,
        content_type: u8,
        body: &[u8],
        out: &mut impl Output,
    ) {
        if let Err(reason) = self.try_send(now, id, content_type, body, out) {
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
        self.send_own(now, id, content_type::ALERT, &alert, out);
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
        message: PathMessage,
        out: &mut impl Output,
    ) {
        self.send_own(now, id, content_type::RETURN_ROUTABILITY_CHECK, &message.encode(), out);
    }

    /// Asks a silent peer for any answer.
    pub(super) fn send_probe(&mut self, now: Instant, id: LocalId, out: &mut impl Output) {
        let cookie = u64::from((self.random)()) << 32 | u64::from((self.random)());
        self.send_path_message(now, id, PathMessage::Challenge(cookie.to_be_bytes()), out);
        if let Some(association) = self.table.association(id) {
            association.probed();
        }
    }
}
