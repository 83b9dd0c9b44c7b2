//! What the tests share: a scripted handshake engine, nodes, the network between them, and a forger
//! who knows all keys.

pub(crate) mod ancestry;
pub(crate) mod engine;
pub(crate) mod foreign;
pub(crate) mod forger;
pub(crate) mod mail;
pub(crate) mod messages;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod rng;
pub(crate) mod scripted;
pub(crate) mod world;
