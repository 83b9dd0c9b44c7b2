//! Which associations of steady clients end, and whether a fault explains it.
//!
//! Clients log when an association begins and ends. An end has a cause if it comes soon after a
//! fault that ends associations, and the association had begun before that fault was over.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::node::Node;

/// Silence of the gateway is noticed after 30 s, and somewhat later by a client that is busy.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

/// How late a line may be read.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// A fault that ends associations.
struct Cause {
    began: Instant,
    /// `None` while it lasts.
    over: Option<Instant>,
}

/// What is known of the associations of steady clients.
#[derive(Default)]
pub(super) struct Watch {
    causes: Vec<Cause>,
    clients: Vec<Known>,
    /// What was said of the ends that no fault explains.
    pub(super) without_cause: Vec<String>,
    /// How many associations have ended because of a fault.
    pub(super) with_cause: u64,
}

#[derive(Default)]
struct Known {
    next_line: usize,
    began: HashMap<String, Instant>,
}

impl Watch {
    /// A fault begins that ends associations.
    pub(super) fn begin(&mut self, began: Instant) {
        self.causes.push(Cause { began, over: None });
    }

    /// All faults that have begun are over.
    pub(super) fn end(&mut self, over: Instant) {
        for cause in &mut self.causes {
            cause.over.get_or_insert(over);
        }
    }

    /// Reads what clients have logged meanwhile: the one on a clean road and the one on a bad one.
    pub(super) fn look(&mut self, clients: [&Node; 2]) {
        let now = Instant::now();
        self.clients.resize_with(clients.len(), Known::default);
        for (index, client) in clients.into_iter().enumerate() {
            let (lines, next) = client.logged_from(self.clients[index].next_line);
            self.clients[index].next_line = next;
            for line in lines {
                self.read(index, &line, now);
            }
        }
    }

    fn read(&mut self, client: usize, line: &str, now: Instant) {
        let Some((_, id)) = line.split_once("association=") else { return };
        let id = id.split(' ').next().unwrap_or(id).to_owned();
        if line.contains("association established") {
            self.clients[client].began.insert(id, now);
        } else if line.contains("association ended") {
            let began = self.clients[client].began.remove(&id);
            let explains = |cause: &Cause| {
                let over = cause.over.unwrap_or(now);
                began.is_some_and(|began| began < over + READ_WITHIN)
                    && cause.began <= now
                    && now < over + NOTICED_WITHIN + READ_WITHIN
            };
            if self.causes.iter().any(explains) {
                self.with_cause += 1;
            } else {
                self.without_cause.push(line.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGINS: &str = "INFO association established association=0a0b0c0d milliseconds=4";
    const ENDS: &str = "INFO association ended: the peer stopped answering association=0a0b0c0d";

    /// A cause of ten seconds, an association that begins and ends so many seconds after the
    /// beginning of the test, and whether that is explained.
    fn explained([begin, end]: [u64; 2]) -> bool {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Watch::default();
        watch.clients.resize_with(1, Known::default);
        for second in 0..200 {
            match second {
                100 => watch.begin(at(100)),
                110 => watch.end(at(110)),
                _ if second == begin => watch.read(0, BEGINS, at(begin)),
                _ if second == end => watch.read(0, ENDS, at(end)),
                _ => {}
            }
        }
        assert_eq!(watch.with_cause + watch.without_cause.len() as u64, 1);
        watch.with_cause == 1
    }

    #[test]
    fn an_end_needs_a_fault_that_explains_it() {
        assert!(explained([10, 140]));
        assert!(explained([10, 105]), "while it lasts");
        assert!(!explained([10, 99]), "before the fault");
        assert!(!explained([10, 180]), "long after the fault");
        assert!(!explained([120, 140]), "begun after the fault");
    }
}
