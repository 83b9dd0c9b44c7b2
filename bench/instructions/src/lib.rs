//! Sealing and opening without a machine around them: [`shards`] are made without handshakes, and
//! [`work`] is what valgrind counts the instructions of.
#![forbid(unsafe_code)]

pub mod shards;
pub mod work;
