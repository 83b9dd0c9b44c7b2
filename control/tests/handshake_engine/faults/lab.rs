//! A gateway, a client whose datagrams meet a fault, and a neighbour whose datagrams do not.
//!
//! Labs share a [`Clock`], because OpenSSL has but one. A lab that waits does nothing, so that many
//! wait at the same time, in one thread.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use xdtls::handshake::OpensslConnector;
use xdtls_common::id::IdLayout;
use xdtls_proto::handshakes::Limits;
use xdtls_proto::handshakes::initiators::Initiators;
use xdtls_proto::handshakes::responders::Responders;
use xdtls_proto::ids::IdAllocator;

use super::clock::Clock;
use super::end::{CAPACITY, End, Packet};
use super::mode::Makers;
use crate::pair::MAX_DATAGRAM;

/// What the design gives a handshake by default.
pub(super) const DEADLINE: Duration = Duration::from_secs(15);

/// What the network makes of the client's datagrams, sent or received: those that arrive instead.
pub(super) type Meddler = Box<dyn FnMut(Packet) -> Vec<Packet>>;

pub(super) struct Lab {
    pub(super) gateway: End,
    pub(super) client: End,
    pub(super) neighbour: End,
    /// Every datagram that the client and the gateway have sent each other, lost or not.
    pub(super) sent: Vec<Packet>,
    clock: Rc<Clock>,
    meddler: Meddler,
    in_flight: VecDeque<Packet>,
    /// How far the lab is ahead of the clock.
    ahead: Duration,
}

impl Lab {
    /// `patience` is how long the clients' wishes last.
    pub(super) fn new(
        clock: &Rc<Clock>,
        makers: Makers,
        patience: Duration,
        meddler: Meddler,
    ) -> Self {
        let layout = IdLayout::for_capacity(CAPACITY, 1).unwrap();
        let ids = || IdAllocator::new(layout, 0..CAPACITY);
        let limits = |deadline| Limits {
            half_open: 16,
            half_open_per_source: 16,
            rate_per_source: 1000,
            burst_per_source: 1000,
            deadline,
            max_datagram: MAX_DATAGRAM,
        };
        let mut count = 0_u32;
        let mut random = || {
            count += 1;
            let mut state = count;
            Box::new(move || {
                state = state.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
                state
            })
        };
        let responders =
            Responders::new(makers.gateway, ids(), limits(DEADLINE), Box::new(|_| Ok(1)), random());
        let mut client = |address: &str, connector: OpensslConnector| {
            let machine = Initiators::new(connector, ids(), limits(patience), random());
            End::new(address.parse().unwrap(), Box::new(machine))
        };
        Self {
            client: client("198.51.100.1:5000", makers.client),
            neighbour: client("198.51.100.2:5000", makers.neighbour),
            gateway: End::new("192.0.2.1:4433".parse().unwrap(), Box::new(responders)),
            sent: Vec::new(),
            clock: clock.clone(),
            meddler,
            in_flight: VecDeque::new(),
            ahead: Duration::ZERO,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now() + self.ahead
    }

    /// Lets both clients open an association.
    pub(super) fn open(&mut self) {
        let (now, gateway) = (self.now(), self.gateway.address);
        self.client.open(now, gateway);
        self.neighbour.open(now, gateway);
        self.settle();
    }

    /// Does what is due.
    pub(super) fn turn(&mut self) {
        let now = self.now();
        for end in [&mut self.gateway, &mut self.client, &mut self.neighbour] {
            end.handle_timeout(now);
        }
        self.settle();
    }

    /// How long until a handshake wants [`Lab::turn`].
    pub(super) fn wait(&self) -> Option<Duration> {
        let ends = [&self.gateway, &self.client, &self.neighbour];
        let next = ends.into_iter().filter_map(End::handshake_deadline).min()?;
        Some(next.saturating_duration_since(self.now()))
    }

    /// Puts the lab forward; OpenSSL's clock stays.
    pub(super) fn skip(&mut self, duration: Duration) {
        self.ahead += duration;
        self.turn();
    }

    /// Lets a datagram arrive.
    pub(super) fn inject(&mut self, packet: Packet) {
        self.in_flight.push_back(packet);
        self.settle();
    }

    /// Whether both wishes have ended, one way or the other, and where well, the gateway knows: who
    /// answers a resumed handshake has its end last.
    pub(super) fn over(&self) -> bool {
        let ended = || [&self.client, &self.neighbour].into_iter().flat_map(|it| &it.journal.ended);
        let succeeded = ended().filter(|ended| ended.outcome.is_ok()).count();
        ended().count() == 2 && self.gateway.journal.installed.len() >= succeeded
    }

    /// Lets everything arrive that is under way.
    pub(super) fn settle(&mut self) {
        loop {
            let strange = self.client.address;
            for end in [&mut self.gateway, &mut self.client, &mut self.neighbour] {
                for packet in end.take_sent() {
                    if packet.from == strange || packet.to == strange {
                        self.sent.push(packet.clone());
                        self.in_flight.extend((self.meddler)(packet));
                    } else {
                        self.in_flight.push_back(packet);
                    }
                }
            }
            let Some(packet) = self.in_flight.pop_front() else { return };
            let now = self.now();
            if let Some(end) = self.end_at(packet.to) {
                end.receive(now, &packet);
            }
        }
    }

    fn end_at(&mut self, address: SocketAddr) -> Option<&mut End> {
        let ends = [&mut self.gateway, &mut self.client, &mut self.neighbour];
        ends.into_iter().find(|end| end.address == address)
    }
}

/// Runs labs until all wishes have ended. Each begins when those before it have nothing to do, so
/// that no timer runs out because of their number.
pub(super) fn run(labs: &mut [Lab]) {
    let mut begun = 0;
    loop {
        let mut due = false;
        for lab in &mut labs[..begun] {
            if !lab.over() && lab.wait() == Some(Duration::ZERO) {
                lab.turn();
                due = true;
            }
        }
        if let Some(lab) = labs.get_mut(begun) {
            lab.open();
            begun += 1;
        } else if !due {
            let waiting = labs.iter().filter(|lab| !lab.over());
            match waiting.filter_map(Lab::wait).min() {
                Some(wait) => labs[0].clock.pass(wait),
                None => return,
            }
        }
    }
}
