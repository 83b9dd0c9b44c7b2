//! Anti-replay window over record sequence numbers (RFC 6347 §4.1.2.6), as a bitmap in the manner of
//! RFC 6479: a ring of words, one bit a sequence number, in which advancing clears whole words and
//! never shifts. One word more than the window needs, so that a half-filled newest word costs no
//! old sequence number.
//!
//! Where nothing is missing below the newest sequence number there is no bitmap, only that number.
//! The bitmap is made when a record is missing, and goes away when all of the window has been seen
//! again: so once for each time that records are lost or overtake each other, never for a record in
//! order.
//!
//! The order is: [`ReplayWindow::check`], open the record, and only if it is authentic
//! [`ReplayWindow::commit`]. "The receive window is updated only if the MAC verification succeeds."

use xdtls_common::DropReason;

/// How many sequence numbers are told apart: the newest received and the 1,023 before it.
pub const WINDOW: u64 = 1024;

const WORD_BITS: u64 = u64::BITS as u64;
const WORDS: u64 = WINDOW / WORD_BITS + 1;

/// Which sequence numbers of one epoch have been received.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    newest: u64,
    /// `None` if everything up to `newest` has been seen.
    gaps: Option<Box<Seen>>,
}

/// The bit of `sequence` is bit `sequence % 64` of word `sequence / 64 % WORDS`. Bits of the newest
/// word above the newest sequence number are clear.
#[derive(Clone, Debug)]
struct Seen([u64; WORDS as usize]);

impl ReplayWindow {
    /// A window in which `sequence`, the peer's Finished, and everything below it has been seen.
    pub const fn starting_after(sequence: u64) -> Self {
        Self { newest: sequence, gaps: None }
    }

    /// Whether a record with this sequence number may be opened: [`DropReason::Replayed`] if one
    /// has been received, [`DropReason::TooOld`] if the window no longer knows.
    pub fn check(&self, sequence: u64) -> Result<(), DropReason> {
        if self.is_newest(sequence) {
            return Ok(());
        }
        if self.newest - sequence >= WINDOW {
            return Err(DropReason::TooOld);
        }
        match &self.gaps {
            Some(seen) if !seen.contains(sequence) => Ok(()),
            _ => Err(DropReason::Replayed),
        }
    }

    /// Marks a sequence number that passed [`ReplayWindow::check`] and whose record is authentic.
    pub fn commit(&mut self, sequence: u64) {
        if self.gaps.is_none() && sequence == self.newest + 1 {
            self.newest = sequence;
        } else if self.is_newest(sequence) {
            let seen = self.gaps.get_or_insert_with(|| Box::new(Seen::up_to(self.newest)));
            seen.advance(self.newest, sequence);
            self.newest = sequence;
            seen.insert(sequence);
            // Looked at once in a word's length, which bounds what the look costs.
            if sequence % WORD_BITS == WORD_BITS - 1 && seen.is_full(sequence) {
                self.gaps = None;
            }
        } else if self.newest - sequence < WINDOW
            && let Some(seen) = &mut self.gaps
        {
            seen.insert(sequence);
        }
    }

    /// Whether a record with this sequence number would be newer than all received before: only
    /// such a record may change the peer's address (RFC 9146 §6).
    pub const fn is_newest(&self, sequence: u64) -> bool {
        sequence > self.newest
    }

    /// The highest sequence number received: as many records, at least, the peer has sealed.
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// Reads what a check needs.
    pub(crate) fn touch(&self) -> u64 {
        self.newest ^ self.gaps.as_ref().map_or(0, |seen| seen.0[word(self.newest)])
    }
}

impl Seen {
    /// Everything up to `newest`.
    const fn up_to(newest: u64) -> Self {
        let mut seen = [u64::MAX; WORDS as usize];
        seen[word(newest)] = u64::MAX >> (WORD_BITS - 1 - newest % WORD_BITS);
        Self(seen)
    }

    const fn contains(&self, sequence: u64) -> bool {
        self.0[word(sequence)] & bit(sequence) != 0
    }

    const fn insert(&mut self, sequence: u64) {
        self.0[word(sequence)] |= bit(sequence);
    }

    fn advance(&mut self, from: u64, to: u64) {
        let blocks = to / WORD_BITS - from / WORD_BITS;
        for back in 0..blocks.min(WORDS) {
            self.0[word(to - back * WORD_BITS)] = 0;
        }
    }

    /// Whether nothing of the window below `newest`, the last of its word, is missing.
    fn is_full(&self, newest: u64) -> bool {
        let words = (newest / WORD_BITS + 1).min(WINDOW / WORD_BITS);
        (0..words).all(|back| self.0[word(newest - back * WORD_BITS)] == u64::MAX)
    }
}

const fn word(sequence: u64) -> usize {
    (sequence / WORD_BITS % WORDS) as usize
}

const fn bit(sequence: u64) -> u64 {
    1 << (sequence % WORD_BITS)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const LAST: u64 = (1 << 48) - 1;
    const OK: Result<(), DropReason> = Ok(());
    const REPLAYED: Result<(), DropReason> = Err(DropReason::Replayed);
    const TOO_OLD: Result<(), DropReason> = Err(DropReason::TooOld);

    /// The same rules over a set that forgets nothing.
    struct Oracle {
        start: u64,
        newest: u64,
        received: HashSet<u64>,
    }

    impl Oracle {
        fn check(&self, sequence: u64) -> Result<(), DropReason> {
            if sequence + WINDOW <= self.newest {
                TOO_OLD
            } else if sequence <= self.start || self.received.contains(&sequence) {
                REPLAYED
            } else {
                OK
            }
        }

        fn commit(&mut self, sequence: u64) {
            self.newest = self.newest.max(sequence);
            self.received.insert(sequence);
        }
    }

    /// Distances from the newest sequence number, weighted towards the edges of words and window.
    fn step() -> impl Strategy<Value = i64> {
        let window = WINDOW as i64;
        prop_oneof![
            8 => -70i64..70,
            4 => -window - 70..=-window + 70,
            2 => -3 * window..3 * window,
            1 => Just(64),
            1 => Just(-64),
            1 => window..100 * window,
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_that_forgets_nothing(
            start in prop_oneof![0u64..200, 0..LAST - (1 << 30), Just(LAST - 3000)],
            steps in prop::collection::vec((step(), prop::bool::weighted(0.9)), 1..400),
        ) {
            let mut window = ReplayWindow::starting_after(start);
            let mut oracle = Oracle { start, newest: start, received: HashSet::new() };
            for (step, authentic) in steps {
                let sequence = oracle.newest.saturating_add_signed(step).min(LAST);
                let verdict = window.check(sequence);
                prop_assert_eq!(verdict, oracle.check(sequence), "sequence {}", sequence);
                prop_assert_eq!(window.is_newest(sequence), sequence > oracle.newest);
                if verdict.is_ok() && authentic {
                    window.commit(sequence);
                    oracle.commit(sequence);
                }
            }
            for sequence in oracle.newest.saturating_sub(WINDOW + 100)..=oracle.newest {
                prop_assert_eq!(window.check(sequence), oracle.check(sequence));
            }
        }
    }

    #[test]
    fn starts_with_everything_up_to_the_start_seen() {
        for start in [0, 1, 62, 63, 64, 65, 1023, 1024, 1087, 1088, LAST - 1] {
            let window = ReplayWindow::starting_after(start);
            assert_eq!(window.check(start), REPLAYED);
            for sequence in start.saturating_sub(2 * WINDOW)..=start {
                assert!(window.check(sequence).is_err(), "{sequence} after {start}");
            }
            for sequence in start + 1..=(start + 2 * WINDOW).min(LAST) {
                assert_eq!(window.check(sequence), OK, "{sequence} after {start}");
            }
        }
    }

    #[test]
    fn the_oldest_of_the_window_is_still_told_apart() {
        for newest in 5000..5000 + 2 * WORD_BITS {
            let mut window = ReplayWindow::starting_after(0);
            window.commit(newest);
            assert_eq!(window.check(newest - WINDOW), TOO_OLD);
            assert_eq!(window.check(newest - WINDOW + 1), OK);
            window.commit(newest - WINDOW + 1);
            assert_eq!(window.check(newest - WINDOW + 1), REPLAYED);
            assert_eq!(window.check(newest), REPLAYED);
        }
    }

    #[test]
    fn in_order_traffic_wraps_the_words_many_times() {
        let mut window = ReplayWindow::starting_after(0);
        for sequence in 1..5 * WINDOW {
            assert!(window.is_newest(sequence));
            assert_eq!(window.check(sequence), OK);
            window.commit(sequence);
            assert_eq!(window.check(sequence), REPLAYED);
        }
    }

    #[test]
    fn a_jump_beyond_the_window_forgets_all_before() {
        let mut window = ReplayWindow::starting_after(10);
        window.commit(LAST);
        assert_eq!(window.check(10), TOO_OLD);
        assert_eq!(window.check(LAST), REPLAYED);
        assert!((1..WINDOW).all(|back| window.check(LAST - back) == OK));
        assert!(!window.is_newest(LAST));
    }

    #[test]
    fn committing_what_is_too_old_changes_nothing() {
        let mut window = ReplayWindow::starting_after(0);
        window.commit(WORDS * WORD_BITS + 7);
        window.commit(6);
        assert_eq!(window.check(WORDS * WORD_BITS + 6), OK);
    }

    #[test]
    fn a_bitmap_is_there_only_while_something_is_missing() {
        let mut window = ReplayWindow::starting_after(40);
        (41..3000).for_each(|sequence| window.commit(sequence));
        assert!(window.gaps.is_none());
        // 3000 is lost; 3002 overtakes 3001.
        [3002, 3001].into_iter().for_each(|sequence| window.commit(sequence));
        for sequence in 3003..3000 + WINDOW {
            window.commit(sequence);
            assert!(window.gaps.is_some() && window.check(3000).is_ok());
        }
        (3000 + WINDOW..3000 + WINDOW + 2 * WORD_BITS).for_each(|newer| window.commit(newer));
        assert!(window.gaps.is_none());
        assert_eq!(window.check(3000), TOO_OLD);
        assert_eq!(window.check(3001 + WINDOW), REPLAYED);
    }

    #[test]
    fn what_was_overtaken_fills_the_bitmap_from_the_beginning_too() {
        let mut window = ReplayWindow::starting_after(0);
        for pair in 0..WORD_BITS {
            window.commit(2 * pair + 2);
            window.commit(2 * pair + 1);
        }
        assert!(window.gaps.is_some());
        (2 * WORD_BITS + 1..4 * WORD_BITS).for_each(|sequence| window.commit(sequence));
        assert!(window.gaps.is_none());
        assert!((0..4 * WORD_BITS).all(|sequence| window.check(sequence) == REPLAYED));
    }

    #[test]
    fn memory_in_order_is_two_numbers() {
        assert_eq!(size_of::<ReplayWindow>(), 16);
    }
}
