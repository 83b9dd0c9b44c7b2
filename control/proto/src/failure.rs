//! Why handshakes fail: a closed list of classes for metrics, and words for people.

/// The class of a failure, one of few, so that it can be the label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureClass {
    /// The time allowed for the handshake ran out: datagrams were lost, or the peer went away.
    TimedOut,
    /// The peer went silent in the middle; one attempt of several.
    Silent,
    /// The peer has shown no certificate, or one that is not acceptable.
    Authentication,
    /// The peer is who it says, and no rule admits it.
    Policy,
    /// The ends have no protocol version, suite, curve or signature algorithm in common, or the
    /// peer lacks an extension that is required.
    NothingInCommon,
    /// The peer broke the protocol, or its messages were altered on the way.
    Protocol,
    /// A limit of this node was reached.
    Limit,
    /// This node could not do its part.
    Internal,
}

impl FailureClass {
    /// Every class, in the order of [`FailureClass::as_index`].
    pub const ALL: &'static [Self] = &[
        Self::TimedOut,
        Self::Silent,
        Self::Authentication,
        Self::Policy,
        Self::NothingInCommon,
        Self::Protocol,
        Self::Limit,
        Self::Internal,
    ];

    /// How many classes there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The class's place in [`FailureClass::ALL`] and in counter arrays.
    pub const fn as_index(self) -> usize {
        self as usize
    }

    /// The name that metrics, logs and documentation use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::Silent => "silent",
            Self::Authentication => "authentication",
            Self::Policy => "policy",
            Self::NothingInCommon => "nothing_in_common",
            Self::Protocol => "protocol",
            Self::Limit => "limit",
            Self::Internal => "internal",
        }
    }

    /// A failure of this class.
    pub fn because(self, reason: impl Into<String>) -> Failure {
        Failure { class: self, reason: reason.into() }
    }
}

/// Why a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For metrics.
    pub class: FailureClass,
    /// For people.
    pub reason: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn index_name_and_list_agree() {
        let names: BTreeSet<_> = FailureClass::ALL.iter().map(|class| class.as_str()).collect();
        assert_eq!(names.len(), FailureClass::COUNT);
        for (index, class) in FailureClass::ALL.iter().enumerate() {
            assert_eq!(class.as_index(), index);
        }
    }
}
