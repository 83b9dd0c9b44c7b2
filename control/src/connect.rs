//! `xdtls connect`: offers a gateway's backends to local programs as a UDP port on loopback.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use tracing::{info, warn};
use xdtls_proto::endpoint::{Endpoint, mapped};
use xdtls_proto::handshakes::Limits;
use xdtls_proto::handshakes::initiators::Initiators;
use xdtls_proto::shard::{Shard, ShardConfig};

use crate::admin::{self, About, Backends, Bounds, Node};
use crate::cli::{Connect, MAX_PROGRAMS, Proof};
use crate::config::Limits as Defaults;
use crate::counters::Place;
use crate::credentials::trust;
use crate::datapath::fast_path::{self, Wanted};
use crate::datapath::options::DatapathOptions;
use crate::datapath::own_address;
use crate::datapath::socket::Channel;
use crate::datapath::xdp::Program;
use crate::gateway::{HEADERS_LEN, max_plaintext};
use crate::handshake::{Identity, OpensslConnector, PskTable};
use crate::inside::Surroundings;
use crate::inside::health::BackendHealth;
use crate::inside::local::{Local, LocalLimits};
use crate::lifecycle::Signals;
use crate::node::{Handle, Running, Shape, Wiring, start_worker};
use crate::worker::{Parts, poll_descriptor};
use crate::{privileges, random};

/// Slots: enough that an id keeps 20 random bits and ids that rest are never missed.
const SLOTS: u32 = 2 * MAX_PROGRAMS;

/// The smallest MTU of IPv6 (RFC 8200 §5).
const IPV6_MIN_MTU: u16 = 1280;

/// Runs until told to stop by SIGTERM or SIGINT.
pub async fn run(arguments: Connect) -> Result<()> {
    let mut signals = Signals::listen()?;
    let gateways = resolve(&arguments)?;
    let gateway = gateways.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ");
    let (channel, gateways) = outside(gateways)?;
    let (running, about) = start(&arguments, channel, &gateways).await?;
    announce_changes(gateways, running.handle());
    let address = about.address;
    info!(%address, gateway, "ready: datagrams to this port go to the gateway's backend");
    let bounds = Bounds {
        associations: arguments.max_associations,
        half_open: arguments.max_associations,
        backend_flows: None,
        sessions: None,
    };
    let backends = Backends { named: Vec::new(), health: BackendHealth::of(0) };
    let node = Arc::new(Node::new(about, running.handle(), backends, bounds, None));
    let socket = arguments.admin_socket.as_deref();
    let outcome = tokio::select! {
        outcome = admin::serve(socket, node) => outcome,
        outcome = signals.until_told_to_stop(&running) => outcome,
    };
    signals.stop(running).await.and(outcome)
}

/// The gateway's addresses, at least one, in the order in which they are to be tried.
fn resolve(arguments: &Connect) -> Result<Vec<SocketAddr>> {
    let gateway = &arguments.gateway;
    let addresses: Vec<_> = (gateway.host.as_str(), gateway.port)
        .to_socket_addrs()
        .with_context(|| format!("cannot resolve the gateway {gateway}"))?
        .collect();
    ensure!(!addresses.is_empty(), "the gateway {gateway} has no address");
    let fits = |address: &SocketAddr| address.is_ipv4() || arguments.path_mtu >= IPV6_MIN_MTU;
    let (fitting, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(fits);
    if let ([], [address, ..]) = (&fitting[..], &others[..]) {
        bail!("--path-mtu must be at least {IPV6_MIN_MTU} towards the IPv6 gateway {address}");
    }
    Ok(fitting)
}

/// A socket that reaches all of the gateway's addresses, and the addresses as it takes them.
fn outside(mut gateways: Vec<SocketAddr>) -> Result<(Channel, Vec<SocketAddr>)> {
    let any_v6: SocketAddr = ([0_u16; 8], 0).into();
    if gateways.iter().any(SocketAddr::is_ipv6) {
        match Channel::bind(any_v6) {
            Ok(channel) => {
                gateways.iter_mut().for_each(|gateway| *gateway = mapped(*gateway));
                return Ok((channel, gateways));
            }
            // A resolver may know IPv6 where the kernel does not.
            Err(_) if gateways.iter().any(SocketAddr::is_ipv4) => {}
            Err(error) => return Err(error).context("cannot open a socket towards the gateway"),
        }
    }
    gateways.retain(SocketAddr::is_ipv4);
    let any_v4: SocketAddr = ([0, 0, 0, 0], 0).into();
    let channel = Channel::bind(any_v4).context("cannot open a socket towards the gateway")?;
    Ok((channel, gateways))
}

/// Tells the gateway when our own address changes, also while local programs only listen.
fn announce_changes(gateways: Vec<SocketAddr>, handle: Handle) {
    tokio::spawn(async move {
        let changed = || {
            info!("our address has changed: the gateway is told");
            handle.announce();
        };
        if let Err(error) = own_address::follow(gateways, changed).await {
            warn!("a change of our address is noticed with the next datagram only: {error:#}");
        }
    });
}

async fn start(
    arguments: &Connect,
    channel: Channel,
    gateways: &[SocketAddr],
) -> Result<(Running, About)> {
    let gateways: Vec<_> =
        gateways.iter().map(|remote| Endpoint { remote: *remote, local: None }).collect();
    let connector = connector(arguments)?;
    let shape = Shape::new(SLOTS, 1, 1)?;
    let port = Channel::bind(arguments.listen)
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let address = port.local_address()?;

    let outside = channel.local_address()?;
    let options = arguments.datapath.clone().over(DatapathOptions::default());
    let wanted =
        Wanted { options: &options, listen: outside, shape: &shape, answering: None, inside: None };
    let chosen = fast_path::open(wanted).await?;
    privileges::drop(None, chosen.fast_path.is_some())?;
    let towards = |gateway: &Endpoint| max_plaintext(arguments.path_mtu, gateway.remote);
    let room = gateways.iter().map(towards).min().unwrap_or_default();
    let about = About::new("client", address, room, &chosen);
    let transmits = chosen.fast_path.as_ref().map(|fast| fast.transmits.clone());
    let transmits = transmits.unwrap_or_default();
    let view = chosen.fast_path.as_ref().map(|fast| fast.view.clone());
    let (xdp, shards) = chosen.fast_path.map(|fast| (fast.programs, fast.shards)).unzip();
    let program = xdp.as_ref().map(|xdp| &xdp.outside);

    let mut wiring = Wiring::new(shape)?;
    let limits = Limits {
        half_open: arguments.max_associations as usize,
        half_open_per_source: arguments.max_associations as usize,
        rate_per_source: arguments.max_associations,
        burst_per_source: arguments.max_associations,
        deadline: Defaults::default().handshake_deadline,
        max_datagram: usize::from(arguments.path_mtu - HEADERS_LEN),
    };
    let handshakes = wiring.start_handshakes(&channel, program, |ids, registry| {
        Initiators::new(connector.clone(), ids, limits.clone(), random::source())
            .with_addresses(gateways.iter().copied())
            .with_ancestors(registry.ancestors())
    })?;

    let poll = poll_descriptor()?;
    let counters = wiring.new_counters(Place::Worker);
    let surroundings = Surroundings { poll: poll.clone(), counters: counters.clone() };
    let programs =
        LocalLimits { programs: arguments.max_associations as usize, idle: arguments.idle_timeout };
    let Some(mailbox) = wiring.worker_mail.pop() else { bail!("there is no worker") };
    let shard =
        ShardConfig { rekey: arguments.rekey_limits(), ..shape.shard(0, arguments.path_mtu) };
    let parts = Parts {
        shard: Shard::new(shard, random::source()),
        inside: Local::new(surroundings, port, programs)?,
        channel,
        xsk: shards.into_iter().flatten().next(),
        transmits,
        associations: program.map(Program::associations),
        mailbox,
        workers: wiring.workers.clone(),
        pool: wiring.pool.clone(),
        hellos: None,
        access: Arc::default(),
        gateway: gateways.first().copied(),
        poll,
        counters,
        trace: wiring.trace.clone(),
    };
    let worker = start_worker(0, parts)?;
    Ok((wiring.running(vec![worker], handshakes, xdp, view), about))
}

fn connector(arguments: &Connect) -> Result<OpensslConnector> {
    let (proof, server_name) = (&arguments.proof, arguments.server_name());
    let connector = match (&proof.psk_identity, &proof.psk_file, &proof.ca) {
        (Some(identity), Some(file), _) => {
            let table = PskTable::read(file)?;
            let key = table.key(identity);
            let key = key.with_context(|| format!("{} has no `{identity}`", file.display()))?;
            let allow = proof.allow_no_forward_secrecy;
            OpensslConnector::with_psk(identity, key, allow, server_name)
        }
        (_, _, Some(ca)) => {
            let trust = trust(ca, &proof.crl)?;
            OpensslConnector::with_certificates(&identities(proof)?, &trust, server_name)
        }
        _ => bail!("give --certificate, --key and --ca, or --psk-identity and --psk-file"),
    };
    connector.context("cannot use the given certificates and keys")
}

fn identities(proof: &Proof) -> Result<Vec<Identity>> {
    let (certificates, keys) = (&proof.certificate, &proof.key);
    ensure!(
        certificates.len() == keys.len(),
        "there are {} --certificate and {} --key: give one key for each certificate",
        certificates.len(),
        keys.len(),
    );
    let passphrase = proof.key_passphrase_file.as_deref();
    let pairs = certificates.iter().zip(keys);
    pairs.map(|(certificate, key)| Identity::read(certificate, key, passphrase)).collect()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn one_socket_reaches_gateways_of_both_families() {
        let gateway = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addresses = vec!["[::1]:9".parse().unwrap(), gateway.local_addr().unwrap()];
        let (channel, addresses) = outside(addresses).unwrap();
        // Where the kernel lacks IPv6, only the second is left.
        channel.send(*addresses.last().unwrap(), None, b"hello").unwrap();
        let mut datagram = [0; 10];
        assert_eq!(gateway.recv(&mut datagram).unwrap(), 5);
    }
}
