//! ClientHellos in frames that an independent library builds.

use std::net::SocketAddr;

use etherparse::{PacketBuilder, VlanId};
use xdtls_common::prefix::Prefix;

use crate::fixture::{PEER, PORT};

/// Where frames go, and where they come from.
pub(crate) const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A ClientHello and the headers before it: plain unless said otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    /// Source and destination MAC address.
    pub(crate) macs: [[u8; 6]; 2],
    /// The VLAN's number.
    pub(crate) vlan: Option<u16>,
    /// The sender.
    pub(crate) source: SocketAddr,
    /// The receiver.
    pub(crate) destination: SocketAddr,
    /// The sender's id.
    pub(crate) client_id: u32,
    /// The sequence number of the record.
    pub(crate) sequence: u64,
    /// The number of the message.
    pub(crate) message_seq: u8,
    /// The record's version.
    pub(crate) version: [u8; 2],
    /// Bytes of session id.
    pub(crate) session_id: usize,
    /// The cookie.
    pub(crate) cookie: Vec<u8>,
    /// How many suites.
    pub(crate) suites: usize,
    /// How many compression methods.
    pub(crate) methods: usize,
    /// Bytes of one unknown extension; `None` for no extensions at all.
    pub(crate) extension: Option<usize>,
}

impl Hello {
    /// The first ClientHello of a client over IPv4.
    pub(crate) fn v4() -> Self {
        Self {
            macs: [CLIENT_MAC, GATEWAY_MAC],
            vlan: None,
            source: "192.0.2.1:40000".parse().expect("an address"),
            destination: SocketAddr::new("192.0.2.2".parse().expect("an address"), PORT),
            client_id: PEER,
            sequence: 0x0001_0203_0405,
            message_seq: 0,
            version: [0xfe, 0xff],
            session_id: 0,
            cookie: Vec::new(),
            suites: 10,
            methods: 1,
            extension: Some(60),
        }
    }

    /// The same over IPv6.
    pub(crate) fn v6() -> Self {
        Self {
            source: "[fd00::1]:40000".parse().expect("an address"),
            destination: SocketAddr::new("fd00::2".parse().expect("an address"), PORT),
            ..Self::v4()
        }
    }

    /// The second ClientHello, with a cookie.
    pub(crate) fn with_cookie(&self, cookie: &[u8]) -> Self {
        let sequence = self.sequence + 1;
        Self { cookie: cookie.to_vec(), message_seq: 1, sequence, ..self.clone() }
    }

    /// The UDP payload.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend((0..32).map(|i| 0x40 + i));
        body.push(self.session_id as u8);
        body.extend((0..self.session_id).map(|i| i as u8));
        body.push(self.cookie.len() as u8);
        body.extend(&self.cookie);
        body.extend((2 * self.suites as u16).to_be_bytes());
        body.extend((0..2 * self.suites).map(|i| i as u8 ^ 0xc0));
        body.push(self.methods as u8);
        body.extend((0..self.methods).map(|i| i as u8));
        if let Some(length) = self.extension {
            body.extend((4 + length as u16).to_be_bytes());
            body.extend([0xab, 0xcd]);
            body.extend((length as u16).to_be_bytes());
            body.extend((0..length).map(|i| i as u8));
        }
        let [_, length @ ..] = (body.len() as u32).to_be_bytes();
        let mut payload = Prefix { sender: self.client_id, receiver: 0 }.encode().to_vec();
        payload.push(22);
        payload.extend(self.version);
        payload.extend(self.sequence.to_be_bytes());
        payload.extend((12 + body.len() as u16).to_be_bytes());
        payload.push(1);
        payload.extend(length);
        payload.extend([0, self.message_seq, 0, 0, 0]);
        payload.extend(length);
        payload.extend(body);
        payload
    }

    /// The frame, with all checksums.
    pub(crate) fn frame(&self) -> Vec<u8> {
        self.frame_of(&self.payload())
    }

    /// The frame of another payload.
    pub(crate) fn frame_of(&self, payload: &[u8]) -> Vec<u8> {
        let [source, destination] = self.macs;
        let ethernet = PacketBuilder::ethernet2(source, destination);
        let vlan = self.vlan.map(|id| VlanId::try_new(id).expect("a VLAN's number"));
        let ports = (self.source.port(), self.destination.port());
        let mut frame = Vec::new();
        match (self.source, self.destination) {
            (SocketAddr::V4(from), SocketAddr::V4(to)) => {
                let (from, to) = (from.ip().octets(), to.ip().octets());
                let ip = match vlan {
                    Some(id) => ethernet.single_vlan(id).ipv4(from, to, 57),
                    None => ethernet.ipv4(from, to, 57),
                };
                ip.udp(ports.0, ports.1).write(&mut frame, payload).expect("a frame");
            }
            (SocketAddr::V6(from), SocketAddr::V6(to)) => {
                let (from, to) = (from.ip().octets(), to.ip().octets());
                let ip = match vlan {
                    Some(id) => ethernet.single_vlan(id).ipv6(from, to, 57),
                    None => ethernet.ipv6(from, to, 57),
                };
                ip.udp(ports.0, ports.1).write(&mut frame, payload).expect("a frame");
            }
            families => panic!("one family only, not {families:?}"),
        }
        frame
    }
}
