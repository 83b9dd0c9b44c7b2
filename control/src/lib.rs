//! The program `xdtls` as a library: what the thin `main` wires together.

pub mod cli;
pub mod config;
pub mod dev_certs;
pub mod handshake;
