//! The system's random number generator.

use ring::rand::{SecureRandom, SystemRandom};

/// 64 random bits.
///
/// # Panics
///
/// If the kernel's generator fails, which it cannot once the system has booted: without it nothing
/// here could be trusted.
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    let filled = SystemRandom::new().fill(&mut bytes);
    assert!(filled.is_ok(), "the kernel's random number generator has failed");
    u64::from_ne_bytes(bytes)
}

/// A source of random bits for the sans-IO core.
pub fn source() -> xdtls_proto::handshakes::Random {
    Box::new(|| random_u64() as u32)
}
