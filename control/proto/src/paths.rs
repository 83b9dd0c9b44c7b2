//! Where an association's peer is, and how it moves (RFC 9146 §6, RFC 9853 §6).
//!
//! There is one *validated* path: that of the handshake, or the last one whose challenge was
//! answered. An authentic record newer than all before that comes from elsewhere makes known one
//! *new* path. What we send follows it, but never more than three times the bytes received from
//! there, until the peer has answered a challenge from there. A record newer than all before that
//! comes from the validated path leads back to it at once, an unanswered challenge in the end; what
//! has been received before moves nothing.
//!
//! After a challenge that was not answered nothing but challenges goes to a new path, until one
//! succeeds: who only copies packets faster than the network carries them diverts answers once.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use xdtls_common::DropReason;

use crate::endpoint::Endpoint;
use crate::moment::Moment;

/// How many times the bytes received from a new path may be sent there (RFC 9000 §8.1).
pub const AMPLIFICATION_MAX: u64 = 3;

/// Challenges of one new path.
pub const CHALLENGES: usize = 6;

/// Time between two of them, and after the last.
pub const CHALLENGE_EVERY: Duration = Duration::from_millis(500);

/// What a challenge carries and its answer repeats.
pub(crate) type Cookie = [u8; 8];

/// What has happened to the way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathChange {
    /// The newest record has come from a new address.
    New,
    /// The new address has answered its challenge.
    Validated,
    /// The new address has not answered, or the peer does not want it: back to the validated one.
    Failed,
    /// The newest record has come from the validated address again.
    Back,
}

impl PathChange {
    /// The change in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "the peer writes from a new address",
            Self::Validated => "the peer's new address is validated",
            Self::Failed => "the peer's new address did not answer: back to the old one",
            Self::Back => "the peer is back at its old address",
        }
    }
}

/// What a new path needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathDue {
    Nothing,
    Challenge,
    GiveUp,
}

/// The ways to one peer.
pub(crate) struct Paths {
    validated: Kept,
    /// Only of a peer that moves or has moved in vain: associations that stay where they are pay a
    /// pointer.
    moves: Option<Box<Moves>>,
}

/// An [`Endpoint`] in 40 bytes instead of 52: all of it but IPv6's flow label, which is the sender's
/// to choose.
struct Kept {
    remote: IpAddr,
    remote_port: u16,
    remote_scope: u32,
    local: Option<IpAddr>,
}

impl Kept {
    fn new(endpoint: Endpoint) -> Self {
        let Endpoint { remote, local } = endpoint;
        let remote_scope = match remote {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(remote) => remote.scope_id(),
        };
        Self { remote: remote.ip(), remote_port: remote.port(), remote_scope, local }
    }

    fn endpoint(&self) -> Endpoint {
        let port = self.remote_port;
        let remote = match self.remote {
            IpAddr::V4(remote) => (remote, port).into(),
            IpAddr::V6(remote) => SocketAddrV6::new(remote, port, 0, self.remote_scope).into(),
        };
        Endpoint { remote, local: self.local }
    }
}

#[derive(Default)]
struct Moves {
    new: Option<NewPath>,
    /// The last challenge was not answered.
    wary: bool,
}

struct NewPath {
    endpoint: Endpoint,
    received: u64,
    sent: u64,
    /// `None` where the peer does not know challenges: such a path is never validated.
    challenges: Option<Challenges>,
}

struct Challenges {
    cookies: [Cookie; CHALLENGES],
    sent: usize,
    next: Moment,
}

impl Paths {
    /// The path of a handshake: whoever has finished it has received something there.
    pub(crate) fn validated_by_handshake(endpoint: Endpoint) -> Self {
        Self { validated: Kept::new(endpoint), moves: None }
    }

    /// Where everything goes.
    pub(crate) fn current(&self) -> Endpoint {
        match self.moves.as_deref() {
            Some(Moves { new: Some(new), wary: false }) => new.endpoint,
            _ => self.validated(),
        }
    }

    /// Where the peer is known to receive.
    pub(crate) fn validated(&self) -> Endpoint {
        self.validated.endpoint()
    }

    /// Where the peer writes from, while nobody knows whether it receives there.
    pub(crate) fn new_path(&self) -> Option<Endpoint> {
        Some(self.new()?.endpoint)
    }

    fn new(&self) -> Option<&NewPath> {
        self.moves.as_ref()?.new.as_ref()
    }

    fn new_mut(&mut self) -> Option<&mut NewPath> {
        self.moves.as_mut()?.new.as_mut()
    }

    /// The peer is back at the validated path: whether there was a new one.
    fn back(&mut self) -> bool {
        let Some(moves) = &mut self.moves else { return false };
        let was_new = moves.new.take().is_some();
        self.moves.take_if(|moves| !moves.wary);
        was_new
    }

    /// An authentic record that was not received before has come, `bytes` of a datagram; `newest`
    /// if its sequence number is above all before, `challenges` if the peer answers challenges.
    pub(crate) fn heard(
        &mut self,
        now: Moment,
        from: &Endpoint,
        bytes: usize,
        newest: bool,
        challenges: bool,
    ) -> Option<PathChange> {
        let validated = self.validated();
        if validated.is_of_same_peer(from) {
            return (newest && self.back()).then_some(PathChange::Back);
        }
        match self.new_mut() {
            Some(new) if new.endpoint.is_of_same_peer(from) => {
                new.received += bytes as u64;
                None
            }
            _ if newest => {
                let remote = validated.name(from.remote);
                // Who has left the choice of its own address to the kernel goes on to do so.
                let local = validated.local.and(from.local);
                self.moves.get_or_insert_default().new = Some(NewPath {
                    endpoint: Endpoint { remote, local },
                    received: bytes as u64,
                    sent: 0,
                    challenges: challenges.then_some(Challenges {
                        cookies: [[0; 8]; CHALLENGES],
                        sent: 0,
                        next: now,
                    }),
                });
                Some(PathChange::New)
            }
            _ => None,
        }
    }

    /// Asks whether a datagram of `length` bytes may be sent to `to`, and counts it if so.
    pub(crate) fn allow(&mut self, to: &Endpoint, length: usize) -> Result<(), DropReason> {
        let Some(new) = self.new_mut().filter(|new| new.endpoint.is_of_same_peer(to)) else {
            return Ok(());
        };
        let sent = new.sent + length as u64;
        if sent > AMPLIFICATION_MAX * new.received {
            return Err(DropReason::UnvalidatedPath);
        }
        new.sent = sent;
        Ok(())
    }

    /// When [`Paths::due`] says something else than nothing.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        Some(self.new()?.challenges.as_ref()?.next)
    }

    pub(crate) fn due(&self, now: Moment) -> PathDue {
        let challenges = self.new().and_then(|new| new.challenges.as_ref());
        match challenges.filter(|challenges| challenges.next <= now) {
            None => PathDue::Nothing,
            Some(challenges) if challenges.sent < CHALLENGES => PathDue::Challenge,
            Some(_) => PathDue::GiveUp,
        }
    }

    /// Where the next challenge goes, which is going to carry `cookie`.
    pub(crate) fn challenge(&mut self, now: Moment, cookie: Cookie) -> Option<Endpoint> {
        let new = self.new_mut()?;
        let challenges = new.challenges.as_mut()?;
        *challenges.cookies.get_mut(challenges.sent)? = cookie;
        challenges.sent += 1;
        // Timers come up somewhat late, which is not to add up.
        challenges.next = (challenges.next + CHALLENGE_EVERY).max(now);
        Some(new.endpoint)
    }

    /// A path_response has come: whether it validates the new path. It must come from there
    /// (RFC 9853 §6.4), as an answer to any of the challenges that were sent there.
    pub(crate) fn answered(&mut self, from: &Endpoint, cookie: Cookie) -> bool {
        let Some(new) = self.new_path().filter(|new| new.is_of_same_peer(from)) else {
            return false;
        };
        let answered = self.has_asked(cookie);
        if answered {
            self.validated = Kept::new(new);
            self.moves = None;
        }
        answered
    }

    /// Whether a challenge with this cookie is out.
    pub(crate) fn has_asked(&self, cookie: Cookie) -> bool {
        let challenges = self.new().and_then(|new| new.challenges.as_ref());
        challenges.is_some_and(|asked| asked.cookies[..asked.sent].contains(&cookie))
    }

    /// Gives the new path up.
    pub(crate) fn give_up(&mut self) {
        self.moves = Some(Box::new(Moves { new: None, wary: true }));
    }
}
