//! `xdtls connect`: offers a gateway's backends to local programs as a UDP port on loopback.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use tracing::info;
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::handshakes::Limits;
use xdtls_proto::handshakes::initiators::Initiators;
use xdtls_proto::shard::Shard;

use crate::admin::{self, About, Node};
use crate::cli::{Connect, MAX_PROGRAMS};
use crate::config::Limits as Defaults;
use crate::datapath::fast_path;
use crate::datapath::options::DatapathOptions;
use crate::datapath::socket::Channel;
use crate::datapath::xdp::Program;
use crate::handshake::{Identity, OpensslConnector, read_file};
use crate::inside::Surroundings;
use crate::inside::local::{Local, LocalLimits};
use crate::node::{Running, Shape, Wiring, start_worker};
use crate::random;
use crate::worker::{Parts, poll_descriptor};

/// Slots: enough that an id keeps 20 random bits and ids that rest are never missed.
const SLOTS: u32 = 2 * MAX_PROGRAMS;

/// The smallest MTU of IPv6 (RFC 8200 §5).
const IPV6_MIN_MTU: u16 = 1280;

/// Runs until told to stop by SIGTERM or SIGINT.
pub async fn run(arguments: Connect) -> Result<()> {
    let gateway = resolve(&arguments)?;
    let (running, about) = start(&arguments, gateway).await?;
    let address = about.address;
    info!(%address, %gateway, "ready: datagrams to this port go to the gateway's backend");
    let node = Arc::new(Node::new(about, running.handle()));
    let socket = arguments.admin_socket.as_deref();
    let outcome = tokio::select! {
        outcome = admin::serve(socket, node) => outcome,
        outcome = running.until_told_to_stop() => outcome,
    };
    running.stop();
    outcome
}

fn resolve(arguments: &Connect) -> Result<SocketAddr> {
    let gateway = &arguments.gateway;
    let mut addresses = (gateway.host.as_str(), gateway.port)
        .to_socket_addrs()
        .with_context(|| format!("cannot resolve the gateway {gateway}"))?;
    let Some(address) = addresses.next() else { bail!("the gateway {gateway} has no address") };
    ensure!(
        address.is_ipv4() || arguments.path_mtu >= IPV6_MIN_MTU,
        "--path-mtu must be at least {IPV6_MIN_MTU} towards the IPv6 gateway {address}"
    );
    Ok(address)
}

async fn start(arguments: &Connect, gateway: SocketAddr) -> Result<(Running, About)> {
    let connector = connector(arguments)?;
    let shape = Shape::new(SLOTS, 1, 1)?;
    let any: SocketAddr =
        if gateway.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let channel = Channel::bind(any).context("cannot open a socket towards the gateway")?;
    let port = Channel::bind(arguments.listen)
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let address = port.local_address()?;

    let outside = channel.local_address()?;
    let options = arguments.datapath.clone().over(DatapathOptions::default());
    let chosen = fast_path::open(&options, outside, &shape, None).await?;
    let about = About::new("client", address, &chosen);
    let (program, shards) = chosen.fast_path.map(|fast| (fast.program, fast.shards)).unzip();

    let mut wiring = Wiring::new(shape)?;
    let limits = Limits {
        half_open: arguments.max_associations as usize,
        half_open_per_source: arguments.max_associations as usize,
        deadline: Defaults::default().handshake_deadline,
        max_datagram: usize::from(arguments.path_mtu - crate::gateway::HEADERS_LEN),
    };
    let handshakes = wiring.start_handshakes(&channel, program.as_ref(), |ids| {
        Initiators::new(connector.clone(), ids, limits.clone(), random::source())
    })?;

    let poll = poll_descriptor()?;
    let counters = wiring.new_counters();
    let surroundings = Surroundings { poll: poll.clone(), counters: counters.clone() };
    let programs =
        LocalLimits { programs: arguments.max_associations as usize, idle: arguments.idle_timeout };
    let Some(mailbox) = wiring.worker_mail.pop() else { bail!("there is no worker") };
    let parts = Parts {
        shard: Shard::new(shape.shard(0, arguments.path_mtu), random::source()),
        inside: Local::new(surroundings, port, programs)?,
        channel,
        xsk: shards.into_iter().flatten().next(),
        associations: program.as_ref().map(Program::associations),
        mailbox,
        workers: wiring.workers.clone(),
        pool: wiring.pool.clone(),
        secrets: None,
        access: Arc::default(),
        gateway: Some(Endpoint { remote: gateway, local: None }),
        poll,
        counters,
    };
    let worker = start_worker(0, parts)?;
    Ok((wiring.running(vec![worker], handshakes, program), about))
}

fn connector(arguments: &Connect) -> Result<OpensslConnector> {
    let identity = Identity::read(&arguments.certificate, &arguments.key)?;
    OpensslConnector::new(&identity, &read_file(&arguments.ca)?, arguments.server_name())
        .context("cannot use the given certificates and key")
}
