//! The sans-IO core of xdtls: handshake machines, record plane, shards.
//!
//! Clock, randomness and I/O are arguments; nothing here knows sockets, OpenSSL or the kernel.
#![forbid(unsafe_code)]

pub mod engine;
pub mod keys;
pub mod prf;
pub mod record_plane;
pub mod replay;
pub mod suite;

#[cfg(test)]
mod test_hex;
