//! One link between two nodes that may both open: which of its associations data goes by, which are
//! closed, and when another is opened.
//!
//! Both ends may open at once, or one may come back from a restart that the other has not noticed,
//! so that a link may have several associations for a while. The ends agree on one without asking
//! each other: of those that are alive at both ends the one whose opener has the smaller key wins,
//! and of two with one opener the one with the smaller client random. Invariants:
//!
//! - Data goes by an association only once the peer has proved on it that it has it too, by the
//!   answer to a challenge; or, where there is nothing better, by one that we have opened, because
//!   its responder was complete before we were.
//! - A newcomer makes every association prove itself anew: the peer that opens it may have lost the
//!   others.
//! - What is to be closed still receives for [`LINGER`] after data has gone another way for good.
//!   That is longer than both ends need to see the same, and than datagrams are under way.
//!
//! The machine sees no datagram. It is told what happens to the link's associations and says what
//! to do; time and randomness are arguments.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use xdtls_common::id::LocalId;

use crate::handshakes::{Random, jittered};

/// Time between two challenges to an association that has not proved itself.
pub const PROBE_EVERY: Duration = Duration::from_millis(100);

/// The same once an association has been silent for [`LINGER`].
const SLOW_PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long the others live on once data goes by the association that stays. An end that has had
/// no proof of it in all that time, out of 80 challenges, will have none.
pub const LINGER: Duration = Duration::from_secs(8);

/// An association that has not proved itself for so long is dead, even if there is no other.
pub const DEAD_AFTER: Duration = Duration::from_secs(30);

/// The longest wait before a link that has no association opens another; the first is 128 times
/// shorter. Each that fails doubles it.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(32);
const RETRY_DOUBLINGS: u32 = 7;

/// Associations that a link has at most: a peer that restarts again and again leaves some behind.
pub const MEMBERS_MAX: usize = 16;

/// What decides between two associations of a link; the smaller wins. Both ends know the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// SHA-256 of the SubjectPublicKeyInfo of the end that opened it.
    pub opener: [u8; 32],
    /// The random of its ClientHello.
    pub client_random: [u8; 32],
}

/// What is to be done for a link, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open an association; the number comes back with it or with its failure.
    Open(u64),
    /// Give up what was asked for with this number, if it is not there yet.
    Cancel(u64),
    /// Ask the peer on this association for an answer that proves that it is there.
    Probe(LocalId),
    /// Send by this association from now on; by none if there is none.
    Use(Option<LocalId>),
    /// End this association with close_notify.
    Close(LocalId),
}

struct Member {
    id: LocalId,
    rank: Rank,
    ours: bool,
    /// Whether the peer has proved since `Link::asked_since` that it has it.
    proven: bool,
}

/// How a link gets its next association.
enum Opening {
    /// It has one, or only the peer opens.
    Idle,
    Waiting(Instant),
    UnderWay(u64),
}

/// One link.
pub struct Link {
    number: u32,
    opens: bool,
    random: Random,
    members: Vec<Member>,
    current: Option<LocalId>,
    /// Since when `current` has been the best of those that are proven.
    settled_since: Option<Instant>,
    /// Since when associations have been asked to prove themselves, and when they are asked next.
    asked_since: Instant,
    next_probe: Option<Instant>,
    opening: Opening,
    openings: u32,
    failures: u32,
    actions: VecDeque<Action>,
}

impl Link {
    /// A link without association. One that `opens` does so at once; others wait for the peer.
    pub fn new(now: Instant, number: u32, opens: bool, random: Random) -> Self {
        Self {
            number,
            opens,
            random,
            members: Vec::new(),
            current: None,
            settled_since: None,
            asked_since: now,
            next_probe: None,
            opening: if opens { Opening::Waiting(now) } else { Opening::Idle },
            openings: 0,
            failures: 0,
            actions: VecDeque::new(),
        }
    }

    /// The number of the link that has asked for this.
    pub fn number_of(token: u64) -> u32 {
        (token >> 32) as u32
    }

    /// The association that data goes by.
    pub fn current(&self) -> Option<LocalId> {
        self.current
    }

    /// How many associations the link has.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// An association is there; `token` is that of the wish, if we have opened it.
    pub fn established(&mut self, now: Instant, id: LocalId, rank: Rank, token: Option<u64>) {
        if let (Opening::UnderWay(open), Some(token)) = (&self.opening, token)
            && *open == token
        {
            self.opening = Opening::Idle;
        }
        if self.members.len() >= MEMBERS_MAX && !self.make_room() {
            return self.actions.push_back(Action::Close(id));
        }
        self.members.push(Member { id, rank, ours: token.is_some(), proven: false });
        self.members.iter_mut().for_each(|member| member.proven = false);
        self.asked_since = now;
        self.next_probe = Some(now);
        self.choose(now);
    }

    /// The peer has answered a challenge on this association.
    pub fn proven(&mut self, now: Instant, id: LocalId) {
        let Some(member) = self.members.iter_mut().find(|member| member.id == id) else { return };
        member.proven = true;
        self.failures = 0;
        match self.opening {
            Opening::UnderWay(token) => self.actions.push_back(Action::Cancel(token)),
            Opening::Waiting(_) | Opening::Idle => {}
        }
        self.opening = Opening::Idle;
        self.choose(now);
    }

    /// `new` has taken the place of `old`, with new keys: it is the same under another name, and its
    /// rank is that of the first of its line at both ends.
    pub fn replaced(&mut self, old: LocalId, new: LocalId) {
        let Some(member) = self.members.iter_mut().find(|member| member.id == old) else { return };
        member.id = new;
        if self.current == Some(old) {
            self.current = Some(new);
            self.actions.push_back(Action::Use(Some(new)));
        }
    }

    /// An association has ended, whoever wanted it.
    pub fn closed(&mut self, now: Instant, id: LocalId) {
        let members = self.members.len();
        self.members.retain(|member| member.id != id);
        if self.members.len() < members {
            self.choose(now);
            self.reopen(now);
        }
    }

    /// Nothing has come of a wish.
    pub fn failed(&mut self, now: Instant, token: u64) {
        if matches!(self.opening, Opening::UnderWay(open) if open == token) {
            self.opening = Opening::Idle;
            self.reopen(now);
        }
    }

    /// Opens no more associations.
    pub fn drain(&mut self) {
        self.opens = false;
        if let Opening::UnderWay(token) = self.opening {
            self.actions.push_back(Action::Cancel(token));
        }
        self.opening = Opening::Idle;
    }

    /// When [`Link::handle_timeout`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let opening = match self.opening {
            Opening::Waiting(until) => Some(until),
            Opening::Idle | Opening::UnderWay(_) => None,
        };
        [opening, self.next_probe, self.lingers_until()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.lingers_until().is_some_and(|until| until <= now) {
            self.close_where(now, |link, member| Some(member.id) != link.current);
        }
        if self.next_probe.is_some_and(|probe| probe <= now) {
            self.probe(now);
        }
        if let Opening::Waiting(until) = self.opening
            && until <= now
        {
            self.openings = self.openings.wrapping_add(1);
            let token = u64::from(self.number) << 32 | u64::from(self.openings);
            self.opening = Opening::UnderWay(token);
            self.actions.push_back(Action::Open(token));
        }
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When those that data does not go by any more are closed.
    fn lingers_until(&self) -> Option<Instant> {
        self.settled_since.filter(|_| self.members.len() > 1).map(|since| since + LINGER)
    }

    /// Ends the oldest association that has not proved itself; `false` if all have.
    fn make_room(&mut self) -> bool {
        let spare = |member: &Member| !member.proven && Some(member.id) != self.current;
        let Some(place) = self.members.iter().position(spare) else { return false };
        let member = self.members.remove(place);
        self.actions.push_back(Action::Close(member.id));
        true
    }

    fn probe(&mut self, now: Instant) {
        let silent_for = now.saturating_duration_since(self.asked_since);
        if silent_for >= DEAD_AFTER {
            self.close_where(now, |_, member| !member.proven);
        }
        let every = if silent_for < LINGER { PROBE_EVERY } else { SLOW_PROBE_EVERY };
        let unproven = self.members.iter().filter(|member| !member.proven);
        self.actions.extend(unproven.map(|member| Action::Probe(member.id)));
        let all_proven = self.members.iter().all(|member| member.proven);
        self.next_probe = (!all_proven).then_some(now + every);
    }

    fn close_where(&mut self, now: Instant, which: impl Fn(&Self, &Member) -> bool) {
        let ids: Vec<_> =
            self.members.iter().filter(|member| which(self, member)).map(|m| m.id).collect();
        for id in ids {
            self.actions.push_back(Action::Close(id));
            self.closed(now, id);
        }
    }

    /// Lets data go by the association that it ought to go by.
    fn choose(&mut self, now: Instant) {
        let best = |of: &dyn Fn(&&Member) -> bool| {
            self.members.iter().filter(of).min_by_key(|member| member.rank).map(|member| member.id)
        };
        let proven = best(&|member| member.proven);
        let kept = best(&|member| Some(member.id) == self.current);
        let chosen = proven.or(kept).or_else(|| best(&|member| member.ours));
        if chosen != self.current {
            self.current = chosen;
            self.settled_since = None;
            self.actions.push_back(Action::Use(chosen));
        }
        match (proven, self.settled_since) {
            (None, _) => self.settled_since = None,
            (Some(_), None) => self.settled_since = Some(now),
            (Some(_), Some(_)) => {}
        }
    }

    /// Lets the next attempt begin soon if the link has nothing left.
    fn reopen(&mut self, now: Instant) {
        if !self.opens || !self.members.is_empty() || !matches!(self.opening, Opening::Idle) {
            return;
        }
        let shift = RETRY_DOUBLINGS - self.failures.min(RETRY_DOUBLINGS);
        let delay = jittered(RETRY_DELAY_MAX / (1 << shift), (self.random)());
        self.failures += 1;
        self.opening = Opening::Waiting(now + delay);
    }
}
