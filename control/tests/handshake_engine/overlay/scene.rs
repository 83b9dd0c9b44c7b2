//! A gateway and two clients at a relay.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use xdtls::handshake::{OpensslAcceptor, OpensslConnector};
use xdtls_common::DropReason;
use xdtls_common::id::{IdLayout, LocalId};
use xdtls_proto::handshakes::initiators::Initiators;
use xdtls_proto::handshakes::responders::Responders;
use xdtls_proto::handshakes::{Handshakes, Limits};
use xdtls_proto::ids::IdAllocator;
use xdtls_proto::overlay::{Config, Driver, Event};

use super::relay::{Packet, Port, Relay};
use crate::World;
use crate::pair::MAX_DATAGRAM;
use crate::pki::KeyType;

const CAPACITY: u32 = 64;

/// The longest that a client waits for its association.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often everybody looks whether something has come, while nothing has.
const TICK: Duration = Duration::from_millis(5);

pub(super) fn gateway_name() -> SocketAddr {
    "[fd00::1]:1".parse().unwrap()
}

/// One end and what has happened there.
pub(super) struct End<H> {
    pub(super) driver: Driver<H>,
    pub(super) port: Port,
    pub(super) ids: Vec<LocalId>,
    pub(super) events: Vec<Event>,
}

pub(super) struct Scene {
    pub(super) relay: Rc<RefCell<Relay>>,
    pub(super) gateway: End<Responders<OpensslAcceptor>>,
    pub(super) clients: [End<Initiators<OpensslConnector>>; 2],
    /// How far the clock is before the real one, which OpenSSL has.
    ahead: Duration,
}

fn limits(deadline: Duration) -> Limits {
    Limits {
        half_open: 16,
        half_open_per_source: 16,
        rate_per_source: 1000,
        burst_per_source: 1000,
        deadline,
        max_datagram: MAX_DATAGRAM,
    }
}

impl<H: Handshakes> End<H> {
    fn new(relay: &Rc<RefCell<Relay>>, name: SocketAddr, answers: bool, machine: H) -> Self {
        let layout = IdLayout::for_capacity(CAPACITY, 1).unwrap();
        let max_datagram = MAX_DATAGRAM as u16 + 8;
        let config = Config { name, capacity: CAPACITY, layout, max_datagram, answers };
        let driver = Driver::new(Instant::now(), &config, machine, xdtls::random::source);
        let port = Port { name, relay: relay.clone() };
        Self { driver, port, ids: Vec::new(), events: Vec::new() }
    }

    /// Whether anything has happened.
    fn exchange(&mut self, now: Instant) -> bool {
        let before = self.port.relay.borrow().seen.len();
        self.driver.exchange(now, &mut self.port);
        let mut happened = self.port.relay.borrow().seen.len() > before;
        while let Some(event) = self.driver.poll_event() {
            if let Event::Established { id, .. } = &event {
                self.ids.push(*id);
            }
            self.events.push(event);
            happened = true;
        }
        happened
    }

    /// All plaintext that has come, in order.
    pub(super) fn received(&self) -> Vec<&[u8]> {
        let of_data = self.events.iter().filter_map(|event| match event {
            Event::Plaintext(_, bytes) => Some(&bytes[..]),
            _ => None,
        });
        of_data.collect()
    }

    pub(super) fn dropped(&self, reason: DropReason) -> usize {
        let of_reason = |event: &&Event| matches!(event, Event::Dropped(other) if *other == reason);
        self.events.iter().filter(of_reason).count()
    }

    pub(super) fn send(&mut self, now: Instant, number: usize, plaintext: &[u8]) {
        self.driver.send(now, self.ids[number], plaintext);
    }
}

impl Scene {
    /// `patience` is how long the clients' wishes last.
    pub(super) fn new() -> Self {
        Self::with_patience(PATIENCE)
    }

    pub(super) fn with_patience(patience: Duration) -> Self {
        let (world, relay) = (World::new(KeyType::Ecdsa), Relay::new());
        let ids = || IdAllocator::new(IdLayout::for_capacity(CAPACITY, 1).unwrap(), 0..CAPACITY);
        let route = Box::new(|_: &_| Ok(1));
        let random = xdtls::random::source;
        let responders =
            Responders::new(world.acceptor(), ids(), limits(PATIENCE), route, random());
        let client = |number: u16| {
            let connector = world.connector("gw.example");
            let machine = Initiators::new(connector, ids(), limits(patience), random());
            let name = SocketAddr::new("fd00::2".parse().unwrap(), number);
            End::new(&relay, name, false, machine)
        };
        let clients = [client(1), client(2)];
        let gateway = End::new(&relay, gateway_name(), true, responders);
        Self { relay, gateway, clients, ahead: Duration::ZERO }
    }

    /// Both clients have an association, and nothing is under way.
    pub(super) fn established() -> Self {
        let mut scene = Self::new();
        scene.open(0);
        scene.open(1);
        scene.run_until(|scene| scene.gateway.ids.len() == 2);
        scene.settle();
        // The clients' ids, in the order of the gateway's.
        assert!(scene.clients.iter().all(|client| client.ids.len() == 1));
        scene.relay.borrow_mut().seen.clear();
        scene
    }

    pub(super) fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    pub(super) fn open(&mut self, client: usize) {
        let now = self.now();
        self.clients[client].driver.open(now, gateway_name(), 7);
    }

    fn turn(&mut self) -> bool {
        let now = self.now();
        let [one, two] = &mut self.clients;
        [one.exchange(now), two.exchange(now), self.gateway.exchange(now)].contains(&true)
    }

    /// Lets everything arrive that is under way.
    pub(super) fn settle(&mut self) {
        while self.turn() {}
    }

    /// Puts the clock forward, step by step.
    pub(super) fn skip(&mut self, duration: Duration) {
        const STEP: Duration = Duration::from_millis(100);
        for _ in 0..duration.as_millis() / STEP.as_millis() {
            self.ahead += STEP;
            self.settle();
        }
    }

    /// Runs until a condition holds; panics where it does not for long.
    pub(super) fn run_until(&mut self, mut condition: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + 4 * PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < end, "it does not come to pass");
            if !self.turn() {
                std::thread::sleep(TICK);
            }
        }
    }

    /// Client `number` sends, and everything arrives.
    pub(super) fn client_sends(&mut self, number: usize, plaintext: &[u8]) {
        let now = self.now();
        self.clients[number].send(now, 0, plaintext);
        self.settle();
    }

    /// The gateway sends on each of its associations, and everything arrives.
    pub(super) fn gateway_sends(&mut self, plaintext: &[u8]) {
        let now = self.now();
        for number in 0..self.gateway.ids.len() {
            self.gateway.send(now, number, plaintext);
        }
        self.settle();
    }

    /// Lets the relay do this with whatever it is given from now on.
    pub(super) fn meddle(&self, meddler: impl FnMut(Packet) -> Vec<Packet> + 'static) {
        self.relay.borrow_mut().meddler = Box::new(meddler);
    }

    /// The relay hands over something that it has seen or made up.
    pub(super) fn inject(&mut self, packet: Packet) {
        self.relay.borrow_mut().hand_over(packet);
        self.settle();
    }

    /// What was given to the relay since it was last asked.
    pub(super) fn take_seen(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.relay.borrow_mut().seen)
    }
}
