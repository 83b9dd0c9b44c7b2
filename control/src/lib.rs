//! Placeholder.

pub mod handshake;
