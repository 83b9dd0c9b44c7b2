//! A network interface, as rtnetlink describes it.

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkXdp};

/// What XDP has to know of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The kernel's number for it.
    pub index: u32,
    /// Receive queues that it has.
    pub queues: u32,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// The id of the XDP program that is attached, if one is.
    pub xdp_program: Option<u32>,
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
            queues: 1,
            mtu: 1500,
            xdp_program: None,
        };
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::NumRxQueues(queues) => interface.queues = queues,
                LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
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
