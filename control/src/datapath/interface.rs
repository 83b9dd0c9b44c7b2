//! A network interface, as rtnetlink describes it.

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp};
use rtnetlink::{Handle, LinkGetRequest};
use thiserror::Error;

use crate::xsk::{ChunkSize, LINK_HEADER};

/// `-ENODEV`: how the kernel says that it knows no such interface.
const NO_SUCH_DEVICE: i32 = -19;

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
    /// Whether packets can pass: it is up, and its cable or other end is.
    pub up: bool,
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
        let link = ask(|handle| handle.link().get().match_name(name.to_owned())).await;
        let link = link?.with_context(|| format!("there is no network interface {name}"))?;
        Self::from_link(link)
    }

    /// Asks the kernel for the interface with this number; `None` if it is gone.
    pub async fn find_by_index(index: u32) -> Result<Option<Self>> {
        let link = ask(|handle| handle.link().get().match_index(index)).await?;
        link.map(Self::from_link).transpose()
    }

    fn from_link(link: LinkMessage) -> Result<Self> {
        let mut interface = Self {
            name: String::new(),
            index: link.header.index,
            up: link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
            queues: 1,
            mtu: 1500,
            kind: None,
            driver: None,
            xdp_program: None,
        };
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => interface.name = name,
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
        interface.queues = receive_queues(&interface.name)?;
        interface.driver = driver(&interface.name);
        Ok(interface)
    }
}

/// Asks the kernel for one interface; `None` if there is none.
async fn ask(request: impl FnOnce(&Handle) -> LinkGetRequest) -> Result<Option<LinkMessage>> {
    let (connection, handle, _) = rtnetlink::new_connection().context("rtnetlink")?;
    let connection = tokio::spawn(connection);
    let link = request(&handle).execute().try_next().await;
    connection.abort();
    match link {
        Err(rtnetlink::Error::NetlinkError(refused)) if refused.raw_code() == NO_SUCH_DEVICE => {
            Ok(None)
        }
        link => Ok(link?),
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
            up: true,
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
