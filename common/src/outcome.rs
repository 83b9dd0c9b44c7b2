//! What becomes of packets that the XDP program does not drop: one list for its counters, metrics
//! and status.

macro_rules! outcomes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What became of a packet that was not dropped: an index into the map `OUTCOMES`, which
        /// has one counter for each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Outcome {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Outcome {
            /// Every outcome, in the order of their indices.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that metrics and status use.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

outcomes! {
    /// Passed: nothing that this program is for.
    NotOurs = "not_ours",
    /// Passed: a ClientHello with a good cookie, for the control plane.
    ClientHello = "client_hello",
    /// Passed: a ClientHello that only the kernel can judge.
    SlowHello = "slow_hello",
    /// Answered with a HelloVerifyRequest.
    HelloVerifyRequest = "hello_verify_request",
    /// Passed: part of a handshake.
    Handshake = "handshake",
    /// Handed to the AF_XDP socket of the association's worker.
    Redirected = "redirected",
    /// Passed, although it is for a worker: it has no socket on this queue.
    NoSocket = "no_socket",
}

impl Outcome {
    /// How many outcomes there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The outcome's place in [`Outcome::ALL`] and in the counter array.
    pub const fn as_index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_numbered_in_their_order() {
        for (index, outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!(outcome.as_index(), index);
        }
    }
}
