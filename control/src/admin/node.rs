//! A running node as the operator sees it: what it answers and what it can be told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tracing::info;
use xdtls_common::id::LocalId;
use xdtls_proto::shard::AssociationView;

use super::associations::{Association, Page};
use super::protocol::{AccessChange, MAX_LISTED, Request, Response};
use super::server::Answer;
use super::status::{About, BackendStatus, LimitStatus, Status};
use crate::access::ListName;
use crate::datapath::link::{Link, LinkState, LinkStatus};
use crate::inside::health::Health;
use crate::node::Handle;
use crate::registry::Entry;
use crate::reload::Reload;
use crate::trace::{self, Filter, Seen};

/// What bounds a node, as its operator has configured it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Associations.
    pub associations: u32,
    /// Associations in a handshake.
    pub half_open: u32,
    /// Backend flows, where there are backends.
    pub backend_flows: Option<u32>,
    /// Sessions that can be continued, where any are kept.
    pub sessions: Option<u32>,
}

/// The backends of a node and how they are doing.
pub struct Backends {
    /// Names and addresses, in the order of the configuration.
    pub named: Vec<(String, SocketAddr)>,
    /// How they are doing, in the same order.
    pub health: Health,
}

/// A running node.
pub struct Node {
    about: About,
    started: Instant,
    handle: Handle,
    backends: Backends,
    bounds: Mutex<Bounds>,
    reload: Option<Reload>,
    draining: AtomicBool,
}

impl Node {
    /// A node that has just been started. Without `reload` it refuses to.
    pub fn new(
        about: About,
        handle: Handle,
        backends: Backends,
        bounds: Bounds,
        reload: Option<Reload>,
    ) -> Self {
        let (bounds, draining) = (Mutex::new(bounds), AtomicBool::new(false));
        Self { about, started: Instant::now(), handle, backends, bounds, reload, draining }
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        let totals = self.handle.totals();
        let backends: Vec<_> = self.backends.named.iter().zip(&*self.backends.health).collect();
        let backends = backends.into_iter().map(|((name, address), health)| BackendStatus {
            name: name.clone(),
            address: *address,
            flows: health.flows(),
            failing: health.is_failing(),
            failures: health.failures(),
        });
        let backends: Vec<_> = backends.collect();
        let bounds = *self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let flows = backends.iter().map(|backend| backend.flows).sum();
        let limit = |name: &str, used, limit: u32| {
            Some(LimitStatus { name: name.to_owned(), used, limit: limit.into() })
        };
        let limits = [
            limit("associations", totals.associations, bounds.associations),
            limit("half_open", totals.half_open, bounds.half_open),
            bounds.backend_flows.and_then(|bound| limit("backend_flows", flows, bound)),
            bounds.sessions.and_then(|bound| limit("sessions", totals.sessions, bound)),
        ];
        let fast_path = self.handle.fast_path();
        let interface = fast_path.map(|view| view.link.status());
        let inside = fast_path.and_then(|view| view.inside.as_ref()).map(Link::status);
        Status {
            about: self.about_now(interface.as_ref(), inside.as_ref()),
            ready: self.is_ready(),
            uptime_s: self.started.elapsed().as_secs(),
            totals,
            af_xdp: fast_path.map(|view| view.sockets.report()),
            backends,
            limits: limits.into_iter().flatten().collect(),
            interface,
            inside_interface: inside,
        }
    }

    /// What does not change but with the interfaces that XDP was attached to.
    fn about_now(&self, outside: Option<&LinkStatus>, inside: Option<&LinkStatus>) -> About {
        let is_gone = |link: &&LinkStatus| link.state == LinkState::Gone;
        let about = self.about.clone();
        let about =
            outside.filter(is_gone).map_or_else(|| about.clone(), |link| about.without(link));
        inside.filter(is_gone).map_or_else(|| about.clone(), |link| about.without_inside(link))
    }

    /// Whether it takes new associations: it does from its start until it is told to stop.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// Begins no more handshakes.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.handle.drain();
    }

    /// How long associations may end by themselves before it closes them.
    pub fn drain_time(&self) -> Duration {
        self.reload.as_ref().map_or(Duration::ZERO, Reload::drain_time)
    }

    /// Reads the configuration again; all of it or nothing.
    pub fn reload(&self) -> Response {
        let Some(reload) = &self.reload else {
            let reason = "a client takes its configuration from the command line: start it anew";
            return Response::Refused { reason: reason.to_owned() };
        };
        match reload.reload(&self.handle) {
            Ok((reloaded, bounds)) => {
                *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
                let dismissed = reloaded.dismissed;
                info!(changed = ?reloaded.changed, dismissed, "configuration reloaded");
                Response::Reloaded(reloaded)
            }
            Err(reason) => Response::Refused {
                reason: format!("nothing has changed, the configuration is refused:\n{reason}"),
            },
        }
    }

    fn access(&self, list: ListName, change: AccessChange) -> Result<Vec<IpNet>, String> {
        let access = self.reload.as_ref().ok_or("only gateways keep lists of sources")?.access();
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

    fn trace(&self, filter: Filter) -> Response {
        let trace = self.handle.trace();
        match trace.poll(Instant::now(), filter) {
            Ok(Seen { events, lost, began }) => {
                if began {
                    tokio::spawn(trace::end_when_forgotten(trace.clone()));
                }
                Response::Traced { events, lost }
            }
            Err(reason) => Response::Refused { reason },
        }
    }

    async fn page(&self, after: Option<u32>, limit: usize) -> Response {
        let after = after.and_then(LocalId::new);
        let (entries, total) = self.handle.registry().page(after, limit.clamp(1, MAX_LISTED));
        let last = entries.last().map(|(id, _)| *id);
        let more = !self.handle.registry().page(last.or(after), 1).0.is_empty();
        let ids: Vec<_> = entries.iter().map(|(id, _)| *id).collect();
        let views = self.handle.look(&ids).await;
        // What has ended in between has no view.
        let associations = entries
            .iter()
            .zip(views)
            .filter_map(|((id, entry), view)| Some(self.describe(*id, entry, &view?)));
        Response::Associations(Page {
            associations: associations.collect(),
            total,
            next: last.filter(|_| more).map(|id| id.to_string()),
        })
    }

    async fn one(&self, id: LocalId) -> Option<Response> {
        let entry = self.handle.registry().find(id)?;
        let view = self.handle.look(&[id]).await.pop().flatten()?;
        Some(Response::Association(Box::new(self.describe(id, &entry, &view))))
    }

    /// Why there is no such association.
    fn absent(&self, id: u32) -> String {
        let ended = LocalId::new(id).and_then(|id| self.handle.registry().find_ended(id));
        match ended {
            Some(ended) => {
                let (seconds, cause) = (ended.at.elapsed().as_secs(), ended.cause.as_str());
                format!("association {id:08x} has ended {seconds} s ago: {cause}")
            }
            None => format!("there is no association {id:08x}"),
        }
    }

    fn describe(&self, id: LocalId, entry: &Entry, view: &AssociationView) -> Association {
        let backend = self.backends.named.get(usize::from(entry.route));
        Association::new(id, entry, view, backend.map(|(name, _)| name.as_str()))
    }
}

impl Answer for Node {
    async fn answer(&self, request: Request) -> Response {
        let no_such = |id| Response::Refused { reason: self.absent(id) };
        match request {
            Request::Status => Response::Status(Box::new(self.status())),
            Request::Reload => self.reload(),
            Request::Trace { filter } => self.trace(filter),
            Request::Access { list, change } => match self.access(list, change) {
                Ok(prefixes) => Response::Access { prefixes },
                Err(reason) => Response::Refused { reason },
            },
            Request::Associations { after, limit } => self.page(after, limit).await,
            Request::Association { id } => match LocalId::new(id) {
                Some(local) => self.one(local).await.unwrap_or_else(|| no_such(id)),
                None => no_such(id),
            },
            Request::Close { id } => match LocalId::new(id) {
                Some(local) if self.handle.close(local).await => Response::Closed { id },
                _ => no_such(id),
            },
        }
    }
}
