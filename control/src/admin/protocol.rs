//! What is asked and answered on the admin socket. Both ends are of one version of the program.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::status::Status;
use crate::access::ListName;

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
    /// One of the lists of sources, perhaps after a change.
    Access {
        /// Which list.
        list: ListName,
        /// What is to be done to it first.
        change: AccessChange,
    },
}

/// A change of a list of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessChange {
    /// None.
    Keep,
    /// One prefix more.
    Add(IpNet),
    /// One prefix less.
    Remove(IpNet),
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    /// How it is doing.
    Status(Box<Status>),
    /// The list that was asked for, as it is now.
    Access {
        /// Its prefixes, in order.
        prefixes: Vec<IpNet>,
    },
    /// It does not do what was asked, and why, in words.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}
