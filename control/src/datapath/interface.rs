//! A network interface, as rtnetlink describes it.

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkInfo, LinkXdp};
use thiserror::Error;

use crate::xsk::{ChunkSize, LINK_HEADER};

/// Drivers that receive into AF_XDP frames of any size when that is zero-copy.
const EXACT: [&str; 4] = ["i40e", "ice", "mlx5_core", "virtio_net"];

/// All others may tell the card the size of a frame in these steps, in bytes, as igb, igc and ixgbe
/// do, rounded down: what is longer would come in pieces that look like packets.
const STEP: usize = 1024;

/// The kernel attaches no program that takes one buffer a packet above this MTU, in bytes: packet,
/// headroom and the end that an skb needs have to fit into a page (`veth_xdp_set`, `virtnet_xdp_set`).
const MTU_MAX: usize = 3506;

/// What XDP has to know of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The kernel's number for it.
    pub index: u32,
    /// Receive queues that are in use.
    pub queues: u32,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// What it is, if it is no plain network card: `veth`, `vlan`, `bridge` and so on.
    pub kind: Option<String>,
    /// The driver of its device, if it has a device.
    pub driver: Option<String>,
    /// The id of the XDP program that is attached, if one is.
    pub xdp_program: Option<u32>,
}

/// The queues in use: rtnetlink tells how many the driver has room for, which may be more.
fn receive_queues(name: &str) -> Result<u32> {
    let folder = format!("/sys/class/net/{name}/queues");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    let receives =
        |entry: &std::fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b"rx-");
    Ok(entries.flatten().filter(receives).count().max(1) as u32)
}

fn driver(name: &str) -> Option<String> {
    let link = std::fs::read_link(format!("/sys/class/net/{name}/device/driver")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

impl Interface {
    /// The AF_XDP frames that its packets fit into, or in words why there are none, and what to do.
    pub fn chunk(&self) -> Result<ChunkSize, TooLarge> {
        let Self { name, mtu, .. } = self;
        let most = MTU_MAX.min(self.room(ChunkSize::Page) - LINK_HEADER);
        if *mtu as usize > most {
            return Err(TooLarge { name: name.clone(), mtu: *mtu, most });
        }
        let fits = *mtu as usize + LINK_HEADER <= self.room(ChunkSize::Small);
        Ok(if fits { ChunkSize::Small } else { ChunkSize::Page })
    }

    /// The longest packet that the driver receives into one frame, link header included.
    #[must_use]
    pub fn room(&self, chunk: ChunkSize) -> usize {
        let capacity = chunk.capacity();
        match &self.driver {
            Some(driver) if !EXACT.contains(&driver.as_str()) => capacity / STEP * STEP,
            _ => capacity,
        }
    }

    /// Asks the kernel for the interface called `name`.
    pub async fn find(name: &str) -> Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection().context("rtnetlink")?;
        let connection = tokio::spawn(connection);
        let mut links = handle.link().get().match_name(name.to_owned()).execute();
        let link = links.try_next().await;
        connection.abort();
        let link =
            link.ok().flatten().with_context(|| format!("there is no network interface {name}"))?;
        let mut interface = Self {
            name: name.to_owned(),
            index: link.header.index,
            queues: receive_queues(name)?,
            mtu: 1500,
            kind: None,
            driver: driver(name),
            xdp_program: None,
        };
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
                LinkAttribute::LinkInfo(infos) => {
                    interface.kind = infos.iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind.to_string()),
                        _ => None,
                    });
                }
                LinkAttribute::Xdp(attributes) => {
                    interface.xdp_program =
                        attributes.iter().find_map(|attribute| match attribute {
                            LinkXdp::ProgId(id) if *id != 0 => Some(*id),
                            _ => None,
                        });
                }
                _ => {}
            }
        }
        Ok(interface)
    }
}

/// An interface carries larger packets than XDP takes as one buffer.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "an MTU of {mtu} is more than XDP takes on {name} ({most}): `ip link set {name} mtu {most}` or \
     less, or datapath = \"socket\""
)]
pub struct TooLarge {
    name: String,
    mtu: u32,
    /// The largest MTU with which XDP can be had, in bytes.
    pub most: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(driver: Option<&str>, mtu: u32) -> Interface {
        Interface {
            name: "nic".to_owned(),
            index: 1,
            queues: 1,
            mtu,
            kind: None,
            driver: driver.map(str::to_owned),
            xdp_program: None,
        }
    }

    #[test]
    fn packets_fit_into_what_the_driver_makes_of_a_frame() {
        let chunk = |driver, mtu| interface(driver, mtu).chunk();
        for exact in [None, Some("virtio_net")] {
            assert_eq!(chunk(exact, 1774), Ok(ChunkSize::Small));
            assert_eq!(chunk(exact, 1775), Ok(ChunkSize::Page));
            assert_eq!(chunk(exact, 3506), Ok(ChunkSize::Page));
            assert_eq!(chunk(exact, 3507).unwrap_err().most, 3506);
        }
        assert_eq!(chunk(Some("igb"), 1006), Ok(ChunkSize::Small));
        assert_eq!(chunk(Some("igb"), 1007), Ok(ChunkSize::Page));
        assert_eq!(chunk(Some("igb"), 3055).unwrap_err().most, 3054);
    }
}
