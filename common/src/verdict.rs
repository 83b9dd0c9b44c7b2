//! What becomes of a datagram: one function of the receiver id's state and the first records'
//! epoch and type, run by the XDP program and by the workers alike.

use crate::cursor::Cursor;
use crate::drop_reason::DropReason;
use crate::prefix::Prefix;
use crate::record::{DTLS_1_0, DTLS_1_2, HEADER_LEN, RecordHeader, content_type};

/// How many epoch-0 records may stand before the first epoch-1 record of a retransmitted flight.
/// A client's longest flight is Certificate, ClientKeyExchange, CertificateVerify,
/// ChangeCipherSpec, Finished, the certificate perhaps in fragments.
pub const MAX_LEADING_RECORDS: usize = 8;

/// How far an association has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// We have opened it and do not know the peer's id yet.
    Opening,
    /// We are answering; the peer's id is known.
    HalfOpen,
    /// A worker has its keys.
    Established,
    /// It has ended a moment ago, and its slot rests.
    Resting,
}

/// What the table of associations says of a receiver id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How far the association has come.
    pub phase: Phase,
    /// The peer's id; of no meaning while opening or resting.
    pub peer_id: u32,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No receiver id: it must be a ClientHello, and its cookie decides.
    ClientHello,
    /// It belongs to a handshake: to the control plane.
    Handshake,
    /// It belongs to an established association: to its worker.
    Worker,
    /// It goes no further.
    Drop(DropReason),
}

/// Decides on a datagram. `cursor` stands behind the prefix; `entry` is what the table says of
/// `prefix.receiver`, `None` where it says nothing.
#[inline(always)]
pub fn verdict(prefix: Prefix, entry: Option<Entry>, cursor: &mut impl Cursor) -> Verdict {
    if cursor.remaining() < HEADER_LEN {
        return Verdict::Drop(DropReason::TooShort);
    }
    if prefix.receiver == 0 {
        return Verdict::ClientHello;
    }
    let Some(entry) = entry else {
        return Verdict::Drop(DropReason::UnknownId);
    };
    let right_peer = entry.peer_id == prefix.sender;
    match entry.phase {
        Phase::Resting => Verdict::Drop(DropReason::Closed),
        Phase::HalfOpen | Phase::Established if !right_peer => {
            Verdict::Drop(DropReason::WrongPeerId)
        }
        Phase::Established => established(cursor),
        Phase::Opening | Phase::HalfOpen => in_handshake(cursor),
    }
}

#[inline(always)]
fn in_handshake(cursor: &mut impl Cursor) -> Verdict {
    let header = match whole_header(cursor) {
        Ok(header) => header,
        Err(reason) => return Verdict::Drop(reason),
    };
    match (header.epoch, header.content_type) {
        // An epoch-0 alert is never acted on, but it explains a handshake that then times out.
        (0, content_type::CHANGE_CIPHER_SPEC | content_type::HANDSHAKE | content_type::ALERT) => {
            Verdict::Handshake
        }
        (0, _) => Verdict::Drop(DropReason::HandshakeRecordType),
        (1, _) => Verdict::Handshake,
        _ => Verdict::Drop(DropReason::WrongEpoch),
    }
}

/// A peer that has lost our final flight sends its own again, and may pack it into one datagram
/// with epoch-0 records first: those are passed over, or its handshake would never end.
#[inline(always)]
fn established(cursor: &mut impl Cursor) -> Verdict {
    for _ in 0..=MAX_LEADING_RECORDS {
        let header = match whole_header(cursor) {
            Ok(header) => header,
            Err(reason) => return Verdict::Drop(reason),
        };
        match (header.epoch, header.content_type) {
            (
                1,
                content_type::ALERT
                | content_type::HANDSHAKE
                | content_type::APPLICATION_DATA
                | content_type::RETURN_ROUTABILITY_CHECK,
            ) => return Verdict::Worker,
            (1, _) => return Verdict::Drop(DropReason::WrongRecordType),
            (0, content_type::HANDSHAKE | content_type::CHANGE_CIPHER_SPEC) => {
                let more = cursor.remaining() > usize::from(header.length);
                if !more || cursor.skip(usize::from(header.length)).is_err() {
                    break;
                }
            }
            _ => break,
        }
    }
    Verdict::Drop(DropReason::WrongEpoch)
}

/// Reads a header whose fragment is all there.
#[inline(always)]
fn whole_header(cursor: &mut impl Cursor) -> Result<RecordHeader, DropReason> {
    let header = RecordHeader::parse(cursor).map_err(|_| DropReason::TooShort)?;
    let dtls = header.version == DTLS_1_0 || header.version == DTLS_1_2;
    if !dtls || usize::from(header.length) > cursor.remaining() {
        return Err(DropReason::MalformedRecord);
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::cursor::SliceCursor;

    const PEER: u32 = 0x77;

    fn record(content_type: u8, epoch: u16) -> Vec<u8> {
        let header =
            RecordHeader { content_type, version: DTLS_1_2, epoch, sequence: 1, length: 3 };
        [&header.encode()[..], &[1, 2, 3]].concat()
    }

    fn decide(phase: Option<Phase>, sender: u32, records: &[Vec<u8>]) -> Verdict {
        let entry = phase.map(|phase| Entry { phase, peer_id: PEER });
        let bytes = records.concat();
        verdict(Prefix { sender, receiver: 5 }, entry, &mut SliceCursor::new(&bytes))
    }

    #[test]
    fn each_state_epoch_and_type_has_its_verdict() {
        use DropReason::{
            Closed, HandshakeRecordType, UnknownId, WrongEpoch, WrongPeerId, WrongRecordType,
        };
        use Phase::{Established, HalfOpen, Opening, Resting};
        use Verdict::{Drop, Handshake, Worker};
        #[rustfmt::skip]
        let table = [
            (None, PEER, 22, 0, Drop(UnknownId)),
            (Some(HalfOpen), 1, 22, 0, Drop(WrongPeerId)),
            (Some(Established), 1, 23, 1, Drop(WrongPeerId)),
            (Some(Opening), 1, 22, 0, Handshake),
            (Some(Opening), 0, 22, 0, Handshake),
            (Some(HalfOpen), PEER, 20, 0, Handshake),
            (Some(HalfOpen), PEER, 21, 0, Handshake),
            (Some(HalfOpen), PEER, 22, 0, Handshake),
            (Some(HalfOpen), PEER, 23, 0, Drop(HandshakeRecordType)),
            (Some(HalfOpen), PEER, 27, 0, Drop(HandshakeRecordType)),
            (Some(HalfOpen), PEER, 22, 1, Handshake),
            (Some(HalfOpen), PEER, 23, 1, Handshake),
            (Some(HalfOpen), PEER, 22, 2, Drop(WrongEpoch)),
            (Some(Established), PEER, 20, 0, Drop(WrongEpoch)),
            (Some(Established), PEER, 21, 0, Drop(WrongEpoch)),
            (Some(Established), PEER, 22, 0, Drop(WrongEpoch)),
            (Some(Established), PEER, 23, 0, Drop(WrongEpoch)),
            (Some(Established), PEER, 20, 1, Drop(WrongRecordType)),
            (Some(Established), PEER, 21, 1, Worker),
            (Some(Established), PEER, 22, 1, Worker),
            (Some(Established), PEER, 23, 1, Worker),
            (Some(Established), PEER, 27, 1, Worker),
            (Some(Established), PEER, 99, 1, Drop(WrongRecordType)),
            (Some(Established), PEER, 23, 2, Drop(WrongEpoch)),
            (Some(Resting), PEER, 21, 1, Drop(Closed)),
            (Some(Resting), PEER, 22, 0, Drop(Closed)),
            (Some(Resting), 1, 23, 1, Drop(Closed)),
        ];
        for (phase, sender, content_type, epoch, expected) in table {
            let verdict = decide(phase, sender, &[record(content_type, epoch)]);
            assert_eq!(verdict, expected, "{phase:?} {sender} {content_type} {epoch}");
        }
    }

    #[test]
    fn receiver_zero_is_for_client_hellos_whatever_the_table_says() {
        let prefix = Prefix { sender: 9, receiver: 0 };
        let decide = |bytes: &[u8]| verdict(prefix, None, &mut SliceCursor::new(bytes));
        assert_eq!(decide(&[0; 13]), Verdict::ClientHello);
        assert_eq!(decide(&[0; 12]), Verdict::Drop(DropReason::TooShort));
    }

    #[test]
    fn a_retransmitted_flight_in_one_datagram_reaches_the_worker() {
        let flight = [record(22, 0), record(22, 0), record(20, 0), record(22, 1)];
        assert_eq!(decide(Some(Phase::Established), PEER, &flight), Verdict::Worker);
        let endless: Vec<_> = (0..MAX_LEADING_RECORDS + 1).map(|_| record(22, 0)).collect();
        let hidden = [&endless[..], &[record(23, 1)]].concat();
        let dropped = Verdict::Drop(DropReason::WrongEpoch);
        assert_eq!(decide(Some(Phase::Established), PEER, &hidden), dropped);
        let alert_first = [record(21, 0), record(23, 1)];
        assert_eq!(decide(Some(Phase::Established), PEER, &alert_first), dropped);
    }

    #[test]
    fn cut_records_are_malformed_in_every_phase() {
        for phase in [Phase::Opening, Phase::HalfOpen, Phase::Established] {
            let whole = record(22, 1);
            for end in 0..whole.len() {
                let reason =
                    if end < 13 { DropReason::TooShort } else { DropReason::MalformedRecord };
                let verdict = decide(Some(phase), PEER, &[whole[..end].to_vec()]);
                assert_eq!(verdict, Verdict::Drop(reason), "{phase:?} cut at {end}");
            }
        }
    }
}
