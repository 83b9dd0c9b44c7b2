//! The replay window against an oracle that forgets nothing.

use std::collections::HashSet;

use xdtls_common::DropReason;
use xdtls_proto::replay::{ReplayWindow, WINDOW};

/// The highest sequence number of a record.
const LAST: u64 = (1 << 48) - 1;

/// Three bytes are a record: how far it is from the newest, how much farther in steps of 64 or of a
/// window, and whether it is authentic.
pub(crate) fn run(data: &[u8]) {
    let Some((start, rest)) = data.split_first_chunk::<6>() else { return };
    let start = start.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let mut window = ReplayWindow::starting_after(start);
    let (mut newest, mut received) = (start, HashSet::new());
    for [near, far, kind] in rest.as_chunks().0 {
        let step = if kind & 2 == 0 { 64 } else { WINDOW as i64 };
        let distance = i64::from(near.cast_signed()) + i64::from(far.cast_signed()) * step;
        let sequence = newest.saturating_add_signed(distance).min(LAST);
        let expected = if sequence + WINDOW <= newest {
            Err(DropReason::TooOld)
        } else if sequence <= start || received.contains(&sequence) {
            Err(DropReason::Replayed)
        } else {
            Ok(())
        };
        assert_eq!(window.check(sequence), expected, "{sequence}, the newest is {newest}");
        assert_eq!(window.is_newest(sequence), sequence > newest);
        if expected.is_ok() && kind & 1 == 0 {
            window.commit(sequence);
            received.insert(sequence);
            newest = newest.max(sequence);
        }
    }
}
