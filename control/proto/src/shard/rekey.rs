//! When keys are worn: the end that opened an association opens another in its place; the end that
//! answered asks for that by a HelloRequest, which is what RFC 5246 §7.4.1.1 has it for.
//!
//! It is looked at where data is sealed or opened, so that associations which idle cost nothing.

use std::time::{Duration, Instant};

use xdtls_common::DropReason;
use xdtls_common::client_hello::HANDSHAKE_HEADER_LEN;
use xdtls_common::id::LocalId;
use xdtls_common::record::content_type;

use super::{Output, Shard, ShardEvent};
use crate::handshakes::Replacement;
use crate::keys::Role;
use crate::moment::Moment;
use crate::rekey::RekeyLimits;

/// How often the end that answered asks, and how long the other waits when too many replaced
/// associations still receive.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// How long after the first failure the next attempt begins; each further one doubles it.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How often it is doubled at most.
const DOUBLINGS: u8 = 6;

/// A HelloRequest: type 0, no body, message_seq 0.
const HELLO_REQUEST: [u8; HANDSHAKE_HEADER_LEN] = [0; HANDSHAKE_HEADER_LEN];

impl Shard {
    /// Keys are replaced when these limits are reached, those of existing associations too; by time,
    /// only those of new ones.
    pub fn set_rekey_limits(&mut self, limits: RekeyLimits) {
        self.config.rekey = limits;
    }

    /// When keys that are installed now will be worn by time. Those who open come a little earlier,
    /// each at another time: clients that connected at one moment must not all come back at one.
    pub(super) fn worn_at(&mut self, at: Moment, role: Role) -> Moment {
        let time = self.config.rekey.time;
        let early = match role {
            Role::Client => time.mul_f64(f64::from((self.random)()) / f64::from(u32::MAX) / 10.0),
            Role::Server => Duration::ZERO,
        };
        at + (time - early)
    }

    /// Sees to keys that are worn.
    pub(super) fn rekey(&mut self, now: Instant, id: LocalId, out: &mut impl Output) {
        let (at, has_room) = (self.clock.moment(now), self.has_room_behind(id));
        let Some(association) = self.table.association(id) else { return };
        match association.role {
            Role::Client if has_room => {
                association.rekey_begins();
                let (peer, endpoint) = (association.peer, association.paths.validated());
                out.event(ShardEvent::Rekey(Replacement { old: id, peer, endpoint }));
            }
            Role::Client => association.rekey_later(at + ASK_EVERY),
            Role::Server => {
                association.rekey_later(at + ASK_EVERY);
                self.send_own(now, id, None, (content_type::HANDSHAKE, &HELLO_REQUEST), out);
            }
        }
    }

    /// The peer asks for new keys.
    pub(super) fn rekey_requested(
        &mut self,
        now: Instant,
        id: LocalId,
        out: &mut impl Output,
    ) -> Result<(), DropReason> {
        let association = self.table.association(id).ok_or(DropReason::Closed)?;
        if !association.may_rekey(self.clock.moment(now)) {
            return Err(DropReason::RateLimited);
        }
        self.rekey(now, id, out);
        Ok(())
    }

    /// Nothing has come of a wish for an association in the place of `id`: it goes on, and the next
    /// attempt comes later.
    pub fn rekey_failed(&mut self, now: Instant, id: LocalId) {
        if let Some(association) = self.table.association(id)
            && association.role == Role::Client
            && !association.replaced
        {
            let doublings = (association.rekey_failed() - 1).min(DOUBLINGS);
            association.rekey_later(self.clock.moment(now) + RETRY_AFTER * (1 << doublings));
        }
    }
}
