//! A relay: it knows the names of its ends, sees everything, and hands over what it likes.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use xdtls_proto::overlay::Carrier;

#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// What the relay hands over instead of a datagram.
pub(super) type Meddler = Box<dyn FnMut(Packet) -> Vec<Packet>>;

pub(super) struct Relay {
    waiting: HashMap<SocketAddr, VecDeque<(SocketAddr, Vec<u8>)>>,
    pub(super) meddler: Meddler,
    /// Everything that was given to it.
    pub(super) seen: Vec<Packet>,
}

impl Relay {
    pub(super) fn new() -> Rc<RefCell<Self>> {
        let meddler: Meddler = Box::new(|packet| vec![packet]);
        Rc::new(RefCell::new(Self { waiting: HashMap::new(), meddler, seen: Vec::new() }))
    }

    /// Hands a datagram over, whoever has sent it.
    pub(super) fn hand_over(&mut self, packet: Packet) {
        let Packet { from, to, bytes } = packet;
        self.waiting.entry(to).or_default().push_back((from, bytes));
    }

    fn take(&mut self, packet: Packet) {
        self.seen.push(packet.clone());
        for packet in (self.meddler)(packet) {
            self.hand_over(packet);
        }
    }
}

/// One end's way into the relay.
pub(super) struct Port {
    /// What the relay calls the end.
    pub(super) name: SocketAddr,
    pub(super) relay: Rc<RefCell<Relay>>,
}

impl Carrier for Port {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        let packet = Packet { from: self.name, to, bytes: datagram.to_vec() };
        self.relay.borrow_mut().take(packet);
    }

    fn receive(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.relay.borrow_mut().waiting.get_mut(&self.name)?.pop_front()
    }
}
