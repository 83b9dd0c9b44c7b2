//! Proofs that the peer of an association is there now: answers to challenges of ours.
//!
//! Any authentic record shows that the peer was there once; it may have been on its way while the
//! peer lost all it knew. The answer to a challenge cannot be older than the challenge.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use xdtls_common::id::LocalId;
use xdtls_common::path_message::PathMessage;

use super::{Output, Shard};
use crate::paths::Cookie;

/// Challenges of one association that an answer may be to: as many as are sent while one is under
/// way for as long as a datagram may be.
const OUTSTANDING_MAX: usize = 64;

/// The challenges that are out, of those few associations that are being asked.
#[derive(Default)]
pub(super) struct Proofs {
    asked: HashMap<LocalId, VecDeque<Cookie>>,
}

impl Proofs {
    fn ask(&mut self, id: LocalId, cookie: Cookie) {
        let cookies = self.asked.entry(id).or_default();
        if cookies.len() == OUTSTANDING_MAX {
            cookies.pop_front();
        }
        cookies.push_back(cookie);
    }

    /// An answer has come; whether it is one that was asked for.
    pub(super) fn answered(&mut self, id: LocalId, cookie: Cookie) -> bool {
        let right = self.asked.get(&id).is_some_and(|cookies| cookies.contains(&cookie));
        if right {
            self.asked.remove(&id);
        }
        right
    }

    pub(super) fn forget(&mut self, id: LocalId) {
        self.asked.remove(&id);
    }
}

impl Shard {
    /// Challenges the peer to prove that it has this association; the first answer to this or an
    /// earlier challenge is a [`ShardEvent::Proven`](super::ShardEvent::Proven). Whoever asks cares
    /// whether the peer is there: from now on its silence is noticed here, whichever end opened.
    /// `false` if there is no such association, or its peer does not know challenges.
    pub fn prove(&mut self, now: Instant, id: LocalId, out: &mut impl Output) -> bool {
        let Some(association) = self.table.association(id) else { return false };
        if !association.extension {
            return false;
        }
        association.watch_peer();
        let cookie = self.draw_cookie();
        self.proofs.ask(id, cookie);
        self.send_path_message(now, id, None, PathMessage::Challenge(cookie), out);
        true
    }
}
