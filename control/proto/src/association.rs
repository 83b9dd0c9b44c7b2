//! An established association as its worker keeps it: raw keys, counters and the replay window.

use std::time::Duration;

use xdtls_common::id::{LocalId, PeerId};

use crate::alert;
use crate::handshakes::Installation;
use crate::keys::{DirectionKeys, Role};
use crate::moment::Moment;
use crate::paths::{PathDue, Paths};
use crate::policy::Refusal;
use crate::record_plane::SealState;
use crate::rekey::RekeyLimits;
use crate::replay::ReplayWindow;
use crate::shard::Grain;

/// Silence after sending before the first probe.
pub const PROBE_AFTER: Duration = Duration::from_secs(10);

/// Time between two probes.
pub const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Silence after sending before the peer counts as dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(30);

/// How long an association that is to replace another waits for its peer's answer before it asks
/// again.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);

/// How long a replaced association still receives.
pub const REPLACED_FOR: Duration = Duration::from_secs(120);

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
    /// Another has taken its place, and nothing comes for it any more.
    Replaced,
    /// Its peer is not admitted any more.
    NotAdmitted(Refusal),
}

impl CloseCause {
    /// What metrics call the causes, in the order of [`CloseCause::as_index`].
    pub const LABELS: [&'static str; 12] = [
        "local",
        "peer_closed",
        "peer_alert",
        "dead",
        "idle",
        "unheard",
        "keys_worn",
        "operator",
        "replaced",
        "superseded",
        "revoked",
        "not_admitted",
    ];

    /// The cause's place in [`CloseCause::LABELS`] and in counter arrays.
    pub const fn as_index(self) -> usize {
        match self {
            Self::Local => 0,
            Self::PeerClosed => 1,
            Self::PeerAlert(_) => 2,
            Self::Dead => 3,
            Self::Idle => 4,
            Self::Unheard => 5,
            Self::KeysWorn => 6,
            Self::Operator => 7,
            Self::Replaced => 8,
            Self::Superseded => 9,
            Self::NotAdmitted(Refusal::Revoked) => 10,
            Self::NotAdmitted(_) => 11,
        }
    }

    /// What the peer is told.
    pub(crate) const fn alert(self) -> [u8; 2] {
        match self {
            Self::NotAdmitted(refusal) => [alert::FATAL, alert::of_refusal(refusal)],
            _ => [alert::WARNING, alert::CLOSE_NOTIFY],
        }
    }

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
            Self::Replaced => "replaced by another some time ago",
            Self::NotAdmitted(refusal) => refusal.as_str(),
            Self::KeysWorn => "the keys have sealed as many records as is safe",
        }
    }
}

/// What an association wants done when a deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Probe,
    Path,
    Close(CloseCause),
}

/// How far an association is from being replaced by one with new keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RekeyState {
    /// Its keys are not worn. By time they will be, at the moment that stands beside.
    Fresh,
    /// Its keys are worn; at that moment something is to be done about it once more.
    Due,
    /// Another association is on its way, or has taken its place.
    UnderWay,
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

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.opened += other.opened;
        self.opened_bytes += other.opened_bytes;
        self.sealed += other.sealed;
        self.sealed_bytes += other.sealed_bytes;
    }
}

/// How far the peer has shown that the handshake is complete at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Confirmation {
    /// It has not used the association.
    Missing,
    /// Nor has it, and another is to be replaced when it does.
    Awaited,
    /// It has used the association.
    Given,
}

/// One established association. It fills four lines of memory, in this order: what opens, what
/// seals, and two that either needs.
#[repr(C, align(64))]
pub(crate) struct Association {
    pub(crate) open_keys: DirectionKeys,
    probes: u8,
    /// How often a wish for its replacement has failed.
    failed_rekeys: u8,
    pub(crate) window: ReplayWindow,

    pub(crate) seal_keys: DirectionKeys,
    /// Which end we were in its handshake.
    pub(crate) role: Role,
    /// Whether it is a link's: then both ends notice silence.
    of_link: bool,
    pub(crate) seal_state: SealState,

    pub(crate) paths: Paths,
    pub(crate) id: LocalId,
    pub(crate) peer: PeerId,
    active_at: Moment,

    pub(crate) traffic: Traffic,
    /// Since when something that we sent is without any answer.
    unanswered_since: Option<Moment>,
    /// When the association ends: if its client has not shown by then that it has it, or if another
    /// has replaced it.
    ends_at: Option<Moment>,
    /// When something is to be done about worn keys, as the state below says.
    rekey_at: Moment,
    /// The deadline for which the shard's queue holds an entry.
    pub(crate) scheduled: Option<Grain>,
    rekey: RekeyState,
    /// Whether both sides know record type 27.
    pub(crate) extension: bool,
    confirmation: Confirmation,
    /// Whether another has replaced it.
    pub(crate) replaced: bool,
}

impl Association {
    /// `rekey_at` is when its keys are worn by time alone.
    pub(crate) fn new(now: Moment, installation: Installation, rekey_at: Moment) -> Self {
        let Installation { local, peer, endpoint, role, taken_over, .. } = installation;
        Self {
            id: local,
            peer,
            paths: Paths::validated_by_handshake(endpoint),
            role,
            extension: taken_over.extension,
            confirmation: Confirmation::Missing,
            of_link: false,
            replaced: false,
            rekey: RekeyState::Fresh,
            failed_rekeys: 0,
            probes: 0,
            seal_keys: taken_over.seal_keys,
            open_keys: taken_over.open_keys,
            seal_state: taken_over.seal_state,
            window: taken_over.window,
            unanswered_since: None,
            active_at: now,
            ends_at: (role == Role::Server).then_some(now + UNHEARD_AFTER),
            rekey_at,
            scheduled: None,
            traffic: Traffic::default(),
        }
    }

    /// Reads something of each line of memory that opening a record needs, and returns what makes
    /// sure that this is not optimized away.
    pub(crate) fn touch_to_open(&self) -> u64 {
        self.window.touch() ^ u64::from(self.peer.value()) ^ self.traffic.opened
    }

    /// The same for sealing one.
    pub(crate) fn touch_to_seal(&self) -> u64 {
        self.seal_state.sealed() ^ u64::from(self.peer.value()) ^ self.traffic.sealed
    }

    /// An authentic record has come.
    pub(crate) fn heard(&mut self, now: Moment) {
        self.active_at = now;
        if self.confirmation != Confirmation::Awaited {
            self.unanswered_since = None;
            self.probes = 0;
        }
    }

    /// Whether it is a link's.
    pub(crate) fn is_of_link(&self) -> bool {
        self.of_link
    }

    /// From now on silence of the peer is noticed, whichever end has opened.
    pub(crate) fn watch_peer(&mut self) {
        self.of_link = true;
    }

    /// A record has come that nobody writes before the handshake is complete at its end; `in_use` if
    /// it is no alert, which may be a refusal. Whether it is the first one of an association that is
    /// to replace another.
    pub(crate) fn confirm(&mut self, in_use: bool) -> bool {
        if self.confirmation == Confirmation::Given {
            return false;
        }
        if !self.replaced {
            self.ends_at = None;
        }
        if !in_use {
            return false;
        }
        let before = std::mem::replace(&mut self.confirmation, Confirmation::Given);
        let was_heir = before == Confirmation::Awaited;
        if was_heir {
            self.unanswered_since = None;
            self.probes = 0;
        }
        was_heir
    }

    /// Lets the association wait for its peer, to replace another; `false` if there is nothing to
    /// wait for.
    pub(crate) fn await_confirmation(&mut self, now: Moment) -> bool {
        if self.confirmation == Confirmation::Given {
            return false;
        }
        self.confirmation = Confirmation::Awaited;
        if self.role == Role::Client {
            self.unanswered_since.get_or_insert(now);
        }
        true
    }

    /// Another has replaced it: it receives for a while.
    pub(crate) fn replace(&mut self, now: Moment) {
        self.replaced = true;
        self.rekey = RekeyState::UnderWay;
        self.ends_at = Some(now + REPLACED_FOR);
    }

    /// Data was sent.
    pub(crate) fn sent(&mut self, now: Moment) {
        self.unanswered_since.get_or_insert(now);
        self.active_at = now;
    }

    /// When a record was last sent or received.
    pub(crate) fn active_at(&self) -> Moment {
        self.active_at
    }

    pub(crate) fn probed(&mut self) {
        self.probes = self.probes.saturating_add(1);
    }

    /// Whether its keys are worn, of which the one in use has sealed so many records, and something
    /// is to be done about it now. The other one is looked at when it is used: it seals hardly more
    /// than answers meanwhile.
    pub(crate) fn wants_rekey(&self, now: Moment, records: u64, limits: &RekeyLimits) -> bool {
        let has_come = self.rekey_at <= now;
        match self.rekey {
            RekeyState::UnderWay => false,
            RekeyState::Due => has_come,
            RekeyState::Fresh => {
                let traffic = &self.traffic;
                has_come
                    || records >= limits.records
                    || traffic.opened_bytes + traffic.sealed_bytes >= limits.bytes
            }
        }
    }

    /// Whether the peer may ask for new keys now: nobody sees to it already.
    pub(crate) fn may_rekey(&self, now: Moment) -> bool {
        match self.rekey {
            RekeyState::UnderWay => false,
            RekeyState::Due => self.rekey_at <= now,
            RekeyState::Fresh => true,
        }
    }

    /// Another association is on its way.
    pub(crate) fn rekey_begins(&mut self) {
        self.rekey = RekeyState::UnderWay;
    }

    /// Something is to be done about worn keys once more at `at`, and not before.
    pub(crate) fn rekey_later(&mut self, at: Moment) {
        self.rekey = RekeyState::Due;
        self.rekey_at = at;
    }

    /// Nothing has come of the association that was on its way. How many times this has happened.
    pub(crate) fn rekey_failed(&mut self) -> u8 {
        self.failed_rekeys = self.failed_rekeys.saturating_add(1);
        self.failed_rekeys
    }

    /// Whether silence of the peer is noticed; the side that opened the association does, and both
    /// sides of a link.
    fn watches_peer(&self) -> bool {
        self.extension && (self.role == Role::Client || self.of_link) && !self.replaced
    }

    /// When [`Association::due`] may say something else than nothing.
    pub(crate) fn deadline(&self, idle_timeout: Option<Duration>) -> Option<Moment> {
        let (first, every) = match self.confirmation {
            Confirmation::Awaited => (Duration::ZERO, CONFIRM_EVERY),
            _ => (PROBE_AFTER, PROBE_EVERY),
        };
        let watch = self.unanswered_since.filter(|_| self.watches_peer()).map(|since| {
            let probe = since + first + every * u32::from(self.probes);
            probe.min(since + DEAD_AFTER)
        });
        let idle = idle_timeout.filter(|_| !self.replaced).map(|timeout| self.active_at + timeout);
        [watch, idle, self.ends_at, self.paths.deadline()].into_iter().flatten().min()
    }

    pub(crate) fn due(&self, now: Moment, idle_timeout: Option<Duration>) -> Due {
        if self.deadline(idle_timeout).is_none_or(|deadline| deadline > now) {
            return Due::Nothing;
        }
        if !self.replaced && idle_timeout.is_some_and(|timeout| self.active_at + timeout <= now) {
            return Due::Close(CloseCause::Idle);
        }
        if self.ends_at.is_some_and(|end| end <= now) {
            let cause = if self.replaced { CloseCause::Replaced } else { CloseCause::Unheard };
            return Due::Close(cause);
        }
        match self.unanswered_since {
            Some(since) if self.watches_peer() && since + DEAD_AFTER <= now => {
                Due::Close(CloseCause::Dead)
            }
            _ if self.paths.due(now) != PathDue::Nothing => Due::Path,
            _ => Due::Probe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_association_stays_small() {
        // Its entry in the queue of deadlines, registry, routes and maps come on top:
        // `cargo xtask bench associations` measures all of it.
        let size = size_of::<Association>();
        assert!(size <= 256, "{size} bytes: a million idle associations take as many MB");
    }
}
