//! The program `xdtls` as a library: what the thin `main` wires together.

pub mod config;
