//! Whole nodes of the sans-IO core on a network in memory and a clock that jumps: what handshakes,
//! takeover and shards do together, under timings that no real machine can be made to show.
//!
//! The handshake engine is scripted, so that no test depends on OpenSSL; everything else is real.

// Clippy allows this in `#[test]` functions only, not in what they share.
#![allow(clippy::unwrap_used)]

mod cases;
mod chaos;
mod convergence;
mod support;

/// What all tests allocate, counted.
#[global_allocator]
static HEAP: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);
