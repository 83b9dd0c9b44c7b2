//! `xdtls gateway`: answers handshakes on one port and forwards to backends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};
use xdtls_common::prefix::PREFIX_LEN;
use xdtls_proto::endpoint::max_payload;
use xdtls_proto::handshakes::Limits;
use xdtls_proto::handshakes::responders::Responders;
use xdtls_proto::shard::{Shard, ShardConfig};
use xdtls_proto::suite::Aead;

use crate::access::AccessList;
use crate::admin::{self, About, Backends, Bounds, Node, Response};
use crate::cli::Gateway;
use crate::config::Config;
use crate::cookies::SharedSecrets;
use crate::counters::Place;
use crate::credentials::{Credentials, route_policy};
use crate::datapath::fast_path;
use crate::datapath::socket::Channel;
use crate::datapath::xdp::{Answering, Program};
use crate::inside::forward::{Backend, FlowLimits, Forward};
use crate::inside::health::{BackendHealth, Health};
use crate::lifecycle::Signals;
use crate::metrics;
use crate::node::{Running, Shape, Wiring, start_worker};
use crate::reload::Reload;
use crate::worker::{Parts, poll_descriptor};
use crate::{notify, privileges, random};

/// Headers in front of a UDP payload with IPv6 and our prefix, in bytes: what a handshake datagram
/// loses of the path MTU whatever the family.
pub(crate) const HEADERS_LEN: u16 = 40 + 8 + 8;

/// How often a cookie secret is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(xdtls_common::cookie::PERIOD_S as u64);

/// Runs until told to stop by SIGTERM or SIGINT; SIGHUP reads the configuration again.
pub async fn run(arguments: Gateway) -> Result<()> {
    let mut config = Config::load(&arguments.config)?;
    config.gateway.datapath = arguments.datapath.clone().over(config.gateway.datapath);
    raise_descriptor_limit();
    let mut signals = Signals::listen()?;
    let listener = metrics::bind(config.metrics.listen).await?;
    let secrets = Arc::new(SharedSecrets::new());
    let shape = shape(&config)?;
    let health = BackendHealth::of(config.backends.len());
    let access = Arc::new(AccessList::new(config.access.clone()));
    let credentials = Credentials::read(&config)?;
    let entrance = Entrance { credentials: &credentials, secrets: &secrets, access: &access };
    let (running, about) = start(&config, shape, entrance, &health).await?;
    let address = about.address;
    let backends = Backends { named: named(&config), health };
    let overrides = arguments.datapath;
    let reload =
        Reload::new(arguments.config, overrides, shape, access, config.clone(), credentials.psk);
    let node = Node::new(about, running.handle(), backends, bounds(&config), Some(reload));
    let node = Arc::new(node);
    let life = async {
        signals.until_told_to_stop(&running).await?;
        notify::stopping();
        node.drain();
        signals.drain(&running, node.drain_time()).await;
        Ok(())
    };
    info!(
        %address,
        workers = config.gateway.workers,
        handshake_workers = config.gateway.handshake_workers,
        "gateway is ready",
    );
    notify::ready();
    let outcome = tokio::select! {
        outcome = admin::serve(config.admin.socket.as_deref(), node.clone()) => outcome,
        outcome = metrics::serve(listener, node.clone()) => outcome,
        outcome = reload_on_hangup(&node) => outcome,
        () = renew(&secrets) => Ok(()),
        () = notify::watchdog() => Ok(()),
        outcome = life => outcome,
    };
    signals.stop(running).await.and(outcome)
}

async fn renew(secrets: &SharedSecrets) {
    let mut timer = tokio::time::interval(RENEW_EVERY);
    loop {
        timer.tick().await;
        secrets.renew();
    }
}

async fn reload_on_hangup(node: &Node) -> Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    while hangup.recv().await.is_some() {
        notify::reloading();
        if let Response::Refused { reason } = node.reload() {
            error!("{reason}");
        }
        notify::ready();
    }
    std::future::pending().await
}

/// Each backend flow is a descriptor: asks for as many as this process may have.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "cannot raise the limit of open files; backend flows may be refused early");
    }
}

fn shape(config: &Config) -> Result<Shape> {
    let gateway = &config.gateway;
    let workers = gateway.workers as u32;
    Ok(Shape::new(config.limits.associations, workers, gateway.handshake_workers)?)
}

/// Names and addresses of the backends.
fn named(config: &Config) -> Vec<(String, SocketAddr)> {
    config.backends.iter().map(|backend| (backend.name.clone(), backend.address)).collect()
}

/// The largest plaintext towards a peer of this family, in bytes: what IP, UDP, the prefix and the
/// longer of the record formats leave of the path MTU.
pub(crate) fn max_plaintext(path_mtu: u16, peer: SocketAddr) -> u16 {
    let around = PREFIX_LEN + Aead::Aes128Gcm.record_overhead();
    max_payload(path_mtu, peer) - around as u16
}

/// What is bounded, for `status`.
pub(crate) fn bounds(config: &Config) -> Bounds {
    Bounds {
        associations: config.limits.associations,
        half_open: config.limits.half_open,
        backend_flows: Some(config.limits.backend_flows),
        sessions: Some(config.limits.sessions.sessions).filter(|sessions| *sessions > 0),
    }
}

/// What whoever wants to come in has to get past.
#[derive(Clone, Copy)]
struct Entrance<'a> {
    credentials: &'a Credentials,
    secrets: &'a Arc<SharedSecrets>,
    access: &'a Arc<AccessList>,
}

async fn start(
    config: &Config,
    shape: Shape,
    Entrance { credentials, secrets, access }: Entrance<'_>,
    health: &Health,
) -> Result<(Running, About)> {
    let Credentials { acceptor, admission, .. } = credentials;
    let channels = Channel::bind_shards(config.gateway.listen, shape.layout)
        .with_context(|| cannot_listen(config.gateway.listen))?;
    let address = channels[0].local_address()?;
    let answering =
        Answering { secrets: secrets.clone(), limits: config.limits.front, access: access.clone() };
    let datapath = &config.gateway.datapath;
    let chosen = fast_path::open(datapath, address, &shape, Some(answering)).await?;
    privileges::drop(config.process.user.as_deref(), chosen.fast_path.is_some())?;
    let about = About {
        workers: config.gateway.workers,
        handshake_workers: config.gateway.handshake_workers,
        ..About::new("gateway", address, max_plaintext(config.gateway.path_mtu, address), &chosen)
    };
    let next_hops = chosen.fast_path.as_ref().and_then(|fast| fast.next_hops.clone());
    let view = chosen.fast_path.as_ref().map(|fast| fast.view.clone());
    let (program, shards) = chosen.fast_path.map(|fast| (fast.program, fast.shards)).unzip();
    let mut shards = shards.into_iter().flatten();

    let mut wiring = Wiring::new(shape)?;
    wiring.admit_by(admission.clone());
    let limits = limits(config, shape);
    let handshakes =
        wiring.start_handshakes(&channels[0], program.as_ref(), |ids, ancestors| {
            let policy = route_policy(admission.clone());
            Responders::new(acceptor.clone(), ids, limits.clone(), policy, random::source())
                .with_ancestors(ancestors)
        })?;
    let mut workers = Vec::new();
    let mailboxes = std::mem::take(&mut wiring.worker_mail);
    for (index, (channel, mailbox)) in channels.iter().zip(mailboxes).enumerate() {
        let poll = poll_descriptor()?;
        let counters = wiring.new_counters(Place::Worker);
        let surroundings =
            crate::inside::Surroundings { poll: poll.clone(), counters: counters.clone() };
        let shard = ShardConfig {
            idle_timeout: config.limits.idle_timeout,
            rekey: config.limits.rekey,
            ..shape.shard(index as u32, config.gateway.path_mtu)
        };
        let parts = Parts {
            shard: Shard::new(shard, random::source()),
            inside: Forward::new(
                surroundings,
                backends(config),
                flow_limits(config),
                health.clone(),
            ),
            channel: channel.clone(),
            xsk: shards.next(),
            next_hops: next_hops.clone(),
            associations: program.as_ref().map(Program::associations),
            mailbox,
            workers: wiring.workers.clone(),
            pool: wiring.pool.clone(),
            secrets: Some(secrets.clone()),
            access: access.clone(),
            gateway: None,
            poll,
            counters,
            trace: wiring.trace.clone(),
        };
        workers.push(start_worker(index, parts)?);
    }
    Ok((wiring.running(workers, handshakes, program, view), about))
}

fn cannot_listen(address: SocketAddr) -> String {
    let port = address.port();
    format!("cannot listen on {address} (`ss -ulpn sport = :{port}` shows who has the port)")
}

/// The handshake threads share the configured limits; a source has one thread to itself.
pub(crate) fn limits(config: &Config, shape: Shape) -> Limits {
    let threads = shape.handshake_threads;
    Limits {
        half_open: (config.limits.half_open as usize).div_ceil(threads),
        half_open_per_source: config.limits.half_open_per_source as usize,
        rate_per_source: config.limits.handshake_rate_per_source,
        burst_per_source: config.limits.handshake_burst_per_source,
        deadline: config.limits.handshake_deadline,
        max_datagram: usize::from(config.gateway.path_mtu - HEADERS_LEN),
    }
}

fn backends(config: &Config) -> Vec<Backend> {
    let backend = |backend: &crate::config::Backend| Backend {
        address: backend.address,
        sources: backend.source_addresses.clone(),
    };
    config.backends.iter().map(backend).collect()
}

pub(crate) fn flow_limits(config: &Config) -> FlowLimits {
    FlowLimits {
        flows: (config.limits.backend_flows as usize).div_ceil(config.gateway.workers),
        idle: config.limits.flow_idle_timeout,
    }
}
