//! Why handshakes fail, in few classes that can be counted.

/// A class of reasons; the words of each failure say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureClass {
    /// It took longer than it may.
    Timeout,
    /// The peer's certificate was not accepted, or there was none.
    Certificate,
    /// The two ends have no version, cipher suite, group or signature algorithm in common.
    NothingShared,
    /// The peer proved who it is, and no rule admits it.
    Policy,
    /// The peer broke the rules of the protocol, or asked for what we do not do.
    Protocol,
    /// Something at this end: no free id, too many at once, an object that could not be made.
    Local,
}

impl FailureClass {
    /// Every class, in the order of [`FailureClass::as_index`].
    pub const ALL: [Self; 6] = [
        Self::Timeout,
        Self::Certificate,
        Self::NothingShared,
        Self::Policy,
        Self::Protocol,
        Self::Local,
    ];

    /// How many classes there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The class's place in [`FailureClass::ALL`] and in counter arrays.
    pub const fn as_index(self) -> usize {
        self as usize
    }

    /// The name that metrics, status and documentation use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Certificate => "certificate",
            Self::NothingShared => "nothing_shared",
            Self::Policy => "policy",
            Self::Protocol => "protocol",
            Self::Local => "local",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_list_agree() {
        for (index, class) in FailureClass::ALL.into_iter().enumerate() {
            assert_eq!(class.as_index(), index, "{}", class.as_str());
        }
    }
}
