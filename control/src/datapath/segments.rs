//! Runs of datagrams that leave in one system call.
//!
//! UDP_SEGMENT takes one buffer and cuts it into datagrams of one size, the last of which may be
//! shorter. A run therefore grows while datagrams for the same destination have the same size, ends
//! with the first shorter one, and is flushed when the next does not fit.

/// The longest run, in bytes: what one UDP payload may be.
const MAX_RUN_LEN: usize = 65_507;

/// The most datagrams that the kernel takes in one run (UDP_MAX_SEGMENTS of older kernels).
const MAX_SEGMENTS: usize = 64;

/// One run to one destination.
pub struct Segments<K> {
    buffer: Vec<u8>,
    to: Option<K>,
    segment: usize,
    count: usize,
    /// A shorter datagram has ended the run.
    ended: bool,
    max_segments: usize,
}

/// A run that is ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Run<'a, K> {
    /// Where it goes.
    pub to: &'a K,
    /// The datagrams, one behind the other.
    pub bytes: &'a [u8],
    /// The size of each but the last, which may be shorter.
    pub segment: usize,
    /// How many they are.
    pub count: usize,
}

impl<K: Copy + PartialEq> Segments<K> {
    /// An empty run of at most `max_segments` datagrams.
    pub fn new(max_segments: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(MAX_RUN_LEN),
            to: None,
            segment: 0,
            count: 0,
            ended: false,
            max_segments: max_segments.clamp(1, MAX_SEGMENTS),
        }
    }

    /// Room for a datagram of `length` bytes; `flush` is called first if the run has none.
    pub fn room(&mut self, to: &K, length: usize, flush: impl FnOnce(Run<'_, K>)) -> &mut [u8] {
        let fits = self.to.as_ref() == Some(to)
            && !self.ended
            && self.count < self.max_segments
            && (1..=self.segment).contains(&length)
            && self.buffer.len() + length <= MAX_RUN_LEN;
        if !fits {
            self.flush(flush);
            self.to = Some(*to);
            self.segment = length;
        }
        self.ended = length < self.segment;
        self.count += 1;
        let start = self.buffer.len();
        self.buffer.resize(start + length, 0);
        &mut self.buffer[start..]
    }

    /// Whether there is something for this destination.
    pub fn is_to(&self, to: &K) -> bool {
        self.to.as_ref() == Some(to)
    }

    /// Sends what there is.
    pub fn flush(&mut self, flush: impl FnOnce(Run<'_, K>)) {
        if let Some(to) = &self.to {
            let (segment, count) = (self.segment, self.count);
            flush(Run { to, bytes: &self.buffer, segment, count });
        }
        self.to = None;
        self.buffer.clear();
        self.count = 0;
        self.ended = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The runs that a series of (destination, length) makes: (destination, segment, bytes, count).
    fn runs(series: &[(u8, usize)], max_segments: usize) -> Vec<(u8, usize, usize, usize)> {
        let mut sent = Vec::new();
        let mut segments = Segments::new(max_segments);
        let mut note = |run: Run<'_, u8>| {
            sent.push((*run.to, run.segment, run.bytes.len(), run.count));
        };
        for (to, length) in series {
            let room = segments.room(to, *length, &mut note);
            assert_eq!(room.len(), *length);
        }
        segments.flush(&mut note);
        segments.flush(&mut note);
        sent
    }

    #[test]
    fn equal_sizes_join_and_a_shorter_one_ends_the_run() {
        let series = [(1, 100), (1, 100), (1, 60), (1, 60), (1, 100)];
        assert_eq!(runs(&series, 64), [(1, 100, 260, 3), (1, 60, 60, 1), (1, 100, 100, 1)]);
    }

    #[test]
    fn another_destination_begins_another_run() {
        let series = [(1, 10), (2, 10), (2, 10), (1, 10)];
        assert_eq!(runs(&series, 64), [(1, 10, 10, 1), (2, 10, 20, 2), (1, 10, 10, 1)]);
    }

    #[test]
    fn empty_datagrams_go_alone() {
        let series = [(1, 0), (1, 0), (1, 5), (1, 0)];
        assert_eq!(runs(&series, 64), [(1, 0, 0, 1), (1, 0, 0, 1), (1, 5, 5, 1), (1, 0, 0, 1)]);
    }

    #[test]
    fn runs_are_bounded_in_number_and_bytes() {
        assert_eq!(runs(&[(1, 10); 5], 2), [(1, 10, 20, 2), (1, 10, 20, 2), (1, 10, 10, 1)]);
        let long = runs(&[(1, 30_000); 3], 64);
        assert_eq!(long, [(1, 30_000, 60_000, 2), (1, 30_000, 30_000, 1)]);
    }
}
