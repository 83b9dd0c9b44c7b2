//! Why AF_XDP could not be had, and which gate is likely to be closed.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Mapping the memory for frames.
    AllocateMemory,
    /// Making the socket.
    OpenSocket,
    /// Giving the memory to the kernel.
    RegisterMemory,
    /// Making or mapping a ring.
    MakeRing,
    /// Binding the socket to its queue.
    Bind,
}

impl Step {
    /// As part of a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllocateMemory => "allocating memory for frames",
            Self::OpenSocket => "opening an AF_XDP socket",
            Self::RegisterMemory => "registering memory for frames",
            Self::MakeRing => "making a ring",
            Self::Bind => "binding an AF_XDP socket",
        }
    }
}

/// Why a set could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum XskError {
    /// The options contradict each other.
    #[error("AF_XDP options: {0}")]
    Options(&'static str),
    /// The kernel refused.
    #[error("{place}: {} failed: {source}{}", step.as_str(), Hint(self.gate()))]
    Kernel {
        /// What was being done.
        step: Step,
        /// For which socket.
        place: Place,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Which socket of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The index of the interface.
    pub interface: u32,
    /// The queue of the interface.
    pub queue: u32,
    /// The shard.
    pub shard: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, queue, shard } = self;
        write!(f, "interface {interface}, queue {queue}, shard {shard}")
    }
}

struct Hint(Option<&'static str>);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |gate| write!(f, " ({gate})"))
    }
}

impl XskError {
    pub(super) fn kernel(step: Step, place: Place, source: impl Into<io::Error>) -> Self {
        Self::Kernel { step, place, source: source.into() }
    }

    /// What the kernel said, if it was the kernel.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Options(_) => None,
            Self::Kernel { source, .. } => Errno::from_io_error(source),
        }
    }

    /// What probably stands in the way, and what would remove it.
    pub fn gate(&self) -> Option<&'static str> {
        let Self::Kernel { step, .. } = self else { return None };
        Some(match (step, self.errno()?) {
            (Step::OpenSocket, Errno::PERM | Errno::ACCESS) => {
                "AF_XDP needs the capability CAP_NET_RAW; a seccomp filter may forbid it, too"
            }
            (Step::OpenSocket, Errno::AFNOSUPPORT) => "the kernel is built without XDP_SOCKETS",
            (_, Errno::PERM | Errno::ACCESS) => "CAP_NET_RAW or CAP_NET_ADMIN is missing",
            (Step::Bind, Errno::BUSY) => "other AF_XDP memory (UMEM) is already on this queue",
            (Step::Bind, Errno::OPNOTSUPP) => {
                "the driver has no zero-copy; without requiring it, the kernel copies"
            }
            (Step::Bind, Errno::INVAL) => {
                "the interface has no such queue, or its driver refuses the size of frames or rings"
            }
            (Step::Bind, Errno::NODEV) => "there is no such interface in this network namespace",
            (_, Errno::NETDOWN) => "the interface is down",
            (_, Errno::NOBUFS | Errno::NOMEM | Errno::AGAIN) => {
                "out of memory, or above RLIMIT_MEMLOCK without CAP_IPC_LOCK: raise it with \
                 `ulimit -l unlimited`, or LimitMEMLOCK=infinity in the unit"
            }
            _ => return None,
        })
    }
}
