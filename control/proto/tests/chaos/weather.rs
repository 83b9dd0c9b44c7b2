//! What the network is like for a while.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::support::network::Link;
use crate::support::rng::Rng;

/// Nothing worse than this happens to a datagram.
const WORST_PER_MILLE: u64 = 400;

/// A link with some faults, each of some strength.
pub(super) fn link(rng: &mut Rng) -> Link {
    let mut chance = || if rng.per_mille(400) { rng.below(WORST_PER_MILLE) } else { 0 };
    let (loss_per_mille, duplicates_per_mille) = (chance(), chance());
    let (altered_per_mille, cut_per_mille, late_per_mille) = (chance(), chance() / 2, chance());
    let longest = if rng.per_mille(200) { 60 + rng.below(1400) as usize } else { 1472 };
    Link {
        loss_per_mille,
        duplicates_per_mille,
        altered_per_mille,
        cut_per_mille,
        late_per_mille,
        delay: Duration::from_millis(1 + rng.below(60)),
        jitter: Duration::from_millis(rng.below(100) * rng.below(2)),
        longest,
    }
}

/// Who is cut off: mostly nobody.
pub(super) fn cut_off(rng: &mut Rng, addresses: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    if rng.per_mille(800) {
        return BTreeSet::new();
    }
    addresses.iter().copied().filter(|_| rng.per_mille(400)).collect()
}
