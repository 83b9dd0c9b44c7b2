//! Cipher suites that xdtls negotiates.

/// In the making on another branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CipherSuite;
