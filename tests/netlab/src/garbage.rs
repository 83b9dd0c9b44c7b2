//! `udp-garbage`: bad packets whose fate is known beforehand.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use xdtls_common::DropReason;
use xdtls_common::client_hello::COOKIE_LEN;
use xdtls_common::prefix::{PREFIX_LEN, Prefix};
use xdtls_common::record::{DTLS_1_2, HEADER_LEN, RecordHeader, content_type};

use crate::hello::{
    FRAGMENT_LENGTH_AT, FRAGMENT_OFFSET_AT, Hello, MAJOR_VERSION_AT, MESSAGE_SEQ_AT,
};
use crate::random::Random;
use crate::report::json_line;
use crate::udp;

/// The reasons that packets of the series are dropped for, in the order of the report.
pub const REASONS: [DropReason; 5] = [
    DropReason::TooShort,
    DropReason::UnknownId,
    DropReason::NotAClientHello,
    DropReason::MalformedClientHello,
    DropReason::CookieInvalid,
];

/// How often each kind of packet is sent, each time with other random parts.
const ROUNDS: usize = 8;

/// The pause after each packet: the gateway is to count them all, not to be overrun.
const PAUSE: Duration = Duration::from_micros(200);

/// The largest noise: a full Ethernet frame's worth.
const NOISE_BYTES_MAX: usize = 1_400;

/// Sends a fixed series of bad packets to a gateway's port and says how many of each kind.
///
/// The kinds are the gateway's drop reasons: exactly that many drops of each are to be counted.
#[derive(Debug, Parser)]
pub struct Options {
    /// The gateway's address.
    #[arg(long, value_name = "ADDR:PORT")]
    target: SocketAddr,
    /// What random parts are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Sends the series and prints the counts.
pub fn run(options: &Options) -> Result<()> {
    let socket = udp::bind_towards(options.target)?;
    let packets = series(options.seed);
    for packet in &packets {
        let taken = udp::send(&socket, &packet.payload, options.target)?;
        ensure!(taken, "the send buffer is full, the counts would be wrong");
        std::thread::sleep(PAUSE);
    }
    let counts = REASONS.map(|reason| {
        let count = packets.iter().filter(|packet| packet.reason == reason).count();
        (reason.as_str(), count as u64)
    });
    println!("{}", json_line(&counts));
    Ok(())
}

/// A bad packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// What the gateway must count it as.
    pub reason: DropReason,
    /// The UDP payload.
    pub payload: Vec<u8>,
}

/// The whole series of a seed.
pub fn series(seed: u64) -> Vec<Packet> {
    let mut random = Random::new(seed);
    let mut packets = Vec::new();
    for _ in 0..ROUNDS {
        let kinds = [
            too_short(&mut random),
            unknown_id(&mut random),
            not_a_client_hello(&mut random),
            malformed_client_hello(&mut random),
            cookie_invalid(&mut random),
        ];
        for (reason, payloads) in REASONS.into_iter().zip(kinds) {
            packets.extend(payloads.into_iter().map(|payload| Packet { reason, payload }));
        }
    }
    packets
}

/// Noise of each length, none included, that has no room for a prefix and a record header.
fn too_short(random: &mut Random) -> Vec<Vec<u8>> {
    (0..PREFIX_LEN + HEADER_LEN).map(|length| random.bytes(length)).collect()
}

/// Records of each type, a good ClientHello and noise, all for ids drawn at random: with `n`
/// associations open, one in 2^32 ÷ `n` hits one.
fn unknown_id(random: &mut Random) -> Vec<Vec<u8>> {
    let mut records: Vec<_> = [20, 21, 22, 23, 27].map(|kind| record(kind, 1, random)).into();
    records.push(Hello::default().encode());
    records.extend((0..4).map(|_| noise(random)));
    records
        .into_iter()
        .map(|records| {
            let prefix = Prefix { sender: random.id(), receiver: random.id() };
            [&prefix.encode()[..], &records].concat()
        })
        .collect()
}

/// Without a receiver id: other records, other handshake messages, a foreign version, a bare header
/// and noise.
fn not_a_client_hello(random: &mut Random) -> Vec<Vec<u8>> {
    let hello = Hello::default().encode();
    let mut records: Vec<_> = [20, 21, 23, 27].map(|kind| record(kind, 0, random)).into();
    records.push(record(content_type::HANDSHAKE, 1, random));
    records.push(changed(&hello, HEADER_LEN, 2));
    records.push(changed(&hello, 1, 3));
    records.push(hello[..HEADER_LEN].to_vec());
    records.extend((0..4).map(|_| {
        let noise = noise(random);
        // One noise in many millions begins like a handshake record.
        changed(&noise, 0, noise[0] | 0x80)
    }));
    from_strangers(random, records)
}

/// ClientHellos with one fault each.
fn malformed_client_hello(random: &mut Random) -> Vec<Vec<u8>> {
    let hello = Hello { random: client_random(random), ..Hello::default() };
    let whole = hello.encode();
    let faults = vec![
        changed(&whole, MESSAGE_SEQ_AT, 2),
        changed(&whole, FRAGMENT_OFFSET_AT, 1),
        changed(&whole, FRAGMENT_LENGTH_AT, whole[FRAGMENT_LENGTH_AT] - 1),
        changed(&whole, MAJOR_VERSION_AT, 3),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], &[0]].concat(),
        [&whole[..], &whole[..]].concat(),
        Hello { session_id: &[1; 33], ..hello }.encode(),
        Hello { suites: &[], ..hello }.encode(),
        Hello { suites: &[0xc0, 0x2b, 0xc0], ..hello }.encode(),
        Hello { suites: &[0xc0; 258], ..hello }.encode(),
        Hello { compression: &[], ..hello }.encode(),
        Hello { compression: &[0; 17], ..hello }.encode(),
        Hello { extensions: &[0, 5, 0, 23, 0, 0], ..hello }.encode(),
    ];
    from_strangers(random, faults)
}

/// ClientHellos with cookies of our length that claim to be made long after now, and with cookies
/// of other lengths. One that claims an earlier time might count as expired instead: the gateway's
/// clock is not known here.
fn cookie_invalid(random: &mut Random) -> Vec<Vec<u8>> {
    let mut hellos = Vec::new();
    for length in [COOKIE_LEN, COOKIE_LEN, COOKIE_LEN, COOKIE_LEN, 1, 11, 13, 20, 32, 255] {
        let mut cookie = random.bytes(length);
        cookie[0] |= 0x80;
        let random = client_random(random);
        hellos.push(Hello { random, cookie: &cookie, ..Hello::default() }.encode());
    }
    from_strangers(random, hellos)
}

/// Puts the prefix of a client before each that does not know its server's id yet.
fn from_strangers(random: &mut Random, records: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let with_prefix = |records: Vec<u8>| {
        let prefix = Prefix { sender: random.id(), receiver: 0 };
        [&prefix.encode()[..], &records].concat()
    };
    records.into_iter().map(with_prefix).collect()
}

/// A whole record with random content.
fn record(content_type: u8, epoch: u16, random: &mut Random) -> Vec<u8> {
    let length = random.within(&(1..=64));
    let header =
        RecordHeader { content_type, version: DTLS_1_2, epoch, sequence: 1, length: length as u16 };
    [&header.encode()[..], &random.bytes(length)].concat()
}

/// Noise that is long enough to hold a record header.
fn noise(random: &mut Random) -> Vec<u8> {
    let length = random.within(&(HEADER_LEN..=NOISE_BYTES_MAX));
    random.bytes(length)
}

fn client_random(random: &mut Random) -> [u8; 32] {
    std::array::from_fn(|_| random.draw() as u8)
}

fn changed(bytes: &[u8], at: usize, value: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] = value;
    bytes
}

#[cfg(test)]
mod tests {
    use xdtls_common::client_hello::{ClientHello, HelloError};
    use xdtls_common::cookie::{CookieSecrets, HelloPath, Judgement, judge};
    use xdtls_common::cursor::SliceCursor;
    use xdtls_common::verdict::{Verdict, verdict};

    use super::*;

    static SECRETS: CookieSecrets = CookieSecrets::new([[3; 2]; 4]);

    /// What a gateway without associations makes of a packet, `now_s` seconds after its start.
    fn fate(payload: &[u8], now_s: u32) -> Option<DropReason> {
        if payload.len() < PREFIX_LEN + HEADER_LEN {
            return Some(DropReason::TooShort);
        }
        let mut cursor = SliceCursor::new(payload);
        let prefix = Prefix::parse(&mut cursor).unwrap();
        match verdict(prefix, None, &mut cursor.clone()) {
            Verdict::Drop(reason) => return Some(reason),
            Verdict::ClientHello => {}
            other => panic!("{other:?}"),
        }
        let hello = match ClientHello::parse(&mut cursor.clone()) {
            Ok(hello) => hello,
            Err(HelloError::Malformed) => return Some(DropReason::MalformedClientHello),
            Err(HelloError::NotAClientHello) => return Some(DropReason::NotAClientHello),
        };
        let path = HelloPath {
            peer_address: [1; 16],
            peer_port: 1,
            local_address: [2; 16],
            local_port: 2,
            client_id: prefix.sender,
        };
        match judge(&SECRETS, now_s, &path, &hello, &mut cursor) {
            Judgement::Drop(reason) => Some(reason),
            Judgement::Reply(_) | Judgement::Accept => None,
        }
    }

    #[test]
    fn each_packet_has_the_fate_it_is_counted_under() {
        for seed in 0..50 {
            for Packet { reason, payload } in series(seed) {
                for now_s in [0, 100, 100_000_000] {
                    assert_eq!(fate(&payload, now_s), Some(reason), "{seed}: {payload:02x?}");
                }
            }
        }
    }

    #[test]
    fn the_series_differs_in_content_but_not_in_counts() {
        let counts = |seed| {
            let packets = series(seed);
            REASONS.map(|reason| packets.iter().filter(|packet| packet.reason == reason).count())
        };
        assert_eq!(counts(1), counts(2));
        assert_eq!(counts(1).iter().sum::<usize>(), series(1).len());
        assert_ne!(series(1)[20].payload, series(2)[20].payload);
    }

    #[test]
    fn the_hello_that_faults_are_made_from_is_good() {
        assert_eq!(fate(&crate::hello::first_hello(1), 5), None);
    }
}
