//! xdtls on network cards: a gateway loaded on an interface and taken off again, packets generated
//! at it and each of them accounted for, and a lab: an emulated machine with two cards on which
//! all of that is tried with the drivers of real ones.
//!
//! `cargo xtask load`, `unload`, `pktgen` and `lab` build what they need and become the program of
//! this crate.
#![forbid(unsafe_code)]

pub mod guest;
pub mod lab;
pub mod load;
pub mod pktgen;
