//! The table of ClientHellos: which is answered, passed or dropped, at every boundary.

use xdtls_common::DropReason::{
    self, CookieInvalid, MalformedClientHello, NotAClientHello, ReplyForbidden, WrongPeerId,
};

use crate::fixture::PORT;
use crate::hellos::Hello;

/// What must become of a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It is answered.
    Reply,
    /// Only the kernel can judge it.
    PassSlowly,
    /// It goes no further.
    Drop(DropReason),
}

use Expected::{Drop, PassSlowly, Reply};

/// One row.
pub(crate) struct HelloCase {
    /// What the ClientHello is.
    pub(crate) name: String,
    /// What it was made from.
    pub(crate) hello: Hello,
    /// The frame, perhaps damaged since.
    pub(crate) frame: Vec<u8>,
    /// What must become of it.
    pub(crate) expected: Expected,
}

/// The whole table.
pub(crate) fn hello_cases() -> Vec<HelloCase> {
    let mut cases = Vec::new();
    for (family, plain) in [("IPv4", Hello::v4()), ("IPv6", Hello::v6())] {
        for vlan in [None, Some(77)] {
            let plain = Hello { vlan, ..plain.clone() };
            let tag = if vlan.is_some() { "tagged" } else { "untagged" };
            let mut add = |name: &str, hello: &Hello, frame: Vec<u8>, expected| {
                let name = format!("{family} {tag}: {name}");
                cases.push(HelloCase { name, hello: hello.clone(), frame, expected });
            };
            for (name, hello, expected) in whole(&plain) {
                add(&name, &hello, hello.frame(), expected);
            }
            for (name, hello, expected) in senders(&plain) {
                add(name, &hello, hello.frame(), expected);
            }
            for (name, payload, expected) in damaged(&plain) {
                add(name, &plain, plain.frame_of(&payload), expected);
            }
            for (name, frame, expected) in frames(&plain) {
                add(name, &plain, frame, expected);
            }
        }
    }
    cases
}

/// Whole ClientHellos, at each boundary of each length.
fn whole(plain: &Hello) -> Vec<(String, Hello, Expected)> {
    let mut rows = vec![("a first ClientHello".to_owned(), plain.clone(), Reply)];
    let mut add = |name: String, change: &dyn Fn(&mut Hello), expected| {
        let mut hello = plain.clone();
        change(&mut hello);
        rows.push((name, hello, expected));
    };
    for length in [0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 31, 32] {
        add(format!("{length} bytes of session id"), &|h| h.session_id = length, Reply);
    }
    add("33 bytes of session id".into(), &|h| h.session_id = 33, Drop(MalformedClientHello));
    for count in [1, 2, 3, 4, 5, 99, 100, 127, 128] {
        add(format!("{count} suites"), &|h| h.suites = count, Reply);
    }
    add("no suites".into(), &|h| h.suites = 0, Drop(MalformedClientHello));
    add("129 suites".into(), &|h| h.suites = 129, Drop(MalformedClientHello));
    for count in [1, 2, 7, 16] {
        add(format!("{count} compression methods"), &|h| h.methods = count, Reply);
    }
    add("no compression method".into(), &|h| h.methods = 0, Drop(MalformedClientHello));
    add("17 compression methods".into(), &|h| h.methods = 17, Drop(MalformedClientHello));
    add("no extensions".into(), &|h| h.extension = None, Reply);
    for length in [0, 1, 2, 3, 4, 5, 6, 7, 8, 120, 1200] {
        add(format!("an extension of {length} bytes"), &|h| h.extension = Some(length), Reply);
    }
    let short = |h: &mut Hello| (h.suites, h.extension) = (1, None);
    add("the shortest of all".into(), &short, Reply);
    // 99 bytes with one extension that is empty.
    let longest = 2048 - 99;
    add("the longest of all".into(), &|h| h.extension = Some(longest), Reply);
    add("a byte more".into(), &|h| h.extension = Some(longest + 1), PassSlowly);
    add("DTLS 1.2 in the record".into(), &|h| h.version = [0xfe, 0xfd], Reply);
    add("the last sequence number".into(), &|h| h.sequence = (1 << 48) - 1, Reply);
    add("sequence number 0".into(), &|h| h.sequence = 0, Reply);
    add("message_seq 1".into(), &|h| h.message_seq = 1, Reply);
    add("message_seq 2".into(), &|h| h.message_seq = 2, Drop(MalformedClientHello));
    add("epoch 1".into(), &|h| h.sequence = 1 << 48, Drop(NotAClientHello));
    add("TLS 1.2 in the record".into(), &|h| h.version = [3, 3], Drop(NotAClientHello));
    for length in [1, 11, 12, 13, 32, 255] {
        let cookie = vec![0; length];
        let name = format!("a cookie of {length} zeros");
        // Twelve zeros say that they were made at the start of the clock.
        let reason = if length == 12 { DropReason::CookieExpired } else { CookieInvalid };
        add(name, &move |h| h.cookie = cookie.clone(), Drop(reason));
    }
    add("a cookie from the future".into(), &|h| h.cookie = vec![0xff; 12], Drop(CookieInvalid));
    rows
}

/// Whole ClientHellos from whom, or for whom, there must be no answer.
fn senders(plain: &Hello) -> Vec<(&'static str, Hello, Expected)> {
    let v4 = plain.source.is_ipv4();
    let from = |address: &str| {
        let mut hello = plain.clone();
        hello.source.set_ip(address.parse().expect("an address"));
        hello
    };
    let to = |address: &str| {
        let mut hello = plain.clone();
        hello.destination.set_ip(address.parse().expect("an address"));
        hello
    };
    let with_port = |mut hello: Hello, port| {
        hello.source.set_port(port);
        hello
    };
    let with_macs = |macs| Hello { macs, ..plain.clone() };
    let [unicast, other] = plain.macs;
    let either = |of_v4, of_v6| if v4 { of_v4 } else { of_v6 };
    let own = plain.destination.ip().to_string();
    let mut rows = vec![
        ("no client id", Hello { client_id: 0, ..plain.clone() }, Drop(WrongPeerId)),
        ("from port 0", with_port(plain.clone(), 0), Drop(ReplyForbidden)),
        ("from our port", with_port(plain.clone(), PORT), Reply),
        ("from nobody", from(either("0.0.0.0", "::")), Drop(ReplyForbidden)),
        ("from a multicast group", from(either("224.0.0.1", "ff02::1")), Drop(ReplyForbidden)),
        ("from another group", from(either("239.255.255.255", "ff3e::5")), Drop(ReplyForbidden)),
        ("from ourselves", with_port(from(&own), PORT), Drop(ReplyForbidden)),
        ("from our address", from(&own), PassSlowly),
        ("from loopback", from(either("127.0.0.1", "::1")), PassSlowly),
        ("to a multicast group", to(either("224.0.0.1", "ff02::1")), Drop(ReplyForbidden)),
        ("to nobody", to(either("0.0.0.0", "::")), Drop(ReplyForbidden)),
        ("to every station", with_macs([unicast, [0xff; 6]]), Drop(ReplyForbidden)),
        (
            "from a group of stations",
            with_macs([[1, 0, 0x5e, 0, 0, 1], other]),
            Drop(ReplyForbidden),
        ),
    ];
    if v4 {
        rows.push(("from broadcast", from("255.255.255.255"), Drop(ReplyForbidden)));
        rows.push(("to broadcast", to("255.255.255.255"), Drop(ReplyForbidden)));
    }
    rows
}

/// Payloads that are no whole ClientHello.
fn damaged(plain: &Hello) -> Vec<(&'static str, Vec<u8>, Expected)> {
    let whole = plain.payload();
    let with = |at: usize, value: u8| {
        let mut payload = whole.clone();
        payload[at] = value;
        payload
    };
    let longer = [&whole[..], &[0]].concat();
    vec![
        ("a byte is missing", whole[..whole.len() - 1].to_vec(), Drop(MalformedClientHello)),
        ("a byte too many", longer, Drop(MalformedClientHello)),
        ("no handshake record", with(8, 23), Drop(NotAClientHello)),
        ("another message", with(21, 2), Drop(NotAClientHello)),
        ("a fragment", with(29, 1), Drop(MalformedClientHello)),
        ("another version", with(33, 3), Drop(MalformedClientHello)),
        ("an odd length of suites", with(70, 21), Drop(MalformedClientHello)),
        ("cut in the header of the message", whole[..32].to_vec(), Drop(NotAClientHello)),
    ]
}

/// Frames whose headers are not as they should be.
fn frames(plain: &Hello) -> Vec<(&'static str, Vec<u8>, Expected)> {
    let whole = plain.frame();
    let ip_at = if plain.vlan.is_some() { 18 } else { 14 };
    let udp_at = ip_at + if plain.source.is_ipv4() { 20 } else { 40 };
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = whole.clone();
        change(&mut frame);
        frame
    };
    let mut rows = vec![
        ("a wrong UDP checksum", with(&|f| f[udp_at + 7] ^= 1), PassSlowly),
        ("no UDP checksum", with(&|f| f[udp_at + 6..udp_at + 8].fill(0)), PassSlowly),
        ("a random byte that flipped", with(&|f| f[udp_at + 50] ^= 0x80), PassSlowly),
        ("the last byte flipped", with(&|f| *f.last_mut().expect("a byte") ^= 1), PassSlowly),
        ("padding behind the packet", with(&|f| f.extend([0x55; 30])), Reply),
    ];
    if plain.source.is_ipv4() {
        rows.push(("a wrong IPv4 checksum", with(&|f| f[ip_at + 10] ^= 1), PassSlowly));
        rows.push(("another time to live", with(&|f| f[ip_at + 8] ^= 1), PassSlowly));
    }
    rows
}
