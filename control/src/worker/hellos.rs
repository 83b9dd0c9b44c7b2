//! What a worker judges ClientHellos by, and how many of them it answers.

use std::sync::Arc;

use xdtls_common::front::FrontLimits;
use xdtls_proto::shard::{Front, ReplyLimits};

use crate::cookies::SharedSecrets;
use crate::datapath::link::Link;

/// What the workers of a node that answers ClientHellos have in common.
#[derive(Clone)]
pub struct Hellos {
    /// What judges cookies.
    pub secrets: Arc<SharedSecrets>,
    /// What is allowed each second; in the XDP program each CPU.
    pub limits: FrontLimits,
    /// The interface whose XDP program judges ClientHellos before the workers do, if there is one.
    pub link: Option<Link>,
    /// How many CPUs may run that program.
    pub cpus: u32,
}

impl Hellos {
    /// What judges ClientHellos to `local_port` now.
    pub(super) fn front(&self, local_port: u16) -> Front {
        let (secrets, now_s) = self.secrets.snapshot();
        Front { secrets, now_s, local_port, limits: self.reply_limits() }
    }

    /// What has come past the program, by another interface or in fragments too small to be told, is
    /// answered no more often than what it has let through.
    fn reply_limits(&self) -> ReplyLimits {
        let FrontLimits { replies, replies_per_source, slow_hellos } = self.limits;
        match &self.link {
            Some(link) if !link.is_gone() => {
                ReplyLimits::Slow(slow_hellos.saturating_mul(self.cpus))
            }
            _ => ReplyLimits::First { replies, replies_per_source },
        }
    }
}
