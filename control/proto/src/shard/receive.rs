//! The way in: from a datagram of the outside to plaintext, an event, or a counted drop.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use xdtls_common::DropReason;
use xdtls_common::client_hello::{ClientHello, CookieField, HelloError};
use xdtls_common::cookie::{HelloPath, Judgement, judge, mapped};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::hello_verify::{HELLO_VERIFY_LEN, hello_verify_request};
use xdtls_common::id::LocalId;
use xdtls_common::prefix::{PREFIX_LEN, Prefix};
use xdtls_common::record::{RecordHeader, content_type, records};
use xdtls_common::verdict::{Verdict, verdict};

use super::{Front, Hello, Output, Shard, ShardEvent};
use crate::alert;
use crate::association::CloseCause;
use crate::endpoint::Endpoint;
use crate::keys::Role;
use crate::moment::Moment;
use crate::record_plane::open;

/// Handshake message types that ask for a new handshake (RFC 5246 §7.4.1).
const HELLO_REQUEST: u8 = 0;
const CLIENT_HELLO: u8 = 1;

/// The least time between two "no renegotiation" of an association.
const WARN_EVERY: Duration = Duration::from_secs(1);

impl Shard {
    /// Takes one datagram as it came. `front` is `None` where nobody may open associations.
    pub fn receive(
        &mut self,
        now: Instant,
        front: Option<&Front>,
        from: Endpoint,
        datagram: &mut [u8],
        out: &mut impl Output,
    ) {
        let mut cursor = SliceCursor::new(datagram);
        let Ok(prefix) = Prefix::parse(&mut cursor) else {
            return out.count(DropReason::TooShort);
        };
        let shard = self.config.layout.shard_of(prefix.receiver);
        if prefix.receiver != 0 && shard != self.config.index {
            return out.event(ShardEvent::OtherShard(shard, from, datagram.to_vec()));
        }
        let decided = verdict(prefix, self.table.entry(prefix.receiver), &mut cursor);
        let outcome = match (decided, LocalId::new(prefix.receiver)) {
            (Verdict::Drop(reason), _) => Err(reason),
            (Verdict::Handshake, Some(id)) => {
                out.event(ShardEvent::Handshake(id, from, datagram.to_vec()));
                Ok(())
            }
            (Verdict::Worker, Some(id)) => {
                self.receive_records(now, id, &from, &mut datagram[PREFIX_LEN..], out);
                Ok(())
            }
            _ => self.client_hello(now, front, from, prefix.sender, &datagram[PREFIX_LEN..], out),
        };
        if let Err(reason) = outcome {
            out.count(reason);
        }
    }

    /// Answers a ClientHello, or lets the handshakes begin.
    fn client_hello(
        &mut self,
        now: Instant,
        front: Option<&Front>,
        from: Endpoint,
        client_id: u32,
        records: &[u8],
        out: &mut impl Output,
    ) -> Result<(), DropReason> {
        let front = front.ok_or(DropReason::UnknownId)?;
        if client_id == 0 {
            return Err(DropReason::WrongPeerId);
        }
        let hello =
            ClientHello::parse(&mut SliceCursor::new(records)).map_err(HelloError::reason)?;
        let path = HelloPath {
            peer_address: mapped(from.remote.ip()),
            peer_port: from.remote.port(),
            local_address: mapped(from.local.unwrap_or(Ipv4Addr::UNSPECIFIED.into())),
            local_port: front.local_port,
            client_id,
        };
        if !path.may_be_answered() {
            return Err(DropReason::ReplyForbidden);
        }
        if hello.cookie == CookieField::Empty {
            self.replies.pay(self.clock.moment(now), front, path.peer_address)?;
        }
        let mut cursor = SliceCursor::new(records);
        match judge(&*front.secrets, front.now_s, &path, &hello, &mut cursor) {
            Judgement::Drop(reason) => Err(reason),
            Judgement::Accept => {
                let datagram = records.to_vec();
                out.event(ShardEvent::Hello(Hello { from, client_id, datagram }));
                Ok(())
            }
            Judgement::Reply(cookie) => {
                let reply = hello_verify_request(client_id, hello.record_sequence, &cookie);
                let room = out.datagram(&from, HELLO_VERIFY_LEN).ok_or(DropReason::OutsideSend)?;
                room.copy_from_slice(&reply);
                self.counters.hello_verify_requests += 1;
                Ok(())
            }
        }
    }

    /// Opens all records of an established association's datagram, whose prefix is off.
    pub(super) fn receive_records(
        &mut self,
        now: Instant,
        id: LocalId,
        from: &Endpoint,
        datagram: &mut [u8],
        out: &mut impl Output,
    ) {
        let mut at = 0;
        while let Some(item) = records(&datagram[at..]).next() {
            let Ok((header, range)) = item else {
                return out.count(DropReason::MalformedRecord);
            };
            let record = &mut datagram[at + range.start..at + range.end];
            if let Err(reason) = self.receive_record(now, id, from, &header, record, out) {
                out.count(reason);
            }
            at += range.end;
        }
    }

    fn receive_record(
        &mut self,
        now: Instant,
        id: LocalId,
        from: &Endpoint,
        header: &RecordHeader,
        record: &mut [u8],
        out: &mut impl Output,
    ) -> Result<(), DropReason> {
        if header.epoch != 1 {
            return Err(DropReason::WrongEpoch);
        }
        let association = self.table.association(id).ok_or(DropReason::Closed)?;
        association.window.check(header.sequence)?;
        let place = self.config.place_of(id);
        let keys = &association.open_keys;
        let range = self.keys.open(id, place, keys, |key| open(key, header, record))?;
        let newest = association.window.is_newest(header.sequence);
        association.window.commit(header.sequence);
        let at = self.clock.moment(now);
        association.heard(at);
        let inherits = match header.content_type {
            content_type::HANDSHAKE => false,
            content_type::ALERT => association.confirm(false),
            _ => association.confirm(true),
        };
        let extension = association.extension;
        let path = association.paths.heard(at, from, record.len(), newest, extension);
        if inherits && !self.inherit(now, id, out) {
            return Err(DropReason::Closed);
        }
        let plaintext = &record[range];
        let outcome = match header.content_type {
            content_type::APPLICATION_DATA => self.data((now, at), id, plaintext, out),
            content_type::ALERT => self.alert(now, id, plaintext, out),
            content_type::HANDSHAKE => self.handshake(now, id, plaintext, out),
            content_type::RETURN_ROUTABILITY_CHECK if extension => {
                self.path_message(now, id, from, plaintext, out)
            }
            _ => Err(DropReason::WrongRecordType),
        };
        // The record may have ended the association.
        if let Some(change) = path
            && self.table.association(id).is_some()
        {
            self.path_changed(now, id, change, out);
        }
        outcome
    }

    fn data(
        &mut self,
        (now, at): (Instant, Moment),
        id: LocalId,
        plaintext: &[u8],
        out: &mut impl Output,
    ) -> Result<(), DropReason> {
        let association = self.table.association(id).ok_or(DropReason::Closed)?;
        self.flights.forget(id);
        self.counters.opened += 1;
        self.counters.opened_bytes += plaintext.len() as u64;
        association.traffic.opened += 1;
        association.traffic.opened_bytes += plaintext.len() as u64;
        if association.replaced {
            let newest = self.lineage.newest(id);
            self.lineage.came_late(newest, plaintext.len());
            out.plaintext(newest, plaintext);
            return Ok(());
        }
        out.plaintext(id, plaintext);
        let records = association.window.newest();
        if association.extension && association.wants_rekey(at, records, &self.config.rekey) {
            self.rekey(now, id, out);
        }
        Ok(())
    }

    fn alert(
        &mut self,
        now: Instant,
        id: LocalId,
        plaintext: &[u8],
        out: &mut impl Output,
    ) -> Result<(), DropReason> {
        match *plaintext {
            [_, alert::CLOSE_NOTIFY] => self.close(now, id, CloseCause::PeerClosed, out),
            [alert::FATAL, description] => {
                self.forget(now, id, CloseCause::PeerAlert(description), out);
            }
            [alert::WARNING, _] => {}
            _ => return Err(DropReason::MalformedContent),
        }
        Ok(())
    }

    /// An authentic handshake record: the peer waits for our final flight, or asks for new keys; or it
    /// wants another handshake in this association, which it does not get.
    fn handshake(
        &mut self,
        now: Instant,
        id: LocalId,
        plaintext: &[u8],
        out: &mut impl Output,
    ) -> Result<(), DropReason> {
        let association = self.table.association(id).ok_or(DropReason::Closed)?;
        match plaintext.first() {
            Some(&HELLO_REQUEST) if association.extension && association.role == Role::Client => {
                self.flights.forget(id);
                self.rekey_requested(now, id, out)
            }
            // Only who has our final flight asks for another handshake.
            Some(&(HELLO_REQUEST | CLIENT_HELLO)) => {
                let warned = self.warned.get(&id);
                if warned.is_some_and(|at| now.duration_since(*at) < WARN_EVERY) {
                    return Err(DropReason::RateLimited);
                }
                self.warned.insert(id, now);
                self.flights.forget(id);
                self.send_alert(now, id, [alert::WARNING, alert::NO_RENEGOTIATION], out);
                Ok(())
            }
            Some(_) => {
                let flight = self.flights.repeat(now, id).ok_or(DropReason::StaleHandshake)?;
                for datagram in flight? {
                    let to = association.paths.current();
                    association.paths.allow(&to, datagram.len())?;
                    let room = out.datagram(&to, datagram.len());
                    room.ok_or(DropReason::OutsideSend)?.copy_from_slice(datagram);
                }
                self.counters.final_flights_repeated += 1;
                Ok(())
            }
            None => Err(DropReason::MalformedContent),
        }
    }
}
