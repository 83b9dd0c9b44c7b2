//! What is asked and answered on the admin socket. Both ends are of one version of the program.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::associations::{Association, Page};
use super::status::Status;
use crate::access::ListName;
use crate::reload::Reloaded;
use crate::trace::{Event, Filter};

/// The longest request, in bytes with its newline.
pub(super) const MAX_REQUEST: u64 = 4096;

/// The longest answer, in bytes with its newline.
pub(super) const MAX_RESPONSE: u64 = 4 << 20;

/// The most associations that one answer lists.
pub(crate) const MAX_LISTED: usize = 1000;

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
    /// The associations behind `after`, by id: at most `limit`, and never more than `MAX_LISTED`.
    Associations {
        /// The last id of the page before.
        after: Option<u32>,
        /// How many.
        limit: usize,
    },
    /// One association.
    Association {
        /// Our id of it.
        id: u32,
    },
    /// End an association with close_notify.
    Close {
        /// Our id of it.
        id: u32,
    },
    /// Read the configuration again.
    Reload,
    /// Begin to watch, or tell what has been seen since the last time.
    Trace {
        /// Whom to watch.
        filter: Filter,
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
    /// Some associations.
    Associations(Page),
    /// One association.
    Association(Box<Association>),
    /// An association was closed.
    Closed {
        /// Our id of it.
        id: u32,
    },
    /// The configuration was read again.
    Reloaded(Reloaded),
    /// What has been seen.
    Traced {
        /// In order.
        events: Vec<Event>,
        /// How many more there were.
        lost: u64,
    },
    /// It does not do what was asked, and why, in words.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}
