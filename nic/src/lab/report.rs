//! What the lab reports: of each driver what the guest has found, and the sum of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::driver::Driver;
use crate::pktgen;

/// What was tried, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Trial {
    /// What was tried.
    pub name: String,
    /// What was seen, or why it has failed.
    pub seen: String,
    /// Whether it was as it should be.
    pub ok: bool,
}

/// What `udp-probe` reports: each datagram sent is echoed, lost or altered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Probed {
    /// Datagrams sent.
    pub sent: u64,
    /// Came back as they were sent.
    pub echoed: u64,
    /// Did not come back.
    pub lost: u64,
    /// Came back otherwise.
    pub altered: u64,
    /// Came in answer to nothing.
    pub unexpected: u64,
}

/// What was found with one driver.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct DriverReport {
    /// The guest's kernel.
    pub kernel: String,
    /// How the XDP program ran: `native` or `generic`.
    pub xdp_mode: String,
    /// Whether all AF_XDP sockets were zero-copy (XDP_OPTIONS).
    pub zero_copy: bool,
    /// How the gateway sent: `xdp` or `socket`.
    pub transmit: String,
    /// Receive queues of the gateway's card.
    pub queues: u32,
    /// Datagrams of clients that came by each of them and were opened.
    pub opened_by_queue: Vec<u64>,
    /// Handshakes that succeeded.
    pub handshakes: u64,
    /// All datagrams of the clients' programs.
    pub datagrams: Probed,
    /// What the kernel's pktgen has sent, and what became of it.
    pub pktgen: Option<pktgen::Report>,
    /// ClientHellos of our own generator.
    pub hellos: Option<pktgen::Report>,
    /// Records of an established association.
    pub records: Option<pktgen::Report>,
    /// Frames that did not come back.
    pub frames_leaked: i64,
    /// What the kernel warned of while all this went on.
    pub kernel_warnings: Vec<String>,
    /// Warnings of the driver that are known and explained in docs/nic.md.
    pub kernel_notices: Vec<String>,
    /// Everything that was tried, in order.
    pub trials: Vec<Trial>,
}

impl DriverReport {
    /// Whether everything was as it should be.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        !self.trials.is_empty() && self.trials.iter().all(|trial| trial.ok)
    }
}

/// The whole report. A number is the worst of all drivers'.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// Whether everything was as it should be, with every driver.
    pub ok: bool,
    /// Whether the gateway ran zero-copy with every driver.
    pub zero_copy: bool,
    /// Receive queues.
    pub queues: u32,
    /// Packets that the kernel's pktgen has sent.
    pub pktgen_sent: u64,
    /// Packets whose fate is unknown, or below 0 fates without a packet.
    pub pktgen_unaccounted: i64,
    /// Frames that did not come back.
    pub frames_leaked: i64,
    /// By driver.
    pub drivers: BTreeMap<Driver, DriverReport>,
    /// Machines that did not end as they should, and why.
    pub failures: BTreeMap<Driver, String>,
}

impl Report {
    /// Sums up.
    #[must_use]
    pub fn of(drivers: BTreeMap<Driver, DriverReport>, failures: BTreeMap<Driver, String>) -> Self {
        let all = || drivers.values();
        let runs = || all().flat_map(|it| [&it.pktgen, &it.hellos, &it.records]).flatten();
        let unaccounted = runs().map(|run| run.account.unaccounted).max_by_key(|it| it.abs());
        let sent = all().map(|it| it.pktgen.as_ref().map_or(0, |run| run.account.sent)).min();
        Self {
            ok: failures.is_empty() && !drivers.is_empty() && all().all(DriverReport::is_ok),
            zero_copy: !drivers.is_empty() && all().all(|it| it.zero_copy),
            queues: all().map(|it| it.queues).min().unwrap_or(0),
            pktgen_sent: sent.unwrap_or(0),
            pktgen_unaccounted: unaccounted.unwrap_or(0),
            frames_leaked: all().map(|it| it.frames_leaked).max_by_key(|it| it.abs()).unwrap_or(0),
            drivers,
            failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pktgen::{Account, Profile};

    fn driver(ok: bool, sent: u64, unaccounted: i64) -> DriverReport {
        let account = Account { sent, unaccounted, ..Account::default() };
        let run = pktgen::Report {
            profile: Profile::Garbage,
            generator: String::new(),
            seconds: 1.0,
            replies: None,
            gateway: true,
            account,
        };
        let trial = Trial { name: "it".to_owned(), seen: "works".to_owned(), ok };
        DriverReport {
            zero_copy: ok,
            queues: 2,
            pktgen: Some(run),
            trials: vec![trial],
            ..DriverReport::default()
        }
    }

    #[test]
    fn the_worst_driver_counts() {
        let drivers =
            [(Driver::Virtio, driver(true, 200, 0)), (Driver::Igb, driver(false, 100, -3))];
        let report = Report::of(drivers.into(), BTreeMap::new());
        assert!(!report.ok && !report.zero_copy);
        assert_eq!((report.queues, report.pktgen_sent, report.pktgen_unaccounted), (2, 100, -3));
    }

    #[test]
    fn nothing_tried_is_not_well() {
        assert!(!Report::of(BTreeMap::new(), BTreeMap::new()).ok);
        assert!(!DriverReport::default().is_ok());
        let drivers = BTreeMap::from([(Driver::Virtio, driver(true, 1, 0))]);
        assert!(Report::of(drivers.clone(), BTreeMap::new()).ok);
        let failures = BTreeMap::from([(Driver::Igb, "the guest has died".to_owned())]);
        assert!(!Report::of(drivers, failures).ok);
    }
}
