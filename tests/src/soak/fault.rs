//! What can happen to a gateway and its surroundings.

use std::ops::RangeInclusive;

use xdtls_netlab::Random;

/// A fault, which lasts for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// The gateway's end of the outside link is down.
    LinkDown,
    /// The clients' end is.
    FarLinkDown,
    /// The gateway's end of the inside link is.
    InsideDown,
    /// The outside interface has an MTU of 1280.
    SmallMtu,
    /// One client's road loses much in both directions.
    Loss,
    /// The backend is stopped (SIGSTOP).
    BackendStopped,
    /// The backend is killed.
    BackendGone,
    /// The gateway is stopped (SIGSTOP).
    GatewayStopped,
    /// Bad packets come now and then, of every kind that is dropped for a reason of its own.
    Garbage,
    /// The same as fast as one thread sends them.
    Flood,
    /// The gateway reads another configuration.
    Reload,
    /// All clients are on the list of those who may not send.
    Denied,
    /// The gateway is told to end (SIGTERM) and started again.
    Restarted,
    /// One client has another address towards the gateway.
    Rebound,
    /// The gateway is stopped for longer than a peer may be silent.
    StoppedForLong,
    /// The gateway is killed and started again.
    Killed,
}

/// What a fault happens to: of two faults at the same time it is not the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    Inside,
    Road,
    Backend,
    Gateway,
    Senders,
}

impl Fault {
    /// Those after which traffic goes on at once.
    pub(super) const QUICK: [Self; 13] = [
        Self::LinkDown,
        Self::FarLinkDown,
        Self::InsideDown,
        Self::SmallMtu,
        Self::Loss,
        Self::BackendStopped,
        Self::BackendGone,
        Self::GatewayStopped,
        Self::Garbage,
        Self::Flood,
        Self::Reload,
        Self::Denied,
        Self::Restarted,
    ];

    /// Those that clients notice by the gateway's silence, which takes 30 s.
    pub(super) const SLOW: [Self; 3] = [Self::Killed, Self::Rebound, Self::StoppedForLong];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LinkDown => "outside link down at the gateway",
            Self::FarLinkDown => "outside link down at the clients",
            Self::InsideDown => "inside link down",
            Self::SmallMtu => "outside MTU 1280",
            Self::Loss => "loss both ways",
            Self::BackendStopped => "backend stopped",
            Self::BackendGone => "backend gone",
            Self::GatewayStopped => "gateway stopped",
            Self::Garbage => "garbage",
            Self::Flood => "flood",
            Self::Reload => "reload",
            Self::Denied => "clients denied",
            Self::Restarted => "gateway restarted",
            Self::Rebound => "client's address changed",
            Self::StoppedForLong => "gateway stopped for 31 s",
            Self::Killed => "gateway killed",
        }
    }

    /// How long it lasts, in milliseconds.
    pub(super) fn lasts(self) -> RangeInclusive<usize> {
        match self {
            Self::Restarted | Self::Rebound | Self::Killed => 0..=500,
            Self::StoppedForLong => 31_000..=31_000,
            _ => 200..=2_500,
        }
    }

    /// Whether associations end because of it.
    pub(super) fn ends_associations(self) -> bool {
        matches!(self, Self::Restarted | Self::StoppedForLong | Self::Killed)
    }

    fn place(self) -> Place {
        match self {
            Self::LinkDown | Self::FarLinkDown | Self::SmallMtu => Place::Outside,
            Self::InsideDown => Place::Inside,
            Self::Loss | Self::Rebound => Place::Road,
            Self::BackendStopped | Self::BackendGone => Place::Backend,
            Self::Garbage | Self::Flood => Place::Senders,
            Self::GatewayStopped
            | Self::Reload
            | Self::Denied
            | Self::Restarted
            | Self::StoppedForLong
            | Self::Killed => Place::Gateway,
        }
    }

    /// Whether both may last at the same time. A goodbye that does not arrive costs its client
    /// 30 s, so that a restart comes alone.
    fn goes_with(self, other: Self) -> bool {
        let alone = [Self::Restarted, Self::Rebound];
        self.place() != other.place() && !alone.contains(&self) && !alone.contains(&other)
    }
}

/// Faults in random order: each comes as often as the others, some together with another.
pub(super) struct Deck {
    random: Random,
    slow: bool,
    /// The slow faults that are left before all come again.
    slow_left: Vec<Fault>,
    left: Vec<Fault>,
}

impl Deck {
    /// What a seed decides on; each quick fault once and one slow one come by turns, if slow ones
    /// are asked for.
    pub(super) fn new(seed: u64, slow: bool) -> Self {
        Self { random: Random::new(seed), slow, slow_left: Vec::new(), left: Vec::new() }
    }

    /// The next fault, or the next two that last at the same time, and for how many milliseconds.
    pub(super) fn draw(&mut self) -> (Vec<Fault>, u64) {
        if self.left.is_empty() {
            self.left = shuffled(&Fault::QUICK, &mut self.random);
            if self.slow {
                if self.slow_left.is_empty() {
                    self.slow_left = shuffled(&Fault::SLOW, &mut self.random);
                }
                let place = self.random.within(&(0..=self.left.len()));
                self.slow_left.pop().into_iter().for_each(|fault| self.left.insert(place, fault));
            }
        }
        let mut faults: Vec<_> = self.left.pop().into_iter().collect();
        let together = self.random.draw().is_multiple_of(2);
        if let Some(next) = self.left.last()
            && together
            && faults[0].goes_with(*next)
        {
            faults.extend(self.left.pop());
        }
        let lasts = faults.iter().map(|fault| self.random.within(&fault.lasts()) as u64).max();
        (faults, lasts.unwrap_or_default())
    }
}

fn shuffled(faults: &[Fault], random: &mut Random) -> Vec<Fault> {
    let mut faults = faults.to_vec();
    for last in (1..faults.len()).rev() {
        faults.swap(last, random.within(&(0..=last)));
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_fault_comes_and_a_seed_decides_on_the_order() {
        let deal = |seed, slow, count| {
            let mut deck = Deck::new(seed, slow);
            let mut dealt = Vec::new();
            while dealt.len() < count {
                dealt.extend(deck.draw().0);
            }
            dealt
        };
        assert_eq!(deal(1, true, 100), deal(1, true, 100));
        assert_ne!(deal(1, true, 100), deal(2, true, 100));
        let count = |faults: Vec<Fault>| {
            let mut counts = BTreeMap::<_, usize>::new();
            faults.into_iter().for_each(|fault| *counts.entry(fault).or_default() += 1);
            counts
        };
        assert_eq!(count(deal(1, false, 13)).len(), 13);
        let all = count(deal(1, true, 3 * 14));
        assert_eq!(all.len(), 16);
        assert!(Fault::SLOW.iter().all(|fault| all[fault] == 1), "{all:?}");
        let mut deck = Deck::new(3, true);
        let pairs: Vec<_> = (0..200).map(|_| deck.draw().0).filter(|it| it.len() == 2).collect();
        assert!(pairs.len() > 20, "{}", pairs.len());
        assert!(pairs.iter().all(|pair| pair[0].place() != pair[1].place()));
    }
}
