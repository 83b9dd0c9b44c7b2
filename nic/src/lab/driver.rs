//! The cards that the lab emulates, by the kernel's name for their drivers.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// virtio-net with two queue pairs, behind an IOMMU as zero-copy requires.
    Virtio,
    /// Intel 82576.
    Igb,
}

/// Queues of each card.
pub const QUEUES: u32 = 2;

impl Driver {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Virtio, Self::Igb];

    /// Queues of the taps that it is joined to. An igb spreads packets over its queues itself.
    pub(super) fn tap_queues(self) -> u32 {
        match self {
            Self::Virtio => QUEUES,
            Self::Igb => 1,
        }
    }

    /// QEMU's side of a tap.
    pub(super) fn backend(self, tap: &str) -> String {
        let queues = self.tap_queues();
        format!("tap,id={tap},ifname={tap},script=no,downscript=no,vhost=off,queues={queues}")
    }

    /// The card that is joined to it, as arguments of QEMU.
    pub(super) fn devices(self, index: usize, tap: &str) -> Vec<String> {
        let (mac, slot) = (mac(index), 16 + index);
        let devices = match self {
            Self::Virtio => vec![format!(
                "virtio-net-pci,netdev={tap},mac={mac},addr={slot:#x},mq=on,vectors={},\
                 iommu_platform=on,disable-legacy=on",
                2 * QUEUES + 2
            )],
            Self::Igb => vec![
                format!("pcie-root-port,id=port{index},chassis={},addr={slot:#x}", index + 1),
                format!("igb,netdev={tap},mac={mac},bus=port{index}"),
            ],
        };
        devices.into_iter().flat_map(|device| ["-device".to_owned(), device]).collect()
    }
}

/// The MAC address of a card.
#[must_use]
pub fn mac(index: usize) -> String {
    format!("02:00:00:00:00:{:02x}", index + 1)
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Virtio => "virtio",
            Self::Igb => "igb",
        })
    }
}
