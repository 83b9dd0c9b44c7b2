//! Kinds of floods, and the plan that each is.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Result, anyhow, ensure};
use bytemuck::Zeroable;
use clap::ValueEnum;
use xdtls_bench_plan::{
    COOKIE_LEN, FRAME_MAX, Frame, IDENTITIES_MAX, PAYLOAD_AT, PREFIX_LEN, Plan, UDP_AT,
};
use xdtls_common::record::{DTLS_1_2, HEADER_LEN, RecordHeader, content_type};

use crate::hello::{self, client_hello};

/// Bytes of what is no ClientHello, without prefix.
const SHORT_PAYLOAD: usize = 64;

/// What a flood consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// ClientHellos of s_client without a cookie, each from another address
    Hello,
    /// Random bytes without a receiver id
    Garbage,
    /// Encrypted records for random receiver ids
    UnknownId,
    /// Encrypted records for one generation of random slots
    WrongGeneration,
    /// Cookies that the gateway has given to the address that sends them, each again and again
    ReplayedCookie,
    /// Cookies that the gateway has given to another address
    StolenCookie,
    /// Cookies that the gateway has given to the address that sends them, each once
    ValidCookie,
}

impl Kind {
    /// Whether cookies must be had first.
    pub fn needs_cookies(self) -> bool {
        matches!(self, Self::ReplayedCookie | Self::StolenCookie | Self::ValidCookie)
    }
}

/// Where frames go, and who they say that they come from.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The MAC address of the next hop.
    pub destination_mac: [u8; 6],
    /// Our own.
    pub source_mac: [u8; 6],
    /// The gateway.
    pub target: SocketAddrV4,
    /// The network of the senders.
    pub network: Ipv4Addr,
    /// Its prefix length.
    pub network_bits: u32,
}

/// A plan and its frame.
pub struct Script {
    /// What is sent.
    pub plan: Plan,
    /// What all frames have in common.
    pub frame: Frame,
}

/// What else says how frames look.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// UDP payload in bytes, at least; 0 for what the kind has by itself.
    pub size: usize,
    /// Whether a prefix begins the payload.
    pub prefix: bool,
    /// How many identities take turns.
    pub identities: u32,
    /// For [`Kind::WrongGeneration`]: how many low bits of an id are the slot, and what the high
    /// ones are.
    pub slot_bits: u32,
    /// See `slot_bits`.
    pub generation: u32,
    /// What all that varies is drawn from.
    pub seed: u64,
}

/// The plan of a flood and its frame.
pub fn plan(kind: Kind, route: &Route, shape: &Shape) -> Result<Script> {
    ensure!((8..=32).contains(&route.network_bits), "the source network must be a /8 or smaller");
    let prefix_len = if shape.prefix { PREFIX_LEN } else { 0 };
    let own_size = shape.size.saturating_sub(prefix_len);
    let host_mask = u32::MAX.checked_shr(route.network_bits).unwrap_or(0);
    let mut plan = Plan {
        seed: shape.seed,
        identities: shape.identities.clamp(1, IDENTITIES_MAX),
        network: route.network.to_bits() & !host_mask,
        host_mask,
        prefix: u32::from(shape.prefix),
        ..Plan::zeroed()
    };
    let records = match kind {
        Kind::Hello => client_hello(0, own_size),
        Kind::Garbage => vec![0; own_size.max(SHORT_PAYLOAD)],
        Kind::UnknownId | Kind::WrongGeneration => encrypted_record(own_size),
        Kind::ReplayedCookie | Kind::StolenCookie | Kind::ValidCookie => {
            client_hello(COOKIE_LEN, own_size)
        }
    };
    let payload_at = PAYLOAD_AT + prefix_len;
    match kind {
        Kind::Garbage => plan.random_at = (payload_at) as u32,
        Kind::UnknownId => plan.receiver_mask = u32::MAX,
        Kind::WrongGeneration => {
            ensure!((1..=20).contains(&shape.slot_bits), "an id has 1 to 20 bits of slot");
            plan.receiver = shape.generation << shape.slot_bits;
            plan.receiver_mask = (1 << shape.slot_bits) - 1;
        }
        Kind::Hello => plan.random_at = (payload_at + hello::RANDOM_AT) as u32,
        Kind::ReplayedCookie | Kind::StolenCookie | Kind::ValidCookie => {
            ensure!(shape.prefix, "cookies are kept for the prefix's sender id");
            plan.random_at = (payload_at + hello::RANDOM_AT) as u32;
            plan.cookie_at = (payload_at + hello::COOKIE_AT) as u32;
        }
    }
    plan.address_shift = u32::from(kind == Kind::StolenCookie);
    script(plan, route, payload_at, &records)
}

/// Writes the frame.
fn script(mut plan: Plan, route: &Route, payload_at: usize, records: &[u8]) -> Result<Script> {
    let length = payload_at + records.len();
    ensure!(length <= 1_514, "frames have at most 1514 bytes, so a payload has at most 1472");
    plan.length = length as u32;
    let mut frame = [0; FRAME_MAX];
    frame[..6].copy_from_slice(&route.destination_mac);
    frame[6..12].copy_from_slice(&route.source_mac);
    frame[12..14].copy_from_slice(&[8, 0]);
    let [t0, t1] = ((length - 14) as u16).to_be_bytes();
    frame[14..24].copy_from_slice(&[0x45, 0, t0, t1, 0, 0, 0x40, 0, 64, 17]);
    frame[30..34].copy_from_slice(&route.target.ip().octets());
    frame[36..38].copy_from_slice(&route.target.port().to_be_bytes());
    frame[38..40].copy_from_slice(&((length - UDP_AT) as u16).to_be_bytes());
    frame[payload_at..length].copy_from_slice(records);
    plan.seal(&mut frame).map_err(|reason| anyhow!(reason))?;
    Ok(Script { plan, frame })
}

/// An epoch-1 record of application data as large as the rest of the payload.
fn encrypted_record(size: usize) -> Vec<u8> {
    let body = size.max(SHORT_PAYLOAD) - HEADER_LEN;
    let header = RecordHeader {
        content_type: content_type::APPLICATION_DATA,
        version: DTLS_1_2,
        epoch: 1,
        sequence: 1,
        length: body as u16,
    };
    [&header.encode()[..], &vec![0x5a; body]].concat()
}

#[cfg(test)]
mod tests {
    use xdtls_common::DropReason;
    use xdtls_common::client_hello::{ClientHello, CookieField};
    use xdtls_common::cursor::{Cursor, SliceCursor};
    use xdtls_common::frame;
    use xdtls_common::prefix::Prefix;
    use xdtls_common::verdict::{Verdict, verdict};

    use super::*;

    pub(super) const ROUTE: Route = Route {
        destination_mac: [2; 6],
        source_mac: [4; 6],
        target: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 4433),
        network: Ipv4Addr::new(198, 18, 0, 0),
        network_bits: 15,
    };
    const SHAPE: Shape =
        Shape { size: 0, prefix: true, identities: 16, slot_bits: 8, generation: 3, seed: 5 };

    /// The frames of a plan: prefix, and what stands behind it.
    fn frames(kind: Kind, shape: &Shape) -> Vec<(Prefix, Vec<u8>)> {
        let Script { plan, mut frame } = plan(kind, &ROUTE, shape).unwrap();
        let parsed = (0..200).map(|number| {
            plan.write(&mut frame, number, Some(&[9; COOKIE_LEN]));
            let bytes = &frame[..plan.length as usize];
            let (headers, mut payload) = frame::parse(SliceCursor::new(bytes)).unwrap();
            assert_eq!(headers.destination, ROUTE.target.into());
            let prefix = Prefix::parse(&mut payload).unwrap();
            let mut rest = Vec::new();
            while let Ok([byte]) = payload.take() {
                rest.push(byte);
            }
            (prefix, rest)
        });
        parsed.collect()
    }

    #[test]
    fn hellos_parse_with_and_without_cookie() {
        for (kind, size) in [(Kind::Hello, 0), (Kind::Hello, 1_300), (Kind::ValidCookie, 0)] {
            for (prefix, records) in frames(kind, &Shape { size, ..SHAPE }) {
                assert_eq!(prefix.receiver, 0);
                let hello = ClientHello::parse(&mut SliceCursor::new(&records)).unwrap();
                let empty = hello.cookie == CookieField::Empty;
                assert_eq!(empty, kind == Kind::Hello);
                assert!(records.len() + PREFIX_LEN >= size);
            }
        }
    }

    #[test]
    fn garbage_is_no_hello_and_ids_are_unknown() {
        for (prefix, records) in frames(Kind::Garbage, &SHAPE) {
            assert_eq!(prefix.receiver, 0);
            assert!(ClientHello::parse(&mut SliceCursor::new(&records)).is_err());
        }
        for kind in [Kind::UnknownId, Kind::WrongGeneration] {
            for (prefix, records) in frames(kind, &SHAPE) {
                let decided = verdict(prefix, None, &mut SliceCursor::new(&records));
                assert_eq!(decided, Verdict::Drop(DropReason::UnknownId));
                assert!(kind == Kind::UnknownId || prefix.receiver >> 8 == 3);
            }
        }
    }

    #[test]
    fn a_stolen_cookie_comes_from_another_address() {
        let own = plan(Kind::ValidCookie, &ROUTE, &SHAPE).unwrap().plan;
        let stolen = plan(Kind::StolenCookie, &ROUTE, &SHAPE).unwrap().plan;
        assert_ne!(own.identity(3).address, stolen.identity(3).address);
        assert_eq!(own.identity(3).sender, stolen.identity(3).sender);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(plan(Kind::Hello, &ROUTE, &Shape { size: 1_473, ..SHAPE }).is_err());
        assert!(plan(Kind::ValidCookie, &ROUTE, &Shape { prefix: false, ..SHAPE }).is_err());
        let route = Route { network_bits: 4, ..ROUTE };
        assert!(plan(Kind::Hello, &route, &SHAPE).is_err());
    }
}
