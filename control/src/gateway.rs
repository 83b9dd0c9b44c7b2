//! `xdtls gateway`: answers handshakes on one port and forwards to backends. `xdtls peer` is the same
//! with links, for which it opens at that port too.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tracing::{error, info, warn};
use xdtls_common::prefix::PREFIX_LEN;
use xdtls_proto::endpoint::max_payload;
use xdtls_proto::handshakes::Limits;
use xdtls_proto::shard::{Shard, ShardConfig};
use xdtls_proto::suite::Aead;

use crate::access::AccessList;
use crate::admin::{self, About, Backends, Bounds, Node, Response};
use crate::cli::{Gateway, Peer};
use crate::config::{self, Config, ConfigError, ConfigErrors, Problem};
use crate::cookies::SharedSecrets;
use crate::counters::Place;
use crate::credentials::Credentials;
use crate::datapath::fast_path::{self, Chosen, Programs, Wanted};
use crate::datapath::options::DatapathArgs;
use crate::datapath::sides::InsideWanted;
use crate::datapath::socket::Channel;
use crate::datapath::xdp::{Answering, Program};
use crate::inside::fast_flows::FastFlows;
use crate::inside::forward::{Backend, FlowLimits, Forward};
use crate::inside::health::{BackendHealth, Health};
use crate::inside::links::{LinkEvent, LinkPort, Links};
use crate::inside::node::NodeInside;
use crate::lifecycle::Signals;
use crate::links::Keeper;
use crate::node::{Running, Shape, Wiring, start_worker};
use crate::peer::{first_route, leads_back};
use crate::reload::Reload;
use crate::worker::{Hellos, Parts, poll_descriptor};
use crate::{inside, metrics, notify, privileges, random};

/// Headers in front of a UDP payload with IPv6 and our prefix, in bytes: what a handshake datagram
/// loses of the path MTU whatever the family.
pub(crate) const HEADERS_LEN: u16 = 40 + 8 + 8;

/// How often a cookie secret is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(xdtls_common::cookie::PERIOD_S as u64);

/// What a node is started as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Gateway,
    Peer,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Peer => "peer",
        }
    }
}

/// Runs until told to stop by SIGTERM or SIGINT; SIGHUP reads the configuration again.
pub async fn run(arguments: Gateway) -> Result<()> {
    serve(Role::Gateway, arguments.config, arguments.datapath).await
}

/// The same with links to peers.
pub async fn run_peer(arguments: Peer) -> Result<()> {
    serve(Role::Peer, arguments.config, arguments.datapath).await
}

async fn serve(role: Role, file: PathBuf, overrides: DatapathArgs) -> Result<()> {
    let mut config = load(role, &file)?;
    config.gateway.datapath = overrides.clone().over(config.gateway.datapath);
    raise_descriptor_limit();
    let mut signals = Signals::listen()?;
    let listener = metrics::bind(config.metrics.listen).await?;
    let secrets = Arc::new(SharedSecrets::new());
    let shape = shape(&config)?;
    let named = named(&config);
    let health = BackendHealth::of(named.len());
    let access = Arc::new(AccessList::new(config.access.clone()));
    let credentials = Credentials::read(&config)?;
    let (events, happenings) = unbounded_channel();
    let surroundings = Surroundings {
        credentials: &credentials,
        secrets: &secrets,
        access: &access,
        health: &health,
        events,
    };
    let Started { running, about, keeper } = start(role, &config, shape, &surroundings).await?;
    let address = about.address;
    let backends = Backends { named, health: health.clone() };
    let psk = credentials.psk.clone();
    let reload = Reload::new(file, overrides, shape, access.clone(), config.clone(), psk);
    let node = Node::new(about, running.handle(), backends, bounds(&config), Some(reload));
    let node = Arc::new(node);
    let life = async {
        signals.until_told_to_stop(&running).await?;
        notify::stopping();
        node.drain();
        // A keeper that has ended opens nothing either.
        let _ = surroundings.events.send(LinkEvent::Drain);
        signals.drain(&running, node.drain_time()).await;
        Ok(())
    };
    info!(
        %address,
        workers = config.gateway.workers,
        handshake_workers = config.gateway.handshake_workers,
        links = config.peers.len(),
        "{} is ready", role.as_str(),
    );
    notify::ready();
    let outcome = tokio::select! {
        outcome = admin::serve(config.admin.socket.as_deref(), node.clone()) => outcome,
        outcome = metrics::serve(listener, node.clone()) => outcome,
        outcome = reload_on_hangup(&node) => outcome,
        () = renew(&secrets) => Ok(()),
        () = keeper.run(happenings) => Ok(()),
        () = notify::watchdog() => Ok(()),
        outcome = life => outcome,
    };
    signals.stop(running).await.and(outcome)
}

/// Reads a configuration, which must be one of this role.
fn load(role: Role, file: &Path) -> Result<Config> {
    let config = Config::load(file)?;
    let key = "peer".to_owned();
    let problem = match (role, config.peers.is_empty()) {
        (Role::Gateway, true) | (Role::Peer, false) => return Ok(config),
        (Role::Gateway, false) => Problem::Invalid {
            key,
            wrong: "`xdtls gateway` keeps no links".to_owned(),
            remedy: "start it with `xdtls peer`, or remove the [[peer]] tables".to_owned(),
        },
        (Role::Peer, true) => Problem::Missing {
            key,
            remedy: "add a [[peer]] table, or start it with `xdtls gateway`".to_owned(),
        },
    };
    Err(ConfigErrors(vec![ConfigError { file: file.to_owned(), line: None, problem }]).into())
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

/// Names and addresses of the backends, then of the links, in the order of their routes.
fn named(config: &Config) -> Vec<(String, SocketAddr)> {
    let backends = config.backends.iter().map(|backend| (backend.name.clone(), backend.address));
    let links = config.peers.iter().map(|peer| (peer.name.clone(), peer.deliver));
    backends.chain(links).collect()
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

/// What threads of a node share with the rest of it, and what whoever wants to come in has to get
/// past.
struct Surroundings<'a> {
    credentials: &'a Credentials,
    secrets: &'a Arc<SharedSecrets>,
    access: &'a Arc<AccessList>,
    health: &'a Health,
    /// To the keeper of links.
    events: UnboundedSender<LinkEvent>,
}

/// A node whose threads run.
struct Started {
    running: Running,
    about: About,
    keeper: Keeper,
}

async fn start(
    role: Role,
    config: &Config,
    shape: Shape,
    surroundings: &Surroundings<'_>,
) -> Result<Started> {
    let credentials = surroundings.credentials;
    let channels = Channel::bind_shards(config.gateway.listen, shape.layout)
        .with_context(|| cannot_listen(config.gateway.listen))?;
    let address = channels[0].local_address()?;
    let ports = ports(config, address)?;
    let (secrets, access) = (surroundings.secrets.clone(), surroundings.access.clone());
    let answering = Answering { secrets, limits: config.limits.front, access };
    let wanted = Wanted {
        options: &config.gateway.datapath,
        listen: address,
        shape: &shape,
        answering: Some(answering),
        inside: inside(config),
    };
    let chosen = fast_path::open(wanted).await?;
    privileges::drop(config.process.user.as_deref(), chosen.fast_path.is_some())?;
    let room = max_plaintext(config.gateway.path_mtu, address);
    let about = About {
        workers: config.gateway.workers,
        handshake_workers: config.gateway.handshake_workers,
        ..About::new(role.as_str(), address, room, &chosen)
    };
    let view = chosen.fast_path.as_ref().map(|fast| fast.view.clone());

    let mut wiring = Wiring::new(shape)?;
    wiring.admit_by(credentials.admission.clone());
    let limits = limits(config, shape);
    let program = chosen.fast_path.as_ref().map(|fast| &fast.programs.outside);
    let handshakes = wiring.start_handshakes(&channels[0], program, |ids, registry| {
        credentials.handshakes(config, &limits, address, (ids, registry))
    })?;
    let threads = (wiring.workers.clone(), wiring.pool.clone(), shape.layout);
    let first_link = config.backends.len();
    let kept = (surroundings.health.clone(), first_link);
    let keeper = Keeper::new(&config.peers, address, threads, kept);
    let (programs, workers) =
        start_workers(config, shape, surroundings, &mut wiring, (&channels, ports), chosen)?;
    Ok(Started { running: wiring.running(workers, handshakes, programs, view), about, keeper })
}

/// Starts the threads that open and seal; what is left of the fast path is its programs.
fn start_workers(
    config: &Config,
    shape: Shape,
    surroundings: &Surroundings<'_>,
    wiring: &mut Wiring,
    (channels, ports): (&[Channel], Arc<[LinkPort]>),
    chosen: Chosen,
) -> Result<(Option<Programs>, Vec<JoinHandle<()>>)> {
    let hellos = Hellos {
        secrets: surroundings.secrets.clone(),
        limits: config.limits.front,
        link: chosen.fast_path.as_ref().map(|fast| fast.view.link.clone()),
        cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32),
    };
    let transmits = chosen.fast_path.as_ref().map(|fast| fast.transmits.clone());
    let transmits = transmits.unwrap_or_default();
    let (programs, shards) = chosen.fast_path.map(|fast| (fast.programs, fast.shards)).unzip();
    let program = programs.as_ref().map(|programs| &programs.outside);
    let flows = programs.as_ref().and_then(|programs| programs.inside.as_ref());
    let mut shards = shards.into_iter().flatten();
    let mut workers = Vec::new();
    let mailboxes = std::mem::take(&mut wiring.worker_mail);
    for (index, (channel, mailbox)) in channels.iter().zip(mailboxes).enumerate() {
        let poll = poll_descriptor()?;
        let counters = wiring.new_counters(Place::Worker);
        let shard = ShardConfig {
            idle_timeout: config.limits.idle_timeout,
            rekey: config.limits.rekey,
            ..shape.shard(index as u32, config.gateway.path_mtu)
        };
        let inside = inside::Surroundings { poll: poll.clone(), counters: counters.clone() };
        let parts = Parts {
            shard: Shard::new(shard, random::source()),
            inside: NodeInside::new(
                Forward::new(
                    inside.clone(),
                    backends(config),
                    flow_limits(config),
                    surroundings.health.clone(),
                )
                .with_fast_flows(
                    flows.map(|program| FastFlows::new(program.flows(), index as u32)),
                ),
                Links::new(inside, ports.clone(), surroundings.events.clone()),
                first_route(config),
            ),
            channel: channel.clone(),
            xsk: shards.next(),
            transmits: transmits.clone(),
            associations: program.map(Program::associations),
            mailbox,
            workers: wiring.workers.clone(),
            pool: wiring.pool.clone(),
            hellos: Some(hellos.clone()),
            access: surroundings.access.clone(),
            gateway: None,
            poll,
            counters,
            trace: wiring.trace.clone(),
        };
        workers.push(start_worker(index, parts)?);
    }
    Ok((programs, workers))
}

/// The ports of the links, none of which may lead back here.
fn ports(config: &Config, outside: SocketAddr) -> Result<Arc<[LinkPort]>> {
    let port = |peer: &config::Peer| {
        if peer.address.is_some_and(|address| leads_back(address, outside)) {
            bail!("peer {}: its address is this node itself: give the peer's", peer.name);
        }
        let channel = Channel::bind(peer.listen)
            .with_context(|| format!("peer {}: cannot listen on {}", peer.name, peer.listen))?;
        Ok(LinkPort::new(channel, peer.deliver))
    };
    config.peers.iter().map(port).collect()
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

/// The inside of XDP, if an interface is named for it.
fn inside(config: &Config) -> Option<InsideWanted<'_>> {
    let interface = config.forward.interface.as_deref()?;
    let flows = flow_limits(config).flows * config.gateway.workers;
    Some(InsideWanted { interface, flows: flows as u32 })
}

pub(crate) fn flow_limits(config: &Config) -> FlowLimits {
    FlowLimits {
        flows: (config.limits.backend_flows as usize).div_ceil(config.gateway.workers),
        idle: config.limits.flow_idle_timeout,
    }
}
