//! An established association as its worker keeps it: raw keys, counters and the replay window.

use std::time::{Duration, Instant};

use xdtls_common::id::PeerId;

use crate::endpoint::Endpoint;
use crate::handshakes::Installation;
use crate::keys::{DirectionKeys, Role};
use crate::record_plane::SealState;
use crate::replay::ReplayWindow;

/// Silence after sending before the first probe.
pub const PROBE_AFTER: Duration = Duration::from_secs(10);

/// Time between two probes.
pub const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Silence after sending before the peer counts as dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(30);

/// How long an association that we have answered may be without any sign that its client has
/// completed the handshake. As long as the final flight is kept for it: later it cannot complete.
pub const UNHEARD_AFTER: Duration = Duration::from_secs(240);

/// Why an association ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// We closed it.
    Local,
    /// The peer sent close_notify.
    PeerClosed,
    /// The peer sent a fatal alert with this description.
    PeerAlert(u8),
    /// The peer has answered nothing for [`DEAD_AFTER`].
    Dead,
    /// Nothing was sent or received for the configured time.
    Idle,
    /// Its client has never shown that it has completed the handshake, for [`UNHEARD_AFTER`].
    Unheard,
    /// The keys have sealed as many records as is safe.
    KeysWorn,
    /// The operator closed it.
    Operator,
    /// Another association of the same link has taken its place.
    Superseded,
}

impl CloseCause {
    /// The cause in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "closed here",
            Self::PeerClosed => "closed by the peer",
            Self::PeerAlert(_) => "ended by a fatal alert of the peer",
            Self::Dead => "the peer stopped answering",
            Self::Idle => "idle for the configured time",
            Self::Unheard => "never used by its client",
            Self::Operator => "closed by the operator",
            Self::Superseded => "another association of its link goes on in its place",
            Self::KeysWorn => "the keys have sealed as many records as is safe",
        }
    }
}

/// What an association wants done when a deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Probe,
    Close(CloseCause),
}

/// What an association has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Plaintext datagrams opened.
    pub opened: u64,
    /// Their bytes.
    pub opened_bytes: u64,
    /// Plaintext datagrams sealed.
    pub sealed: u64,
    /// Their bytes.
    pub sealed_bytes: u64,
}

/// One established association.
pub(crate) struct Association {
    pub(crate) peer: PeerId,
    pub(crate) endpoint: Endpoint,
    /// Whether both sides know record type 27.
    pub(crate) extension: bool,
    /// Whether silence of the peer is noticed; the side that opened the association does, and both
    /// sides of a link.
    watches_peer: bool,
    pub(crate) seal_keys: DirectionKeys,
    pub(crate) open_keys: DirectionKeys,
    pub(crate) seal_state: SealState,
    pub(crate) window: ReplayWindow,
    /// Since when something that we sent is without any answer.
    unanswered_since: Option<Instant>,
    probes: u32,
    active_at: Instant,
    /// When the association ends if its client has not shown by then that it has it.
    unheard_until: Option<Instant>,
    /// The deadline for which the shard's queue holds an entry.
    pub(crate) scheduled: Option<Instant>,
    /// When the last "no renegotiation" was sent.
    pub(crate) warned_at: Option<Instant>,
    pub(crate) traffic: Traffic,
}

impl Association {
    pub(crate) fn new(now: Instant, installation: Installation) -> Self {
        let Installation { peer, endpoint, role, taken_over, .. } = installation;
        Self {
            peer,
            endpoint,
            extension: taken_over.extension,
            watches_peer: taken_over.extension && role == Role::Client,
            seal_keys: taken_over.seal_keys,
            open_keys: taken_over.open_keys,
            seal_state: taken_over.seal_state,
            window: taken_over.window,
            unanswered_since: None,
            probes: 0,
            active_at: now,
            unheard_until: (role == Role::Server).then_some(now + UNHEARD_AFTER),
            scheduled: None,
            warned_at: None,
            traffic: Traffic::default(),
        }
    }

    /// An authentic record has come.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.unanswered_since = None;
        self.probes = 0;
        self.active_at = now;
    }

    /// From now on silence of the peer is noticed.
    pub(crate) fn watch_peer(&mut self) {
        self.watches_peer = self.extension;
    }

    /// A record has come that nobody writes before the handshake is complete at its end.
    pub(crate) fn confirmed(&mut self) {
        self.unheard_until = None;
    }

    /// Data was sent.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.unanswered_since.get_or_insert(now);
        self.active_at = now;
    }

    /// When a record was last sent or received.
    pub(crate) fn active_at(&self) -> Instant {
        self.active_at
    }

    pub(crate) fn probed(&mut self) {
        self.probes += 1;
    }

    /// When [`Association::due`] may say something else than nothing.
    pub(crate) fn deadline(&self, idle_timeout: Option<Duration>) -> Option<Instant> {
        let watch = self.unanswered_since.filter(|_| self.watches_peer).map(|since| {
            let probe = since + PROBE_AFTER + PROBE_EVERY * self.probes;
            probe.min(since + DEAD_AFTER)
        });
        let idle = idle_timeout.map(|timeout| self.active_at + timeout);
        [watch, idle, self.unheard_until].into_iter().flatten().min()
    }

    pub(crate) fn due(&self, now: Instant, idle_timeout: Option<Duration>) -> Due {
        if self.deadline(idle_timeout).is_none_or(|deadline| deadline > now) {
            return Due::Nothing;
        }
        if idle_timeout.is_some_and(|timeout| self.active_at + timeout <= now) {
            return Due::Close(CloseCause::Idle);
        }
        if self.unheard_until.is_some_and(|end| end <= now) {
            return Due::Close(CloseCause::Unheard);
        }
        match self.unanswered_since {
            Some(since) if since + DEAD_AFTER <= now => Due::Close(CloseCause::Dead),
            _ => Due::Probe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_association_stays_small() {
        // With its allocation's header, its cell, and its entry in the queue of deadlines.
        let size = size_of::<Association>() + 16 + 16 + 24;
        assert!(size <= 512, "{size} bytes: a million idle associations take as many MB");
    }
}
