//! Whole nodes of the sans-IO core on a network in memory and a clock that jumps: what handshakes,
//! takeover and shards do together, under timings that no real machine can be made to show.
//!
//! The handshake engine is scripted, so that no test depends on OpenSSL; everything else is real.

// Clippy allows this in `#[test]` functions only, not in what they share.
#![allow(clippy::unwrap_used)]

mod cases;
mod chaos;
mod support;
