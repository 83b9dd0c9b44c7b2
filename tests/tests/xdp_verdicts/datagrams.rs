//! Which datagram goes where, whatever frame it came in.

use xdtls_common::DropReason::{
    Closed, HandshakeRecordType, MalformedRecord, NotAClientHello, TooShort, UnknownId, WrongEpoch,
    WrongPeerId, WrongRecordType,
};
use xdtls_common::steering::Steering::{Drop, Handshake, Worker};
use xdtls_common::verdict::MAX_LEADING_RECORDS;

use crate::cases::Row;
use crate::fixture::{
    CLEARED, ESTABLISHED, ESTABLISHED_TOO, FREE, HALF_OPEN, LAST, OPENING, OVERWRITTEN, PEER,
    RESTING, SLOTS, next_generation,
};
use crate::frames::{datagram, record};

/// Rows about the datagram alone; each holds for every IP version and VLAN tag.
pub(crate) fn datagrams() -> Vec<Row> {
    let mut rows = ids();
    rows.extend(phases());
    rows.extend(records());
    rows
}

fn ids() -> Vec<Row> {
    let data = |sender, receiver| datagram(sender, receiver, &[record(23, 1, 30)]);
    vec![
        ("nothing", vec![], Drop(TooShort)),
        ("seven bytes", vec![0; 7], Drop(TooShort)),
        ("a prefix of zeros", vec![0; 8], Drop(TooShort)),
        ("zeros one byte short of a record", vec![0; 20], Drop(TooShort)),
        ("zeros as long as a record header", vec![0; 21], Drop(WrongPeerId)),
        ("no receiver id", datagram(PEER, 0, &[record(22, 0, 80)]), Drop(NotAClientHello)),
        ("no receiver id, data", data(PEER, 0), Drop(NotAClientHello)),
        ("an id whose slot is free", data(PEER, FREE), Drop(UnknownId)),
        ("a free slot, a short record", datagram(PEER, FREE, &[vec![23; 12]]), Drop(TooShort)),
        ("a slot without generation", data(PEER, SLOTS - 2), Drop(UnknownId)),
        ("a wrong generation", data(PEER, next_generation(ESTABLISHED)), Drop(UnknownId)),
        ("all ones", data(PEER, u32::MAX), Drop(UnknownId)),
        ("a slot just overwritten", data(PEER, OVERWRITTEN), Drop(UnknownId)),
        ("a slot just cleared", data(PEER, CLEARED), Drop(UnknownId)),
        ("a slot that rests", data(PEER, RESTING), Drop(Closed)),
        ("a slot that rests, a wrong peer", data(PEER + 1, RESTING), Drop(Closed)),
        ("an established id", data(PEER, ESTABLISHED), Worker(1)),
        ("another established id", data(PEER, ESTABLISHED_TOO), Worker(0)),
        ("the last slot", data(PEER, LAST), Worker(1)),
        ("established, a wrong peer", data(PEER + 1, ESTABLISHED), Drop(WrongPeerId)),
        ("established, no peer", data(0, ESTABLISHED), Drop(WrongPeerId)),
        ("half-open, a wrong peer", data(PEER + 1, HALF_OPEN), Drop(WrongPeerId)),
        ("half-open, no peer", data(0, HALF_OPEN), Drop(WrongPeerId)),
        ("only a prefix", datagram(PEER, ESTABLISHED, &[]), Drop(TooShort)),
    ]
}

fn phases() -> Vec<Row> {
    let one = |receiver, kind, epoch| datagram(PEER, receiver, &[record(kind, epoch, 30)]);
    vec![
        ("opening, HelloVerifyRequest", datagram(0, OPENING, &[record(22, 0, 30)]), Handshake),
        ("opening, any sender", one(OPENING, 22, 0), Handshake),
        ("opening, epoch 2", one(OPENING, 22, 2), Drop(WrongEpoch)),
        ("half-open, ChangeCipherSpec", one(HALF_OPEN, 20, 0), Handshake),
        ("half-open, alert", one(HALF_OPEN, 21, 0), Handshake),
        ("half-open, handshake", one(HALF_OPEN, 22, 0), Handshake),
        ("half-open, epoch-0 data", one(HALF_OPEN, 23, 0), Drop(HandshakeRecordType)),
        ("half-open, Finished", one(HALF_OPEN, 22, 1), Handshake),
        ("half-open, early data", one(HALF_OPEN, 23, 1), Handshake),
        ("half-open, epoch 2", one(HALF_OPEN, 23, 2), Drop(WrongEpoch)),
        ("established, 19 in epoch 1", one(ESTABLISHED, 19, 1), Drop(WrongRecordType)),
        ("established, 20 in epoch 1", one(ESTABLISHED, 20, 1), Drop(WrongRecordType)),
        ("established, 21 in epoch 1", one(ESTABLISHED, 21, 1), Worker(1)),
        ("established, 22 in epoch 1", one(ESTABLISHED, 22, 1), Worker(1)),
        ("established, 23 in epoch 1", one(ESTABLISHED, 23, 1), Worker(1)),
        ("established, 26 in epoch 1", one(ESTABLISHED, 26, 1), Drop(WrongRecordType)),
        ("established, 27 in epoch 1", one(ESTABLISHED, 27, 1), Worker(1)),
        ("established, 255 in epoch 1", one(ESTABLISHED, 255, 1), Drop(WrongRecordType)),
        ("established, 20 in epoch 0", one(ESTABLISHED, 20, 0), Drop(WrongEpoch)),
        ("established, 21 in epoch 0", one(ESTABLISHED, 21, 0), Drop(WrongEpoch)),
        ("established, 22 in epoch 0", one(ESTABLISHED, 22, 0), Drop(WrongEpoch)),
        ("established, 23 in epoch 0", one(ESTABLISHED, 23, 0), Drop(WrongEpoch)),
        ("established, 27 in epoch 0", one(ESTABLISHED, 27, 0), Drop(WrongEpoch)),
        ("established, 23 in epoch 2", one(ESTABLISHED, 23, 2), Drop(WrongEpoch)),
        ("established, 23 in epoch 256", one(ESTABLISHED, 23, 256), Drop(WrongEpoch)),
    ]
}

fn records() -> Vec<Row> {
    let to = |records: &[Vec<u8>]| datagram(PEER, ESTABLISHED, records);
    let damaged = |at: usize, value: u8| {
        let mut bytes = to(&[record(23, 1, 30)]);
        bytes[8 + at] = value;
        bytes
    };
    let cut = |by: usize| {
        let bytes = to(&[record(23, 1, 30)]);
        bytes[..bytes.len() - by].to_vec()
    };
    let flight = [record(22, 0, 800), record(22, 0, 70), record(20, 0, 1), record(22, 1, 40)];
    let leading = |count: usize| {
        let mut records = vec![record(22, 0, 60); count];
        records.push(record(22, 1, 40));
        to(&records)
    };
    vec![
        ("a retransmitted flight", to(&flight), Worker(1)),
        ("as many leading records as may be", leading(MAX_LEADING_RECORDS), Worker(1)),
        ("one leading record more", leading(MAX_LEADING_RECORDS + 1), Drop(WrongEpoch)),
        ("a flight of epoch 0 alone", to(&flight[..3]), Drop(WrongEpoch)),
        ("a flight cut in a header", to(&[flight[0].clone(), vec![22; 12]]), Drop(TooShort)),
        (
            "a flight cut in a fragment",
            to(&[flight[0].clone(), record(22, 1, 40)[..52].to_vec()]),
            Drop(MalformedRecord),
        ),
        ("an epoch-0 alert in front", to(&[record(21, 0, 2), record(23, 1, 9)]), Drop(WrongEpoch)),
        ("empty records in front", to(&[record(22, 0, 0), record(23, 1, 0)]), Worker(1)),
        ("an empty record", to(&[record(23, 1, 0)]), Worker(1)),
        ("two records", to(&[record(23, 1, 30), record(23, 1, 30)]), Worker(1)),
        ("the largest datagram of a usual path", to(&[record(23, 1, 1424)]), Worker(1)),
        ("a header cut by one byte", cut(31), Drop(TooShort)),
        ("a header alone", cut(30), Drop(MalformedRecord)),
        ("a fragment cut by one byte", cut(1), Drop(MalformedRecord)),
        ("a length beyond the datagram", damaged(11, 1), Drop(MalformedRecord)),
        ("DTLS 1.0", damaged(2, 0xff), Worker(1)),
        ("TLS 1.2", damaged(1, 3), Drop(MalformedRecord)),
        ("a version of nobody", damaged(2, 0xfc), Drop(MalformedRecord)),
    ]
}
