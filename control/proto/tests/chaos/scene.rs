//! One scene: a gateway and its clients under changing weather, then calm, then the end.

use std::net::SocketAddr;
use std::time::Duration;

use xdtls_common::id::LocalId;
use xdtls_common::prefix::Prefix;
use xdtls_proto::paths::PathChange;
use xdtls_proto::suite::CipherSuite;

use super::model::Model;
use super::weather;
use crate::support::network::{Link, Packet};
use crate::support::node::Lag;
use crate::support::rng::Rng;
use crate::support::scripted::Script;
use crate::support::world::{GATEWAY, Setup, World};

/// Things that are done while the weather is bad.
const DEEDS: u64 = 300;

/// Long enough for every handshake, every silence and every slot to come to an end.
const FOR_GOOD: Duration = Duration::from_secs(600);

pub(super) struct Scene {
    pub(super) model: Model,
    world: World,
    rng: Rng,
    serial: u64,
    /// Datagrams that somebody has listened to and may send again.
    overheard: Vec<Packet>,
}

impl Scene {
    pub(super) fn new(mut rng: Rng) -> Self {
        let suite = CipherSuite::ALL[rng.below(CipherSuite::ALL.len() as u64) as usize];
        let mut script = |name| Script {
            suites: vec![suite],
            resumed: rng.per_mille(300),
            record_per_datagram: rng.per_mille(500),
            ..Script::new(name)
        };
        let (gateway, client) = (script("gateway"), script("client"));
        let mut setup = Setup {
            seed: rng.next(),
            capacity: 4096,
            client_capacity: 1024,
            shards: 1 + rng.below(3) as u32,
            script: gateway,
            ..Setup::default()
        };
        if rng.per_mille(300) {
            setup.idle_timeout = Some(Duration::from_secs(20 + rng.below(60)));
        }
        for limits in [&mut setup.rekey, &mut setup.client_rekey] {
            if rng.per_mille(300) {
                limits.records = 8 + rng.below(60);
            }
        }
        let mut world = World::with_gateway(setup);
        for number in 0..2 + rng.below(6) {
            let address = SocketAddr::from(([198, 51, 100, number as u8], 5000));
            world.add_client(address, client.clone());
        }
        for node in &mut world.nodes {
            let mut lag = || Duration::from_millis(rng.below(50) * rng.below(2));
            node.lag = Lag { install: lag(), handshakes: lag(), ..Lag::default() };
            node.misdirected = rng.per_mille(100);
        }
        let (model, overheard) = (Model::default(), Vec::new());
        Self { model, world, rng, serial: 0, overheard }
    }

    /// Bad weather, in which much is done.
    pub(super) fn rage(&mut self) {
        for _ in 0..DEEDS {
            if self.rng.is_spent() {
                return;
            }
            match self.rng.below(100) {
                0..20 => self.open(),
                20..75 => self.send(),
                75..78 => self.close(),
                78..80 => self.rebind(),
                80..88 => self.forge(),
                _ => self.change_weather(),
            }
            let pause = self.rng.below(2000) * self.rng.below(2) + self.rng.below(20);
            self.pass(Duration::from_millis(pause));
        }
    }

    /// The network does nothing any more: whoever wants an association gets it, and everything
    /// arrives.
    pub(super) fn calm_down(&mut self) {
        self.world.network.link = Link::CLEAN;
        self.world.network.cut_off.clear();
        self.world.nodes.iter_mut().for_each(|node| node.lag = Lag::default());
        self.pass(FOR_GOOD);
        for client in self.clients() {
            let before = self.world.nodes[client].journal.ended.len();
            self.open_at(client);
            self.pass(Duration::from_millis(200));
            let ended = self.world.nodes[client].journal.ended[before..].iter();
            let ended: Vec<_> = ended.filter(|ended| ended.replaces.is_none()).collect();
            assert!(matches!(ended[..], [ended] if ended.outcome.is_ok()), "{client}: {ended:?}");
            let (id, peer) = (self.world.id(client), self.world.known(client).peer);
            let lost = self.model.undelivered();
            self.send_from(client, id);
            self.send_from(GATEWAY, LocalId::new(peer.value()).unwrap());
            self.pass(Duration::from_millis(100));
            assert_eq!(self.model.undelivered(), lost, "the weather is fine, and data is lost");
        }
    }

    /// Everybody closes everything, and nothing is left.
    pub(super) fn end(&mut self) {
        for node in 0..self.world.nodes.len() {
            for id in self.living(node) {
                self.close_at(node, id);
            }
        }
        self.pass(FOR_GOOD);
        for (index, node) in self.world.nodes.iter_mut().enumerate() {
            let left = (node.established(), node.half_open(), node.queued(), node.deadline());
            assert_eq!(left, (0, 0, 0, None), "node {index}");
        }
    }

    /// Lets time pass, and asks the model after each step.
    fn pass(&mut self, duration: Duration) {
        let end = self.world.now + duration;
        loop {
            let more = self.world.step(end);
            if self.rng.per_mille(50) {
                self.overheard.extend(self.world.network.sent.last().map(|(_, p)| p.clone()));
            }
            self.model.check(&mut self.world);
            if !more {
                return;
            }
        }
    }

    /// How many new addresses of peers were found to be theirs.
    pub(super) fn moved(&self) -> usize {
        self.path_changes(&[PathChange::Validated])
    }

    /// How many were not.
    pub(super) fn moved_in_vain(&self) -> usize {
        self.path_changes(&[PathChange::Failed, PathChange::Back])
    }

    fn path_changes(&self, wanted: &[PathChange]) -> usize {
        let changes = self.world.nodes.iter().flat_map(|node| &node.journal.paths);
        changes.filter(|change| wanted.contains(change)).count()
    }

    fn clients(&self) -> std::ops::Range<usize> {
        1..self.world.nodes.len()
    }

    fn one_of(&mut self, count: usize) -> usize {
        self.rng.below(count as u64) as usize
    }

    fn a_client(&mut self) -> usize {
        1 + self.one_of(self.world.nodes.len() - 1)
    }

    /// The associations that a node has and knows of.
    fn living(&self, node: usize) -> Vec<LocalId> {
        let journal = &self.world.nodes[node].journal;
        let closed = |id: &LocalId| journal.closed.iter().any(|(closed, _)| closed == id);
        journal.known.iter().map(|known| known.local).filter(|id| !closed(id)).collect()
    }

    fn an_association(&mut self) -> Option<(usize, LocalId)> {
        let node = self.one_of(self.world.nodes.len());
        let living = self.living(node);
        (!living.is_empty()).then(|| (node, living[self.one_of(living.len())]))
    }

    fn open(&mut self) {
        let client = self.a_client();
        self.open_at(client);
    }

    fn open_at(&mut self, client: usize) {
        self.model.opens(client);
        self.world.open(client);
    }

    fn send(&mut self) {
        if let Some((node, id)) = self.an_association() {
            for _ in 0..=self.rng.below(5) {
                self.send_from(node, id);
            }
        }
    }

    /// Sends what is like nothing else.
    fn send_from(&mut self, node: usize, id: LocalId) {
        self.serial += 1;
        let tail = (0..self.rng.below(400)).map(|_| self.rng.next() as u8);
        let plaintext: Vec<u8> = self.serial.to_be_bytes().into_iter().chain(tail).collect();
        self.model.sends(node, id, plaintext.clone());
        self.world.send(node, id, &plaintext);
    }

    fn close(&mut self) {
        if let Some((node, id)) = self.an_association() {
            self.close_at(node, id);
        }
    }

    fn close_at(&mut self, node: usize, id: LocalId) {
        self.model.closes(node, id);
        self.world.close(node, id);
    }

    /// A NAT gives a client another address.
    fn rebind(&mut self) {
        let client = self.a_client();
        self.serial += 1;
        let [.., high, low] = self.serial.to_be_bytes();
        let port = 1024 + self.rng.below(60_000) as u16;
        self.world.rebind(client, SocketAddr::from(([203, 0, high, low], port)));
    }

    fn change_weather(&mut self) {
        self.world.network.link = weather::link(&mut self.rng);
        let addresses: Vec<_> = self.world.nodes.iter().map(|node| node.address).collect();
        self.world.network.cut_off = weather::cut_off(&mut self.rng, &addresses);
    }

    /// Somebody sends what was overheard once more, or something made up, from anywhere to anyone.
    fn forge(&mut self) {
        let node = self.one_of(self.world.nodes.len());
        let other = self.one_of(self.world.nodes.len());
        let mut from = self.world.nodes[other].address;
        if self.rng.per_mille(300) {
            from = SocketAddr::from(([192, 0, 2, 200], 1 + self.rng.below(60_000) as u16));
        }
        let bytes = if self.rng.per_mille(500) && !self.overheard.is_empty() {
            let at = self.one_of(self.overheard.len());
            self.overheard[at].bytes.clone()
        } else {
            self.made_up(node)
        };
        self.world.deliver(node, from, bytes);
    }

    /// Records of any type and epoch, perhaps under the ids of a true association.
    fn made_up(&mut self, node: usize) -> Vec<u8> {
        let journal = &self.world.nodes[node].journal;
        let ids = journal.known.last().map(|known| (known.peer.value(), known.local.value()));
        let (sender, receiver) = ids.filter(|_| self.rng.per_mille(700)).unwrap_or((7, 0));
        let mut bytes = Prefix { sender, receiver }.encode().to_vec();
        for _ in 0..self.rng.below(4) {
            let types = [20, 21, 22, 23, 27, 99];
            let kind = types[self.one_of(types.len())];
            let length = self.rng.below(90) as u8;
            let epoch = self.rng.below(3) as u8;
            bytes.extend([kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, self.rng.next() as u8, 0]);
            bytes.push(length);
            bytes.extend((0..length).map(|_| self.rng.next() as u8));
        }
        bytes
    }
}
