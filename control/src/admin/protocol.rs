//! What is asked and answered on the admin socket. Both ends are of one version of the program.

use serde::{Deserialize, Serialize};

use super::status::Status;

/// The longest request, in bytes with its newline.
pub(super) const MAX_REQUEST: u64 = 4096;

/// The longest answer, in bytes with its newline.
pub(super) const MAX_RESPONSE: u64 = 4 << 20;

/// What can be asked of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How it is doing.
    Status,
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    /// How it is doing.
    Status(Box<Status>),
    /// It does not do what was asked, and why, in words.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}
