//! The part of a trace that the XDP program sees.

use std::net::{Ipv6Addr, SocketAddr};

use rustix::time::{ClockId, clock_gettime};
use xdtls_common::Outcome;
use xdtls_common::trace::{Fate, TraceEvent, TraceFilter};

use super::Event;
use crate::datapath::trace_maps::TraceMaps;
use crate::datapath::xdp_program::XdpError;

/// The program's maps, and when the trace began by its clock.
pub(super) struct ByXdp {
    maps: TraceMaps,
    began_ns: u64,
}

impl ByXdp {
    pub(super) fn new(maps: TraceMaps) -> Self {
        Self { maps, began_ns: 0 }
    }

    /// Watches from now on. What is left of an earlier trace is forgotten.
    pub(super) fn begin(&mut self, filter: TraceFilter) -> Result<(), XdpError> {
        self.maps.read();
        self.began_ns = monotonic_ns();
        self.maps.watch(filter)
    }

    /// Watches no more.
    pub(super) fn end(&mut self) -> Result<(), XdpError> {
        self.maps.watch(TraceFilter::OFF)
    }

    /// What the program has told since the last call, and how many events did not fit in between.
    pub(super) fn read(&mut self) -> (Vec<Event>, u64) {
        let (events, lost) = self.maps.read();
        (events.iter().filter_map(|event| in_words(event, self.began_ns)).collect(), lost)
    }
}

/// The clock of the program's events.
fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// An event since the trace began; before, it is of another one.
fn in_words(event: &TraceEvent, began_ns: u64) -> Option<Event> {
    let at_ms = event.at_ns.checked_sub(began_ns)? / 1_000_000;
    let address = Ipv6Addr::from(event.address).to_canonical();
    let became = match Fate::from_code(event.fate)? {
        Fate::Dropped(reason) => format!("dropped: {}", reason.as_str()),
        Fate::Went(Outcome::Redirected) => "redirected to its worker".to_owned(),
        Fate::Went(outcome @ Outcome::HelloVerifyRequest) => {
            format!("answered: {}", outcome.as_str())
        }
        Fate::Went(outcome) => format!("passed to the kernel: {}", outcome.as_str()),
    };
    let TraceEvent { sender, receiver, length, .. } = event;
    Some(Event {
        at_ms,
        place: "xdp".to_owned(),
        peer: SocketAddr::new(address, event.port),
        what: format!("[{sender:08x}][{receiver:08x}], {length} bytes → {became}"),
    })
}

#[cfg(test)]
mod tests {
    use xdtls_common::DropReason;

    use super::*;

    #[test]
    fn events_of_this_trace_are_told_in_words() {
        let event = |fate: Fate| TraceEvent {
            at_ns: 7_000_000,
            address: "::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets(),
            sender: 7,
            receiver: 300,
            length: 24,
            port: 5,
            fate: fate.code(),
        };
        let words = |fate| in_words(&event(fate), 2_000_000).unwrap();
        let dropped = words(Fate::Dropped(DropReason::UnknownId));
        assert_eq!((dropped.at_ms, dropped.peer), (5, "192.0.2.1:5".parse().unwrap()));
        assert_eq!(dropped.what, "[00000007][0000012c], 24 bytes → dropped: unknown_id");
        let redirected = words(Fate::Went(Outcome::Redirected));
        assert!(redirected.what.ends_with("→ redirected to its worker"), "{redirected:?}");
        assert_eq!(in_words(&event(Fate::Went(Outcome::Redirected)), 7_000_001), None);
    }
}
