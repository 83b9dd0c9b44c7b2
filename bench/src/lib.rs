//! A packet generator in the kernel, and what xdtls is measured with and against.
#![forbid(unsafe_code)]

pub mod associations;
pub mod bound;
mod client;
mod cores;
mod echo;
pub mod experiment;
pub mod flood;
pub mod forward;
pub mod generator;
pub mod handshakes;
pub mod hello;
pub mod interrupt;
pub mod kind;
pub mod lab;
pub mod measure;
pub mod numbers;
pub mod openssl_pair;
pub mod outcome;
mod plot;
pub mod process_cost;
pub mod record;
pub mod report;
pub mod scale;
pub mod steer;
