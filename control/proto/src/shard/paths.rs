//! What a shard does for associations whose peer moves.

use std::time::Instant;

use xdtls_common::DropReason;
use xdtls_common::id::LocalId;
use xdtls_common::path_message::PathMessage;

use super::{Output, Shard, ShardEvent};
use crate::endpoint::Endpoint;
use crate::paths::{Cookie, PathChange, PathDue};

impl Shard {
    /// An unpredictable number.
    pub(super) fn draw_cookie(&mut self) -> Cookie {
        (u64::from((self.random)()) << 32 | u64::from((self.random)())).to_be_bytes()
    }

    /// Lets every peer that knows path messages hear from us, because our own address may have
    /// changed: it follows us by what it hears.
    pub fn announce(&mut self, now: Instant, out: &mut impl Output) {
        for id in self.table.ids() {
            if self.table.association(id).is_some_and(|association| association.extension) {
                let challenge = PathMessage::Challenge(self.draw_cookie());
                self.send_path_message(now, id, None, challenge, out);
            }
        }
    }

    /// Counts a change, tells of it, and does what is due.
    pub(super) fn path_changed(
        &mut self,
        now: Instant,
        id: LocalId,
        change: PathChange,
        out: &mut impl Output,
    ) {
        match change {
            PathChange::New => self.counters.paths_new += 1,
            PathChange::Validated => self.counters.paths_validated += 1,
            PathChange::Failed => self.counters.paths_failed += 1,
            PathChange::Back => {}
        }
        out.event(ShardEvent::Path(id, change));
        self.look_after_path(now, id, out);
    }

    /// Challenges a new path when that is due, or gives it up.
    pub(super) fn look_after_path(&mut self, now: Instant, id: LocalId, out: &mut impl Output) {
        let (at, cookie) = (self.clock.moment(now), self.draw_cookie());
        let Some(association) = self.table.association(id) else { return };
        match association.paths.due(at) {
            PathDue::Nothing => {}
            PathDue::Challenge => {
                let to = association.paths.challenge(at, cookie);
                self.timers.schedule(id, association, self.config.idle_timeout);
                self.send_path_message(now, id, to, PathMessage::Challenge(cookie), out);
            }
            PathDue::GiveUp => {
                association.paths.give_up();
                self.path_changed(now, id, PathChange::Failed, out);
            }
        }
    }

    /// Acts on an authentic path message. A challenge is answered to where it came from
    /// (RFC 9853 §6.4).
    pub(super) fn path_message(
        &mut self,
        now: Instant,
        id: LocalId,
        from: &Endpoint,
        plaintext: &[u8],
        out: &mut impl Output,
    ) -> Result<(), DropReason> {
        let association = self.table.association(id).ok_or(DropReason::Closed)?;
        match PathMessage::parse(plaintext).map_err(|_| DropReason::MalformedContent)? {
            PathMessage::Challenge(cookie) => {
                let remote = association.paths.validated().name(from.remote);
                let to = Some(Endpoint { remote, ..*from });
                self.send_path_message(now, id, to, PathMessage::Response(cookie), out);
            }
            PathMessage::Response(cookie) if association.paths.answered(from, cookie) => {
                self.path_changed(now, id, PathChange::Validated, out);
            }
            PathMessage::Drop(cookie) if association.paths.has_asked(cookie) => {
                association.paths.give_up();
                self.path_changed(now, id, PathChange::Failed, out);
            }
            PathMessage::Response(cookie) if self.proofs.answered(id, cookie) => {
                out.event(ShardEvent::Proven(id));
            }
            // That it is authentic is all that a probe of liveness asks for.
            PathMessage::Response(_) | PathMessage::Drop(_) => {}
        }
        Ok(())
    }
}
