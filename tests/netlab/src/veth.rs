//! Veth pairs between two namespaces.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::netns::{self, Netns};
use crate::process::capture;

/// All our links are in this group, so that one command deletes those of a namespace.
pub(crate) const LINK_GROUP: &str = "7";

/// How long both ends may take to report that they are up.
const UP_TIMEOUT: Duration = Duration::from_secs(5);

/// A veth pair between two namespaces. It goes away with the first of them.
#[derive(Debug)]
pub struct Veth {
    ends: [End; 2],
}

#[derive(Debug)]
struct End {
    netns: String,
    interface: String,
}

impl Veth {
    /// Joins two namespaces by a pair with `queues` receive and transmit queues at both ends, each
    /// end with one address (`10.0.0.1/24`, `fd00::1/64`), and waits until both are up.
    ///
    /// The ends have no link-local address: nothing but what a test sends is on the wire.
    pub fn pair(
        netns_a: &Netns,
        interface_a: &str,
        cidr_a: &str,
        netns_b: &Netns,
        interface_b: &str,
        cidr_b: &str,
        queues: u32,
    ) -> Result<Self> {
        let queues = queues.to_string();
        let common = ["group", LINK_GROUP, "numrxqueues", &queues, "numtxqueues", &queues];
        let left = [&["link", "add", "name", interface_a], &common[..]].concat();
        let right = ["type", "veth", "peer", "name", interface_b, "netns", netns_b.name()];
        netns_a.ip(&[&left[..], &right, &common].concat())?;
        for (netns, interface, cidr) in
            [(netns_a, interface_a, cidr_a), (netns_b, interface_b, cidr_b)]
        {
            netns.ip(&["link", "set", "dev", interface, "addrgenmode", "none", "up"])?;
            netns.add_address(interface, cidr)?;
        }
        let end = |netns: &Netns, interface: &str| End {
            netns: netns.name().to_owned(),
            interface: interface.to_owned(),
        };
        let veth = Self { ends: [end(netns_a, interface_a), end(netns_b, interface_b)] };
        veth.wait_until_up()?;
        Ok(veth)
    }

    /// Makes both ends write whole UDP checksums. By default the sender leaves them to hardware
    /// that a veth pair has not, and an XDP program sees them unfinished.
    pub fn disable_tx_offload(&self) -> Result<()> {
        for End { netns, interface } in &self.ends {
            let mut command = std::process::Command::new("ip");
            command.args(["netns", "exec", netns, "ethtool", "-K", interface, "tx", "off"]);
            capture(&mut command).context("is ethtool installed?")?;
        }
        Ok(())
    }

    /// The kernel brings a link up in the background; what is sent before is lost.
    fn wait_until_up(&self) -> Result<()> {
        let deadline = Instant::now() + UP_TIMEOUT;
        for End { netns, interface } in &self.ends {
            while !netns::ip(netns, &["-o", "link", "show", "dev", interface])?.contains("state UP")
            {
                ensure!(Instant::now() < deadline, "{interface} in {netns} does not come up");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }
}
