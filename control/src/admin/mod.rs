//! Looking into a running node and steering it: a Unix socket (mode 0660) that takes one line of
//! JSON, a [`Request`], and answers with one line of JSON, a [`Response`].
//!
//! Lines are bounded both ways. Callers do not wait for each other; there is a bound on how many are
//! served at once, and on how long one may take.

mod associations;
pub mod client;
pub mod commands;
#[cfg(test)]
pub(crate) mod made_up;
mod node;
mod protocol;
mod server;
pub mod show;
mod status;

pub use associations::{Association, Page};
pub use node::{Backends, Bounds, Node};
pub use protocol::{AccessChange, Request, Response};
pub use server::{Answer, serve};
pub use status::{About, BackendStatus, LimitStatus, Status};
