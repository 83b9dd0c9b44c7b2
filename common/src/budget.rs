//! How often something may be done that costs others: rate limits whose whole state is one number.
//!
//! The number is the time up to which the budget is spent (the generic cell rate algorithm, ITU-T
//! I.371): each use moves it on by one interval, time catches up with it, and no more than
//! [`BURST_NS`] may be spent in advance. A [sketch](Sketch) holds such numbers for hashes of source
//! prefixes, so that no source, real or made up, ever gets state of its own.

/// How much may be used at once, as time: after a second of rest a whole second's worth.
pub const BURST_NS: u64 = 1_000_000_000;

/// Rows of a sketch. A source is refused only if it is over its limit in each.
pub const SKETCH_ROWS: usize = 2;

/// Cells of each row. A flood from random sources spreads over them: a million a second leave
/// about 500 a second in each, far below any limit that is sensible for one prefix.
pub const SKETCH_CELLS: usize = 2048;

/// The time between two uses at `per_second`, which is what limits are kept as; 0, which is no
/// limit, for 0.
pub const fn interval_ns(per_second: u32) -> u64 {
    if per_second == 0 { 0 } else { 1_000_000_000 / per_second as u64 }
}

/// Uses a budget once, if something is left of it.
#[inline(always)]
pub fn spend(spent_until_ns: &mut u64, now_ns: u64, interval_ns: u64) -> bool {
    if interval_ns == 0 {
        return true;
    }
    let start = later(*spent_until_ns, now_ns);
    if start - now_ns > BURST_NS {
        return false;
    }
    *spent_until_ns = start + interval_ns;
    true
}

/// Uses the budget of one source prefix, which has a cell in each row.
#[inline(always)]
pub fn spend_cells(cells: [&mut u64; SKETCH_ROWS], now_ns: u64, interval_ns: u64) -> bool {
    let [first, second] = cells;
    // The emptier cell is nearer to the truth: the other has more of other sources in it.
    let mut least = *first ^ *second ^ later(*first, *second);
    if !spend(&mut least, now_ns, interval_ns) {
        return false;
    }
    *first = later(*first, least);
    *second = later(*second, least);
    true
}

/// The later of two times, which are less than 2^63 ns apart. BPF has no conditional move, and no
/// processor can foretell which of two cells is the emptier: a branch would be wrong every other time.
#[inline(always)]
const fn later(one_ns: u64, other_ns: u64) -> u64 {
    let ahead = one_ns.wrapping_sub(other_ns);
    let is_behind = (ahead as i64 >> 63) as u64;
    other_ns.wrapping_add(ahead & !is_behind)
}

/// What places sources in a sketch. It is unknown to others, or they could choose sources that
/// share cells with somebody, and it does not last, lest they learn it.
pub type SketchKey = [u64; 3];

/// The cells of a source's prefix, one in each row: /32 of IPv4 (as mapped), /64 of IPv6.
#[inline(always)]
pub fn cells_of(source: [u8; 16], [mask, first, second]: &SketchKey) -> [usize; SKETCH_ROWS] {
    // Each step can be undone, so that different prefixes stay different; the fold between the two
    // multiplications is what keeps neighbours in one row from being neighbours in the other.
    let once = (prefix_of(source) ^ mask).wrapping_mul(first | 1);
    let twice = (once ^ once >> 32).wrapping_mul(second | 1);
    [(twice >> 53) as usize % SKETCH_CELLS, (twice >> 42) as usize % SKETCH_CELLS]
}

/// What counts as one source. No IPv6 prefix of the Internet is as small a number as IPv4's.
#[inline(always)]
fn prefix_of(source: [u8; 16]) -> u64 {
    let bits = u128::from_be_bytes(source);
    if bits >> 32 == 0xffff { bits as u64 } else { (bits >> 64) as u64 }
}

/// A sketch in ordinary memory; the XDP program has one for each CPU in a map.
#[derive(Clone, Debug)]
pub struct Sketch([[u64; SKETCH_CELLS]; SKETCH_ROWS]);

impl Sketch {
    /// A sketch in which nothing is spent.
    pub const fn new() -> Self {
        Self([[0; SKETCH_CELLS]; SKETCH_ROWS])
    }

    /// Uses the budget of a source's prefix once, if something is left of it.
    pub fn spend(
        &mut self,
        source: [u8; 16],
        key: &SketchKey,
        now_ns: u64,
        interval_ns: u64,
    ) -> bool {
        let [first, second] = cells_of(source, key);
        let [first_row, second_row] = &mut self.0;
        spend_cells([&mut first_row[first], &mut second_row[second]], now_ns, interval_ns)
    }
}

impl Default for Sketch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cookie::mapped;

    const S: u64 = 1_000_000_000;
    const KEY: SketchKey = [0x1b87_3593_cc9e_2d51, 0x85eb_ca6b_c2b2_ae35, 0x27d4_eb2f_1656_67c5];

    fn admitted(mut spend: impl FnMut() -> bool, tries: usize) -> usize {
        (0..tries).filter(|_| spend()).count()
    }

    #[test]
    fn a_second_of_rest_gives_a_second_of_use() {
        let (mut spent, interval) = (0, interval_ns(1000));
        assert_eq!(admitted(|| spend(&mut spent, 7 * S, interval), 5000), 1001);
        assert_eq!(admitted(|| spend(&mut spent, 7 * S + S / 2, interval), 5000), 500);
        assert_eq!(admitted(|| spend(&mut spent, 9 * S, interval), 5000), 1001);
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let mut spent = 0;
        assert_eq!(admitted(|| spend(&mut spent, 0, interval_ns(0)), 5000), 5000);
        assert_eq!(spent, 0);
    }

    #[test]
    fn a_clock_that_steps_back_refuses_for_as_long_and_no_longer() {
        let mut spent = 0;
        assert!(spend(&mut spent, 100 * S, interval_ns(10)));
        assert!(!spend(&mut spent, 50 * S, interval_ns(10)));
        assert!(spend(&mut spent, 99 * S + S / 2, interval_ns(10)));
    }

    #[test]
    fn one_source_is_limited_and_others_are_not() {
        let mut sketch = Sketch::new();
        let interval = interval_ns(100);
        let mut from = |source: &str, tries| {
            admitted(|| sketch.spend(mapped(source.parse().unwrap()), &KEY, S, interval), tries)
        };
        assert_eq!(from("192.0.2.1", 1000), 101);
        assert_eq!(from("192.0.2.2", 50), 50);
        assert_eq!(from("::ffff:192.0.2.1", 10), 0, "the same as IPv4");
        assert_eq!(from("2001:db8::1", 1000), 101);
        assert_eq!(from("2001:db8::ffff:2", 10), 0, "the same /64");
        assert_eq!(from("2001:db8:0:1::1", 50), 50);
    }

    #[test]
    fn a_flood_from_random_sources_leaves_room_for_a_real_one() {
        let mut sketch = Sketch::new();
        let interval = interval_ns(10_000);
        let mut refused = 0;
        for number in 0..1_000_000_u32 {
            let now_ns = S + u64::from(number) * 1000;
            let source = core::net::Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1));
            refused += u32::from(!sketch.spend(mapped(source.into()), &KEY, now_ns, interval));
        }
        assert_eq!(refused, 0);
        assert!(sketch.spend(mapped("192.0.2.1".parse().unwrap()), &KEY, 2 * S, interval));
    }
}
