//! The program `xdtls` as a library: what the thin `main` wires together.
//!
//! `unsafe` stands only in the modules that allow it by name: system calls that no crate offers
//! ([`sys`]), and what the openssl crate lacks.
#![deny(unsafe_code)]

pub mod access;
pub mod admin;
pub mod check;
pub mod cli;
pub mod config;
pub mod connect;
pub mod cookies;
pub mod counters;
mod credentials;
pub mod datapath;
pub mod dev_certs;
pub mod doctor;
pub mod exit;
pub mod finding;
pub mod gateway;
pub mod handshake;
pub mod handshake_pool;
mod hex;
pub mod inside;
pub mod lifecycle;
pub mod links;
pub mod mailbox;
pub mod messages;
pub mod metrics;
pub mod node;
pub mod notify;
pub mod peer;
pub mod privileges;
pub mod random;
pub mod registry;
pub mod reload;
pub mod sys;
pub mod trace;
mod wall_clock;
pub mod worker;
pub mod xsk;
