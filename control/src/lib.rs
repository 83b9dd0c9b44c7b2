//! The program `xdtls` as a library: what the thin `main` wires together.

pub mod config;
pub mod dev_certs;
