//! How often a shard answers ClientHellos that carry no cookie: budgets as the XDP program has them,
//! for what reaches a worker instead.

use xdtls_common::DropReason;
use xdtls_common::budget::{Sketch, interval_ns, spend};
use xdtls_common::cookie::ring_index;

use super::Front;
use crate::moment::Moment;

/// How often a second a shard sends HelloVerifyRequests; 0 is no limit. Beyond it ClientHellos are
/// dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyLimits {
    /// Where nobody answers before the shard.
    First {
        /// Altogether.
        replies: u32,
        /// To one source prefix, /32 of IPv4 or /64 of IPv6.
        replies_per_source: u32,
    },
    /// Where the driver answers, and the shard only what the driver cannot judge or has not seen.
    Slow(u32),
}

impl ReplyLimits {
    /// Every ClientHello is answered.
    pub const NONE: Self = Self::Slow(0);
}

/// What a shard has spent.
#[derive(Default)]
pub(super) struct Replies {
    spent_until_ns: u64,
    sources: Box<Sketch>,
}

impl Replies {
    /// Pays for a reply to `source`, an address as [`xdtls_common::cookie::mapped`] has it: the source
    /// first, lest one source spend what belongs to all.
    pub(super) fn pay(
        &mut self,
        now: Moment,
        front: &Front,
        source: [u8; 16],
    ) -> Result<(), DropReason> {
        let now_ns = now.nanoseconds();
        let (limit, reason) = match front.limits {
            ReplyLimits::Slow(limit) => (limit, DropReason::SlowHelloLimit),
            ReplyLimits::First { replies, replies_per_source } => {
                let key = front.secrets.0[ring_index(front.now_s)].sketch();
                let interval_ns = interval_ns(replies_per_source);
                if !self.sources.spend(source, key, now_ns, interval_ns) {
                    return Err(DropReason::SourceReplyLimit);
                }
                (replies, DropReason::ReplyLimit)
            }
        };
        let paid = spend(&mut self.spent_until_ns, now_ns, interval_ns(limit));
        if paid { Ok(()) } else { Err(reason) }
    }
}
