//! How datagrams reach the workers and leave them.

pub mod segments;
pub mod socket;
