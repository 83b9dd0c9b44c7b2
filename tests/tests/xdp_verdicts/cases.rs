//! The table: which frame goes where. What it says of datagrams stands in [`crate::datagrams`].

use xdtls_common::DropReason::{MalformedRecord, TooShort};
use xdtls_common::steering::Steering::{self, Drop, NotOurs, Worker};

use crate::datagrams::datagrams;
use crate::fixture::{ESTABLISHED, PEER, PORT};
use crate::frames::{Family, Frame, datagram, record};

/// One row.
pub(crate) struct Case {
    /// What the frame is.
    pub(crate) name: String,
    /// The frame.
    pub(crate) frame: Vec<u8>,
    /// Where it must go.
    pub(crate) expected: Steering,
}

/// The whole table.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let tags: [(&str, &[[u16; 2]]); 3] =
        [("untagged", &[]), ("802.1Q", &[[0x8100, 0x2005]]), ("802.1ad", &[[0x88a8, 5]])];
    for (family, version) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
        for (tag, tags) in tags {
            for (name, payload, expected) in datagrams() {
                let frame = Frame { tags: tags.to_vec(), ..Frame::new(family, payload) };
                let name = format!("{version} {tag}: {name}");
                cases.push(Case { name, frame: frame.encode(), expected });
            }
        }
        for (name, frame, expected) in any_version(family) {
            cases.push(Case { name: format!("{version}: {name}"), frame, expected });
        }
    }
    for (name, frame, expected) in ipv4_only().into_iter().chain(ipv6_only()) {
        cases.push(Case { name: name.into(), frame, expected });
    }
    cases
}

/// What it is, its bytes, where it goes.
pub(crate) type Row = (&'static str, Vec<u8>, Steering);

/// Rows about the frame, for both IP versions.
fn any_version(family: Family) -> Vec<Row> {
    let data = datagram(PEER, ESTABLISHED, &[record(23, 1, 30)]);
    let plain = Frame::new(family, data.clone());
    let with = |change: fn(&mut Frame)| {
        let mut frame = plain.clone();
        change(&mut frame);
        frame.encode()
    };
    let short = Frame::new(family, datagram(PEER, ESTABLISHED, &[]));
    let cut = |by: usize| {
        let bytes = plain.encode();
        bytes[..bytes.len() - by].to_vec()
    };
    vec![
        ("another port", with(|f| f.port = PORT + 1), NotOurs),
        ("port 0", with(|f| f.port = 0), NotOurs),
        ("TCP", with(|f| f.protocol = 6), NotOurs),
        ("ICMPv6", with(|f| f.protocol = 58), NotOurs),
        ("ARP", with(|f| f.ethertype = Some(0x0806)), NotOurs),
        ("an unknown protocol", with(|f| f.ethertype = Some(0x88cc)), NotOurs),
        ("a length for an EtherType", with(|f| f.ethertype = Some(100)), NotOurs),
        ("two VLAN tags", with(|f| f.tags = vec![[0x88a8, 5], [0x8100, 6]]), NotOurs),
        ("padding", with(|f| f.padding = vec![0; 60]), Worker(1)),
        // With the padding it would be a record, though none of this association.
        ("padding is no payload", pad(&short, &record(23, 1, 30)), Drop(TooShort)),
        ("UDP ends before IP", with(|f| f.udp_length_error = -30), Drop(MalformedRecord)),
        ("UDP ends before itself", with(|f| f.udp_length_error = -52), NotOurs),
        ("UDP without length", with(|f| f.udp_length_error = -59), NotOurs),
        ("UDP beyond IP", with(|f| f.udp_length_error = 1), NotOurs),
        ("IP beyond the frame", with(|f| f.ip_length_error = 1), NotOurs),
        ("IP ends before UDP", with(|f| f.ip_length_error = -1), NotOurs),
        ("IP ends in its header", with(|f| f.ip_length_error = -70), NotOurs),
        ("a frame cut by one byte", cut(1), NotOurs),
        ("a frame cut in the prefix", cut(48), NotOurs),
        ("a frame cut in UDP", cut(54), NotOurs),
        ("a frame cut in IP", cut(70), NotOurs),
        ("an Ethernet header alone", plain.encode()[..14].to_vec(), NotOurs),
        ("a VLAN tag cut", with(|f| f.tags = vec![[0x8100, 5]])[..16].to_vec(), NotOurs),
    ]
}

fn pad(frame: &Frame, padding: &[u8]) -> Vec<u8> {
    [&frame.encode()[..], padding].concat()
}

fn ipv4_only() -> Vec<Row> {
    let data = datagram(PEER, ESTABLISHED, &[record(23, 1, 30)]);
    let with = |change: fn(&mut Frame)| {
        let mut frame = Frame::new(Family::V4, data.clone());
        change(&mut frame);
        frame.encode()
    };
    let mut wrong_version = with(|_| {});
    wrong_version[14] = 0x55;
    vec![
        ("IPv4: options", with(|f| f.options = vec![1; 4]), NotOurs),
        ("IPv4: the longest options", with(|f| f.options = vec![1; 40]), NotOurs),
        ("IPv4: fragments are allowed", with(|f| f.fragment = 0), Worker(1)),
        ("IPv4: a first fragment", with(|f| f.fragment = 0x2000), NotOurs),
        ("IPv4: a middle fragment", with(|f| f.fragment = 0x2064), NotOurs),
        ("IPv4: a last fragment", with(|f| f.fragment = 0x0001), NotOurs),
        ("IPv4: a last fragment far on", with(|f| f.fragment = 0x1f00), NotOurs),
        ("IPv4: the reserved flag", with(|f| f.fragment = 0x8000), NotOurs),
        ("IPv4: version 5", wrong_version, NotOurs),
        ("IPv4 in a frame of IPv6", with(|f| f.ethertype = Some(0x86dd)), NotOurs),
    ]
}

fn ipv6_only() -> Vec<Row> {
    let data = datagram(PEER, ESTABLISHED, &[record(23, 1, 30)]);
    let extended = |next_header: u8, header: [u8; 8]| {
        let mut frame = Frame::new(Family::V6, data.clone());
        (frame.protocol, frame.extensions) = (next_header, header.to_vec());
        frame.encode()
    };
    let mut flow_label = Frame::new(Family::V6, data.clone()).encode();
    flow_label[14..18].copy_from_slice(&[0x6f, 0xff, 0xff, 0xff]);
    let mut wrong_version = flow_label.clone();
    wrong_version[14] = 0x4f;
    let mut ipv4_type = Frame::new(Family::V6, data.clone());
    ipv4_type.ethertype = Some(0x0800);
    vec![
        ("IPv6: hop-by-hop options", extended(0, [17, 0, 1, 4, 0, 0, 0, 0]), NotOurs),
        ("IPv6: a routing header", extended(43, [17, 0, 0, 0, 0, 0, 0, 0]), NotOurs),
        ("IPv6: a fragment", extended(44, [17, 0, 0, 1, 0, 0, 0, 1]), NotOurs),
        ("IPv6: an atomic fragment", extended(44, [17, 0, 0, 0, 0, 0, 0, 1]), NotOurs),
        ("IPv6: destination options", extended(60, [17, 0, 1, 4, 0, 0, 0, 0]), NotOurs),
        ("IPv6: class and flow label", flow_label, Worker(1)),
        ("IPv6: version 4", wrong_version, NotOurs),
        ("IPv6 in a frame of IPv4", ipv4_type.encode(), NotOurs),
    ]
}
