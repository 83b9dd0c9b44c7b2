//! What a running node answers.

use std::time::Instant;

use super::protocol::{Request, Response};
use super::server::Answer;
use super::status::{About, Status};
use crate::node::Handle;

/// A running node, as the admin socket sees it.
pub struct Node {
    about: About,
    started: Instant,
    handle: Handle,
}

impl Node {
    /// A node that has just been started.
    pub fn new(about: About, handle: Handle) -> Self {
        Self { about, started: Instant::now(), handle }
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
        }
    }
}
