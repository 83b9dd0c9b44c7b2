//! The harness of the end-to-end tests: the real programs in network namespaces.
//!
//! ```text
//!   client                gateway                                 backend
//!   programs              xdtls gateway                           udp-echo, or the test itself
//!   xdtls connect         outside.2:4433       inside.1
//!   outside.1 ═══════════ outside.2            inside.1 ═════════ inside.2:9000
//! ```
//!
//! [`Lab`] makes the namespaces, a folder and certificates; [`GatewayConfig`] and [`ClientOptions`]
//! say what to start in it; a [`Node`] is a running gateway or client, whose [`Status`] tells what
//! it has counted. Everything ends with its guard. How packets travel is a parameter of the lab.
#![forbid(unsafe_code)]

mod client;
mod gateway;
mod lab;
mod node;
mod peers;
pub mod pki;
mod programs;
pub mod soak;
mod status;
mod wait;

pub use client::ClientOptions;
pub use gateway::GatewayConfig;
pub use lab::{Family, Lab, OUTSIDE};
pub use node::Node;
pub use peers::{End, PeerConfig, bind_link_program, prepare_peers};
pub use programs::{Probed, exchange, expect, listening, receive, report};
pub use status::Status;
pub use wait::{PATIENCE, eventually};
