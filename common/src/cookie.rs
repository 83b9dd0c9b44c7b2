//! Stateless cookies (RFC 6347 §4.2.1): when made (seconds, 4 bytes) ‖ MAC (8 bytes).
//!
//! The MAC is SipHash-2-4 over the time, the lengths in the ClientHello and a [universal
//! hash](crate::universal) of the sender's and our address, the client id and the ClientHello, under a
//! secret that changes every [`PERIOD_S`] seconds. Four secrets lie in a ring that is indexed by the
//! period: those of this period and the two before judge cookies, the fourth is the one that is
//! being written for the next. No reader can see a half-written secret in use.

use core::net::IpAddr;

use bytemuck::{Pod, Zeroable};

use crate::budget::SketchKey;
use crate::client_hello::{COOKIE_LEN, ClientHello, CookieField, HelloKeys};
use crate::cursor::Cursor;
use crate::drop_reason::DropReason;
use crate::siphash::{Key, SipHash};
use crate::universal::{LANES, Universal, WordKey};

/// How long one secret makes cookies, in seconds.
pub const PERIOD_S: u32 = 60;

/// How long a cookie is good, in seconds: to its last second it is judged by a secret of the ring.
pub const LIFE_S: u32 = 2 * PERIOD_S;

/// How many secrets the ring holds.
pub const SECRETS: usize = 4;

/// A secret and all that is drawn from it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Secret {
    mac: Key,
    sketch: SketchKey,
    start: [u64; LANES],
    path: [WordKey; PATH_WORDS],
    hello: HelloKeys,
}

/// Words of the addresses, and of the ports and the client id.
const PATH_WORDS: usize = 5;

/// How many words are drawn from a secret.
const DRAWN: usize = size_of::<Secret>() / 8;

impl Secret {
    /// Draws what is needed from 128 secret bits, which are used for nothing else: SipHash-2-4 of
    /// 0, 1, 2, …
    pub const fn new(secret: Key) -> Self {
        let mut words = [0; DRAWN];
        let mut at = 0;
        while at < DRAWN {
            let mut hash = SipHash::new(secret);
            hash.word(at as u64);
            words[at] = hash.finish();
            at += 1;
        }
        bytemuck::must_cast(words)
    }

    /// What places sources in a sketch as long as this secret makes cookies.
    pub const fn sketch(&self) -> &SketchKey {
        &self.sketch
    }

    /// What a ClientHello is hashed with.
    pub const fn hello(&self) -> &HelloKeys {
        &self.hello
    }
}

/// The ring of secrets.
#[derive(Clone)]
pub struct CookieSecrets(pub [Secret; SECRETS]);

/// Where secrets come from: memory, or a map of the XDP program.
pub trait Secrets {
    /// The secret at a place of the ring.
    fn secret(&self, index: usize) -> Option<&Secret>;
}

impl Secrets for CookieSecrets {
    fn secret(&self, index: usize) -> Option<&Secret> {
        self.0.get(index)
    }
}

/// Who sends a ClientHello and where to. Addresses are IPv6, IPv4 as mapped (RFC 4291 §2.5.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloPath {
    /// The sender's address.
    pub peer_address: [u8; 16],
    /// The sender's UDP port.
    pub peer_port: u16,
    /// The address of ours that it was sent to.
    pub local_address: [u8; 16],
    /// Our UDP port.
    pub local_port: u16,
    /// The sender id of the prefix.
    pub client_id: u32,
}

/// An address as 16 bytes, IPv4 as mapped.
#[inline(always)]
pub const fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

impl HelloPath {
    /// Whether the sender may be answered at all: it is one host, and not ourselves.
    #[inline(always)]
    pub fn may_be_answered(&self) -> bool {
        let ours = self.peer_port == self.local_port && self.peer_address == self.local_address;
        self.peer_port != 0 && !is_many_or_nobody(self.peer_address) && !ours
    }

    /// Whether the ClientHello was sent to more than one host.
    #[inline(always)]
    pub fn is_to_many(&self) -> bool {
        is_many_or_nobody(self.local_address)
    }

    /// Whether it cannot have come over a wire, unless somebody lies.
    #[inline(always)]
    pub fn is_within_host(&self) -> bool {
        self.peer_address == self.local_address
            || is_loopback(u128::from_be_bytes(self.peer_address))
    }
}

/// Broadcast, multicast and unspecified addresses. Here and below addresses are numbers: the methods
/// of `Ipv6Addr` go byte by byte, which in BPF takes longer than a checksum.
#[inline(always)]
fn is_many_or_nobody(address: [u8; 16]) -> bool {
    let number = u128::from_be_bytes(address);
    match ipv4_of(number) {
        Some(v4) => v4 == u32::MAX || v4 >> 28 == 0xe || v4 == 0,
        None => number >> 120 == 0xff || number == 0,
    }
}

#[inline(always)]
fn is_loopback(number: u128) -> bool {
    match ipv4_of(number) {
        Some(v4) => v4 >> 24 == 127,
        None => number == 1,
    }
}

/// The IPv4 address that is mapped.
#[inline(always)]
fn ipv4_of(number: u128) -> Option<u32> {
    (number >> 32 == 0xffff).then_some(number as u32)
}

/// What is to be done with a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Answer with a HelloVerifyRequest that carries this cookie.
    Reply([u8; COOKIE_LEN]),
    /// The sender has shown that it receives at its address: begin the handshake.
    Accept,
    /// Drop it in silence: a second HelloVerifyRequest helps no client that is known.
    Drop(DropReason),
}

/// Where in the ring the secret of the second `now_s` lies.
#[inline(always)]
pub const fn ring_index(now_s: u32) -> usize {
    (now_s / PERIOD_S) as usize % SECRETS
}

impl CookieSecrets {
    /// A ring of these.
    pub const fn new([a, b, c, d]: [Key; SECRETS]) -> Self {
        Self([Secret::new(a), Secret::new(b), Secret::new(c), Secret::new(d)])
    }

    /// The place that is to be given a fresh secret during the period of `now_s`: the next one's.
    pub const fn index_to_renew(now_s: u32) -> usize {
        ring_index(now_s.wrapping_add(PERIOD_S))
    }
}

/// Judges a ClientHello at the second `now_s` of a monotonic clock. `cursor` stands where
/// [`ClientHello::parse`] began.
#[inline(always)]
pub fn judge(
    secrets: &impl Secrets,
    now_s: u32,
    path: &HelloPath,
    hello: &ClientHello,
    cursor: &mut impl Cursor,
) -> Judgement {
    let made_s = match hello.cookie {
        CookieField::Empty => now_s,
        CookieField::Foreign => return Judgement::Drop(DropReason::CookieInvalid),
        CookieField::Cookie([s0, s1, s2, s3, ..]) => u32::from_be_bytes([s0, s1, s2, s3]),
    };
    if made_s > now_s {
        return Judgement::Drop(DropReason::CookieInvalid);
    }
    if now_s - made_s > LIFE_S {
        return Judgement::Drop(DropReason::CookieExpired);
    }
    let Some(secret) = secrets.secret(ring_index(made_s)) else {
        return Judgement::Drop(DropReason::CookieInvalid);
    };
    let Some(cookie) = make(secret, made_s, path, hello, cursor) else {
        return Judgement::Drop(DropReason::MalformedClientHello);
    };
    match hello.cookie {
        CookieField::Empty => Judgement::Reply(cookie),
        CookieField::Cookie(theirs) if same(&theirs, &cookie) => Judgement::Accept,
        _ => Judgement::Drop(DropReason::CookieInvalid),
    }
}

#[inline(always)]
fn make(
    secret: &Secret,
    made_s: u32,
    path: &HelloPath,
    hello: &ClientHello,
    cursor: &mut impl Cursor,
) -> Option<[u8; COOKIE_LEN]> {
    let mut hash = Universal::new(secret.start);
    let [peer_high, peer_low, local_high, local_low, rest] = &secret.path;
    for (high, low, address) in
        [(peer_high, peer_low, path.peer_address), (local_high, local_low, path.local_address)]
    {
        let number = u128::from_be_bytes(address);
        hash.word(high, (number >> 96) as u32, (number >> 64) as u32);
        hash.word(low, (number >> 32) as u32, number as u32);
    }
    let ports = u32::from(path.peer_port) << 16 | u32::from(path.local_port);
    hash.word(rest, ports, path.client_id);
    hello.absorb_into(&mut hash, &secret.hello, cursor).ok()?;
    let mut mac = SipHash::new(secret.mac);
    mac.word(hash.finish());
    // Seven bytes: what both hashes are of the same length for.
    let rest = u64::from(hello.lengths()) << 32 | u64::from(made_s);
    let [m0, m1, m2, m3, m4, m5, m6, m7] = mac.finish_with(rest.to_le_bytes(), 7).to_be_bytes();
    let [s0, s1, s2, s3] = made_s.to_be_bytes();
    Some([s0, s1, s2, s3, m0, m1, m2, m3, m4, m5, m6, m7])
}

/// Compares without a branch on any byte.
#[inline(always)]
fn same(left: &[u8; COOKIE_LEN], right: &[u8; COOKIE_LEN]) -> bool {
    let differing = left.iter().zip(right).fold(0, |bits, (l, r)| bits | (l ^ r));
    core::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_hello::tests::hello;
    use crate::cursor::SliceCursor;

    const SECRETS_UNDER_TEST: CookieSecrets = CookieSecrets::new([[1, 2], [3, 4], [5, 6], [7, 8]]);
    const PATH: HelloPath = HelloPath {
        peer_address: [1; 16],
        peer_port: 1000,
        local_address: [2; 16],
        local_port: 4433,
        client_id: 0xabcd,
    };

    fn judge(secrets: &CookieSecrets, now_s: u32, path: &HelloPath, bytes: &[u8]) -> Judgement {
        let hello = ClientHello::parse(&mut SliceCursor::new(bytes)).unwrap();
        super::judge(secrets, now_s, path, &hello, &mut SliceCursor::new(bytes))
    }

    fn cookie_at(now_s: u32) -> [u8; COOKIE_LEN] {
        let first = hello(&[3; 32], &[], &[4; 30], &[]);
        match judge(&SECRETS_UNDER_TEST, now_s, &PATH, &first) {
            Judgement::Reply(cookie) => cookie,
            other => panic!("{other:?}"),
        }
    }

    fn present(cookie: &[u8], now_s: u32, path: &HelloPath) -> Judgement {
        judge(&SECRETS_UNDER_TEST, now_s, path, &hello(&[3; 32], cookie, &[4; 30], &[]))
    }

    #[test]
    fn a_cookie_is_good_for_its_life_and_no_longer() {
        for made_s in [0, 59, 60, 61, 1_000_019] {
            let cookie = cookie_at(made_s);
            for age in [0, 1, 59, 60, 119, LIFE_S] {
                assert_eq!(present(&cookie, made_s + age, &PATH), Judgement::Accept, "{age}");
            }
            let expired = Judgement::Drop(DropReason::CookieExpired);
            assert_eq!(present(&cookie, made_s + LIFE_S + 1, &PATH), expired);
        }
    }

    #[test]
    fn a_cookie_from_the_future_is_invalid() {
        let invalid = Judgement::Drop(DropReason::CookieInvalid);
        assert_eq!(present(&cookie_at(100), 99, &PATH), invalid);
    }

    #[test]
    fn a_cookie_is_bound_to_both_ends_the_client_and_its_hello() {
        let cookie = cookie_at(7);
        let invalid = Judgement::Drop(DropReason::CookieInvalid);
        for path in [
            HelloPath { peer_address: [9; 16], ..PATH },
            HelloPath { peer_port: 1001, ..PATH },
            HelloPath { local_address: [9; 16], ..PATH },
            HelloPath { local_port: 4434, ..PATH },
            HelloPath { client_id: 0xabce, ..PATH },
        ] {
            assert_eq!(present(&cookie, 7, &path), invalid, "{path:?}");
        }
        let other_suites = hello(&[3; 32], &cookie, &[5; 30], &[]);
        assert_eq!(judge(&SECRETS_UNDER_TEST, 7, &PATH, &other_suites), invalid);
        for at in 0..COOKIE_LEN {
            let mut forged = cookie;
            forged[at] ^= 0x80;
            assert_ne!(present(&forged, 7, &PATH), Judgement::Accept, "byte {at}");
        }
        assert_eq!(present(&[0; 20], 7, &PATH), invalid);
    }

    #[test]
    fn addresses_are_classed_as_the_standard_library_does() {
        for text in [
            "0.0.0.0",
            "0.0.0.1",
            "127.0.0.0",
            "127.255.255.255",
            "128.0.0.0",
            "192.0.2.1",
            "223.255.255.255",
            "224.0.0.0",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
            "255.255.255.254",
            "::",
            "::1",
            "::2",
            "::7f00:1",
            "::ffff:0:0",
            "::fffe:7f00:1",
            "1::ffff:127.0.0.1",
            "fe80::1",
            "feff::1",
            "ff00::",
            "ff02::1",
            "ffff::ffff:ffff",
        ] {
            let address: IpAddr = text.parse().unwrap();
            let canonical = address.to_canonical();
            let many_or_nobody = canonical.is_multicast()
                || canonical.is_unspecified()
                || canonical == IpAddr::from([255; 4]);
            assert_eq!(is_many_or_nobody(mapped(address)), many_or_nobody, "{text}");
            let number = u128::from_be_bytes(mapped(address));
            assert_eq!(is_loopback(number), canonical.is_loopback(), "{text}");
        }
    }

    #[test]
    fn renewing_a_secret_never_touches_one_that_still_judges() {
        for now_s in [0, 59, 60, 119, 12_345, 12_359] {
            let mut secrets = SECRETS_UNDER_TEST;
            secrets.0[CookieSecrets::index_to_renew(now_s)] = Secret::new([9, 9]);
            for age in 0..=LIFE_S.min(now_s) {
                let bytes = hello(&[3; 32], &cookie_at(now_s - age), &[4; 30], &[]);
                assert_eq!(judge(&secrets, now_s, &PATH, &bytes), Judgement::Accept);
            }
        }
    }
}
