//! The sans-IO core of xdtls: handshake machines, record plane, shards.
//!
//! Clock, randomness and I/O are arguments; nothing here knows sockets, OpenSSL or the kernel.
#![forbid(unsafe_code)]

pub mod alert;
pub mod association;
pub mod convergence;
pub mod endpoint;
pub mod engine;
pub mod exchange;
pub mod failure;
pub mod filter;
pub mod handshakes;
pub mod ids;
pub mod key_cache;
pub mod keys;
mod moment;
pub mod name_pattern;
pub mod overlay;
pub mod paths;
pub mod policy;
pub mod prf;
pub mod record_plane;
pub mod rekey;
pub mod replay;
pub mod shard;
pub mod suite;

#[cfg(test)]
mod test_hex;
