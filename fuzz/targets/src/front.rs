//! ClientHellos and cookies, by the code that the XDP program runs: no panic, no reply larger than
//! its request, and no cookie good for anybody but whom it was made for.

use xdtls_common::budget::SKETCH_ROWS;
use xdtls_common::client_hello::COOKIE_LEN;
use xdtls_common::cookie::{CookieSecrets, SECRETS, Secret, Secrets};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::frame;
use xdtls_common::front::{Front, FrontValue, HelloVerdict, judge_frame};
use xdtls_common::hello_verify::hello_verify_request;
use xdtls_common::id::IdLayout;
use xdtls_common::map::{AssociationValue, ConfigValue, Tag};
use xdtls_common::prefix::PREFIX_LEN;
use xdtls_common::record::HEADER_LEN;
use xdtls_common::steering::{Steering, Table, steer};

const PORT: u16 = 4433;

/// Where the UDP payload begins in the frames that we make.
const PAYLOAD_AT: usize = 14 + 20 + 8;

/// Fields of a ClientHello behind the record header: lengths, and where the session id begins.
const MESSAGE_LEN_AT: usize = HEADER_LEN + 1;
const FRAGMENT_LEN_AT: usize = HEADER_LEN + 9;
const SESSION_ID_AT: usize = HEADER_LEN + 12 + 2 + 32;

/// What judges all cookies here.
static COOKIE_SECRETS: CookieSecrets = CookieSecrets::new([[3, 5]; SECRETS]);

struct Host {
    spent: [u64; 2],
}

impl Secrets for Host {
    fn secret(&self, index: usize) -> Option<&Secret> {
        COOKIE_SECRETS.secret(index)
    }
}

impl Front for Host {
    fn now_ns(&self) -> u64 {
        1_000_000_000_000
    }

    fn limits(&self) -> FrontValue {
        FrontValue::UNSET
    }

    fn replies(&mut self) -> Option<&mut u64> {
        Some(&mut self.spent[0])
    }

    fn slow_hellos(&mut self) -> Option<&mut u64> {
        Some(&mut self.spent[1])
    }

    fn cells(&mut self, _: [usize; SKETCH_ROWS]) -> Option<[&mut u64; SKETCH_ROWS]> {
        None
    }
}

/// Nobody has an association.
struct Nobody;

impl Table for Nobody {
    fn tag(&self, _: u32) -> Option<Tag> {
        Some(Tag::EMPTY)
    }

    fn association(&self, _: u32) -> Option<AssociationValue> {
        None
    }
}

/// The bytes are a frame, and also the UDP payload of one.
pub(crate) fn run(data: &[u8]) {
    judge(data);
    let reply = judge(&framed(data));
    if let Some(HelloVerdict::Reply(reply)) = reply {
        let again = with_cookie(data, &reply.cookie);
        assert_eq!(judge(&framed(&again)), Some(HelloVerdict::Pass));
        // Any other id is another client's; 0 is nobody's.
        let mut stolen = again.clone();
        stolen[0] ^= 1;
        assert!(matches!(judge(&framed(&stolen)), Some(HelloVerdict::Drop(_))));
    }
}

/// What becomes of a frame; `None` if it is not for the front. A reply is written and looked at.
fn judge(frame: &[u8]) -> Option<HelloVerdict> {
    let layout = IdLayout::for_capacity(16, 1).unwrap();
    let config = ConfigValue::new(PORT, layout).answering_hellos();
    let steering = steer(SliceCursor::new(frame), &config, &Nobody);
    assert!(!matches!(steering, Steering::Worker(_) | Steering::Handshake), "{steering:?}");
    let Steering::ClientHello(place) = steering else { return None };
    let verdict = judge_frame(SliceCursor::new(frame), &place, &mut Host { spent: [0; 2] });
    if let HelloVerdict::Reply(reply) = verdict {
        let (request, _) = frame::parse(SliceCursor::new(frame)).unwrap();
        let mut answer = frame.to_vec();
        reply.write(&mut answer[..]).unwrap();
        assert!(reply.frame_len() <= frame.len(), "a reply is larger than its request");
        answer.truncate(reply.frame_len());
        let (headers, _) = frame::parse(SliceCursor::new(&answer)).unwrap();
        assert_eq!((headers.source, headers.destination), (request.destination, request.source));
        assert!(headers.payload_len <= request.payload_len);
        let wanted = hello_verify_request(reply.client_id, reply.record_sequence, &reply.cookie);
        assert_eq!(answer[headers.payload_at..][..headers.payload_len], wanted);
    }
    Some(verdict)
}

/// An IPv4 frame with this payload, checksums included.
fn framed(payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(9000)];
    let udp_len = (8 + payload.len()) as u16;
    let addresses = [198, 51, 100, 1, 192, 0, 2, 1];
    let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0];
    ip[2..4].copy_from_slice(&(20 + udp_len).to_be_bytes());
    ip.extend(addresses);
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum);
    let mut udp = [5000_u16, PORT, udp_len, 0].map(u16::to_be_bytes).concat();
    let pseudo = [&addresses[..], &[0, 17], &udp_len.to_be_bytes()].concat();
    let sum = checksum(&[&pseudo, &udp, payload]);
    udp[6..8].copy_from_slice(&if sum == [0; 2] { [0xff; 2] } else { sum });
    let ethernet = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let frame = [&ethernet[..], &ip, &udp, payload].concat();
    assert_eq!(frame.len(), PAYLOAD_AT + payload.len());
    frame
}

/// The Internet checksum of pieces, all but the last of even length (RFC 1071).
fn checksum(pieces: &[&[u8]]) -> [u8; 2] {
    let word =
        |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or_default());
    let mut sum: u32 = pieces.iter().flat_map(|piece| piece.chunks(2)).map(word).sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// The same ClientHello with a cookie, and message number 1.
fn with_cookie(payload: &[u8], cookie: &[u8; COOKIE_LEN]) -> Vec<u8> {
    let (prefix, hello) = payload.split_at(PREFIX_LEN);
    let cookie_at = SESSION_ID_AT + 1 + usize::from(hello[SESSION_ID_AT]);
    let mut again = [&hello[..cookie_at], &[COOKIE_LEN as u8], cookie].concat();
    again.extend(&hello[cookie_at + 1..]);
    for at in [HEADER_LEN - 2, MESSAGE_LEN_AT + 1, FRAGMENT_LEN_AT + 1] {
        let length = u16::from_be_bytes([again[at], again[at + 1]]) + COOKIE_LEN as u16;
        again[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    [prefix, &again].concat()
}
