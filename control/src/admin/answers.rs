//! What a running node answers.

use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;

use super::protocol::{AccessChange, Request, Response};
use super::server::Answer;
use super::status::{About, Status};
use crate::access::{AccessList, ListName};
use crate::node::Handle;

/// A running node, as the admin socket sees it.
pub struct Node {
    about: About,
    started: Instant,
    handle: Handle,
    /// Only gateways have one.
    access: Option<Arc<AccessList>>,
}

impl Node {
    /// A node that has just been started.
    pub fn new(about: About, handle: Handle) -> Self {
        Self { about, started: Instant::now(), handle, access: None }
    }

    /// The same for a node that keeps lists of sources.
    #[must_use]
    pub fn with_access(self, access: Arc<AccessList>) -> Self {
        Self { access: Some(access), ..self }
    }

    fn access(&self, list: ListName, change: AccessChange) -> Result<Vec<IpNet>, String> {
        let access = self.access.as_ref().ok_or("only gateways keep lists of sources")?;
        let changed = match change {
            AccessChange::Keep => Ok(()),
            AccessChange::Add(prefix) => access.change(|rules| rules.list_mut(list).push(prefix)),
            AccessChange::Remove(prefix) => {
                let prefix = prefix.trunc();
                if !access.rules().list(list).contains(&prefix) {
                    return Err(format!("{prefix} is not on the list"));
                }
                access.change(|rules| rules.list_mut(list).retain(|entry| *entry != prefix))
            }
        };
        changed.map_err(|error| error.to_string())?;
        Ok(access.rules().list(list).to_vec())
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        Status {
            about: self.about.clone(),
            uptime_s: self.started.elapsed().as_secs(),
            totals: self.handle.totals(),
        }
    }
}

impl Answer for Node {
    async fn answer(&self, request: Request) -> Response {
        match request {
            Request::Status => Response::Status(Box::new(self.status())),
            Request::Access { list, change } => match self.access(list, change) {
                Ok(prefixes) => Response::Access { prefixes },
                Err(reason) => Response::Refused { reason },
            },
        }
    }
}
