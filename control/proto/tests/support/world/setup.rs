//! How worlds and their nodes are made.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use xdtls_common::id::{IdLayout, LocalId};
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::engine::PeerIdentity;
use xdtls_proto::handshakes::initiators::Initiators;
use xdtls_proto::handshakes::responders::Responders;
use xdtls_proto::handshakes::{Limits, Random};
use xdtls_proto::ids::IdAllocator;
use xdtls_proto::policy::Refusal;
use xdtls_proto::rekey::RekeyLimits;
use xdtls_proto::shard::{ReplyLimits, Shard, ShardConfig};

use super::{GATEWAY, NOBODY, ROUTE, World};
use crate::support::ancestry::Ancestry;
use crate::support::foreign::Foreign;
use crate::support::network::Network;
use crate::support::node::{Machine, Node};
use crate::support::rng::Rng;
use crate::support::scripted::{Script, Scripted};

/// How nodes are made.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    /// The gateway's slots, and each client's.
    pub(crate) capacity: u32,
    pub(crate) client_capacity: u32,
    pub(crate) shards: u32,
    pub(crate) limits: Limits,
    /// How often the gateway answers ClientHellos without cookie.
    pub(crate) replies: ReplyLimits,
    /// How long a client's wish lasts, where not as long as a handshake at the gateway.
    pub(crate) wish_deadline: Option<Duration>,
    pub(crate) path_mtu: u16,
    pub(crate) idle_timeout: Option<Duration>,
    /// When the gateway wants new keys, and when clients do.
    pub(crate) rekey: RekeyLimits,
    pub(crate) client_rekey: RekeyLimits,
    /// Where clients look for the gateway, if not at its address alone.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The gateway's.
    pub(crate) script: Script,
}

impl Default for Setup {
    fn default() -> Self {
        let limits = Limits {
            half_open: 100,
            half_open_per_source: 10,
            rate_per_source: 1000,
            burst_per_source: 1000,
            deadline: Duration::from_secs(15),
            max_datagram: 1400,
        };
        let script = Script::new("gateway");
        let (path_mtu, idle_timeout) = (1500, None);
        Self {
            seed: 1,
            capacity: 64,
            client_capacity: 64,
            shards: 1,
            limits,
            replies: ReplyLimits::NONE,
            wish_deadline: None,
            path_mtu,
            idle_timeout,
            rekey: RekeyLimits::default(),
            client_rekey: RekeyLimits::default(),
            addresses: Vec::new(),
            script,
        }
    }
}

impl World {
    /// Nobody.
    pub(super) fn empty(setup: Setup) -> Self {
        let (mut rng, now) = (Rng::new(setup.seed), Instant::now());
        let network = Network::new(rng.fork());
        Self {
            now,
            nodes: Vec::new(),
            foreign: Vec::new(),
            network,
            arrived: Vec::new(),
            rings: RefCell::default(),
            setup,
            start: now,
            rng,
            opened: 0,
        }
    }

    /// A gateway and nobody else.
    pub(crate) fn with_gateway(setup: Setup) -> Self {
        let mut world = Self::empty(setup);
        let capacity = world.setup.capacity;
        let policy = |identity: &PeerIdentity| match identity.names != [NOBODY] {
            true => Ok(ROUTE),
            false => Err(Refusal::NoRule),
        };
        let engines = Scripted::new(world.setup.script.clone(), world.rng.fork());
        let ancestry = Ancestry::default();
        let machine = Responders::new(
            engines,
            IdAllocator::new(world.layout(capacity), 0..capacity),
            world.setup.limits.clone(),
            Box::new(policy),
            world.rng.fork().source(),
        );
        let machine = Machine::Answers(Box::new(machine.with_ancestors(ancestry.lookup())));
        let rekey = world.setup.rekey;
        world.add("192.0.2.1:4433".parse().unwrap(), machine, ancestry, (capacity, rekey));
        world
    }

    /// A gateway and one client.
    pub(crate) fn new(setup: Setup, client: Script) -> Self {
        let mut world = Self::with_gateway(setup);
        world.add_client("198.51.100.1:5000".parse().unwrap(), client);
        world
    }

    pub(crate) fn add_client(&mut self, address: SocketAddr, script: Script) -> usize {
        let random = self.rng.fork().source();
        self.add_client_with_ids(address, script, random)
    }

    /// A client whose ids come from `random`.
    pub(crate) fn add_client_with_ids(
        &mut self,
        address: SocketAddr,
        script: Script,
        random: Random,
    ) -> usize {
        let engines = Scripted::new(script, self.rng.fork());
        let capacity = self.setup.client_capacity;
        let ids = IdAllocator::new(self.layout(capacity), 0..capacity);
        let mut limits = self.setup.limits.clone();
        limits.deadline = self.setup.wish_deadline.unwrap_or(limits.deadline);
        let ancestry = Ancestry::default();
        let machine = Initiators::new(engines, ids, limits, random)
            .with_addresses(self.addresses())
            .with_ancestors(ancestry.lookup());
        let rekey = self.setup.client_rekey;
        self.add(address, Machine::Opens(Box::new(machine)), ancestry, (capacity, rekey))
    }

    /// A foreign client, which begins at once.
    pub(crate) fn add_foreign(&mut self, address: SocketAddr, id: u32, script: Script) -> usize {
        let (gateway, id) = (self.nodes[GATEWAY].address, LocalId::new(id).unwrap());
        let rng = self.rng.fork();
        self.foreign.push(Foreign::new(self.now, address, gateway, id, script, rng));
        self.settle();
        self.foreign.len() - 1
    }

    fn addresses(&self) -> impl Iterator<Item = Endpoint> {
        self.setup.addresses.iter().map(|remote| Endpoint { remote: *remote, local: None })
    }

    pub(super) fn layout(&self, capacity: u32) -> IdLayout {
        IdLayout::for_capacity(capacity, self.setup.shards).unwrap()
    }

    fn add(
        &mut self,
        address: SocketAddr,
        machine: Machine,
        ancestry: Ancestry,
        (capacity, rekey): (u32, RekeyLimits),
    ) -> usize {
        let mut node = self.node(address, machine, ancestry, (capacity, rekey));
        node.secret = self.setup.seed;
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub(super) fn node(
        &mut self,
        address: SocketAddr,
        machine: Machine,
        ancestry: Ancestry,
        (capacity, rekey): (u32, RekeyLimits),
    ) -> Node {
        let layout = self.layout(capacity);
        let config = |index| ShardConfig {
            capacity,
            layout,
            index,
            path_mtu: self.setup.path_mtu,
            idle_timeout: self.setup.idle_timeout,
            rekey,
            cached_keys: 16,
        };
        let configs: Vec<_> = (0..self.setup.shards).map(config).collect();
        let shards = configs.into_iter().map(|config| Shard::new(config, self.rng.fork().source()));
        Node::new(address, layout, machine, ancestry, shards.collect())
    }
}
