//! A network interface, as rtnetlink describes it.

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp};
use rtnetlink::{Handle, LinkGetRequest};

/// `-ENODEV`: how the kernel says that it knows no such interface.
const NO_SUCH_DEVICE: i32 = -19;

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

impl Interface {
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
