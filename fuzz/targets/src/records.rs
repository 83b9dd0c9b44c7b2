//! Prefix and records: whatever comes, the walk stays within the datagram, the verdict is reached,
//! and what the filter passes is numbered without a gap.

use xdtls_common::cursor::SliceCursor;
use xdtls_common::prefix::{PREFIX_LEN, Prefix};
use xdtls_common::record::{HEADER_LEN, RecordHeader, records};
use xdtls_common::verdict::{Entry, Phase, Verdict, verdict};
use xdtls_proto::filter::{Filter, Filtered};

pub(crate) fn run(datagram: &[u8]) {
    let mut cursor = SliceCursor::new(datagram);
    let Ok(prefix) = Prefix::parse(&mut cursor) else {
        return assert!(datagram.len() < PREFIX_LEN);
    };
    assert_eq!(prefix.encode(), datagram[..PREFIX_LEN]);
    judge(prefix, &cursor);
    walk(&datagram[PREFIX_LEN..]);
}

fn judge(prefix: Prefix, cursor: &SliceCursor<'_>) {
    let phases = [Phase::Opening, Phase::HalfOpen, Phase::Established, Phase::Resting];
    for phase in phases {
        for peer_id in [prefix.sender, prefix.sender.wrapping_add(1)] {
            let decided = verdict(prefix, Some(Entry { phase, peer_id }), &mut cursor.clone());
            let stranger = phase != Phase::Opening && peer_id != prefix.sender;
            let goes_on = matches!(decided, Verdict::Handshake | Verdict::Worker);
            assert!(!(stranger && goes_on), "{phase:?}: {decided:?}");
            assert!(prefix.receiver != 0 || !goes_on, "{phase:?}: {decided:?}");
            assert!(phase != Phase::Resting || !goes_on, "{decided:?}");
        }
    }
    let decided = verdict(prefix, None, &mut cursor.clone());
    assert!(matches!(decided, Verdict::ClientHello | Verdict::Drop(_)), "{decided:?}");
}

fn walk(bytes: &[u8]) {
    let (mut at, mut expected, mut encrypted) = (0, 5, 0);
    let mut filter = Filter::new(expected, 1);
    for item in records(bytes) {
        let Ok((header, range)) = item else { break };
        assert_eq!((range.start, range.len()), (at, HEADER_LEN + usize::from(header.length)));
        at = range.end;
        let record = &bytes[range];
        assert_eq!(header.encode(), record[..HEADER_LEN]);
        if let Ok(Filtered::Pass(passed)) = filter.admit(&header, record) {
            assert_eq!(passed[HEADER_LEN..], record[HEADER_LEN..]);
            let passed = RecordHeader::parse(&mut SliceCursor::new(&passed)).unwrap();
            if header.epoch == 0 {
                assert_eq!(passed.sequence, expected);
                expected += 1;
            } else {
                encrypted += 1;
            }
        }
    }
    assert!(at <= bytes.len());
    assert_eq!(filter.into_encrypted().len(), encrypted);
    assert!(encrypted <= 12);
}
