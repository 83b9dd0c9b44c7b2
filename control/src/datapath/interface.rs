//! A network interface, as rtnetlink describes it.

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkInfo, LinkXdp};

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
