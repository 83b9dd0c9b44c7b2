//! Where the demo plays: three namespaces, two veth pairs, and how they are drawn.

use anyhow::Result;
use xdtls_netlab::{Netns, Veth};

/// Where local programs send to, in the client's namespace.
pub(super) const LOCAL: &str = "127.0.0.1:5000";
/// The gateway's outside.
pub(super) const GATEWAY: &str = "192.0.2.2:4433";
/// The gateway's interface on the outside.
pub(super) const OUTSIDE: &str = "outside";
/// The backend.
pub(super) const BACKEND: &str = "10.0.0.2:9000";

const CLIENT_CIDR: &str = "192.0.2.1/24";
const OUTSIDE_CIDR: &str = "192.0.2.2/24";
const INSIDE_CIDR: &str = "10.0.0.1/24";
const BACKEND_CIDR: &str = "10.0.0.2/24";

/// Receive and transmit queues of each interface.
const QUEUES: u32 = 2;

/// The namespaces. The veth pairs go away with them.
pub(super) struct Lab {
    pub(super) client: Netns,
    pub(super) gateway: Netns,
    pub(super) backend: Netns,
}

impl Lab {
    /// Makes everything; what is made is removed when the lab is dropped.
    pub(super) fn new() -> Result<Self> {
        let lab = Self {
            client: Netns::new("client")?,
            gateway: Netns::new("gateway")?,
            backend: Netns::new("backend")?,
        };
        let Self { client, gateway, backend } = &lab;
        for veth in [
            Veth::pair(client, "wan", CLIENT_CIDR, gateway, OUTSIDE, OUTSIDE_CIDR, QUEUES)?,
            Veth::pair(gateway, "inside", INSIDE_CIDR, backend, "lan", BACKEND_CIDR, QUEUES)?,
        ] {
            veth.disable_tx_offload()?;
        }
        Ok(lab)
    }
}

/// The lab as a drawing. It names the addresses above.
pub(super) fn drawing(programs: u64) -> String {
    let count = format!("{programs} local program{}", if programs == 1 { "" } else { "s" });
    format!(
        "    client namespace          gateway namespace         backend namespace
  +-------------------+     +-------------------+     +-------------------+
  | {count:<17} |     |                   |     |                   |
  |         | UDP     |     |                   |     |                   |
  | 127.0.0.1:5000    |     |                   |     |                   |
  | xdtls connect ====|=====|== xdtls gateway --|-----|-- udp-echo        |
  |                   |DTLS |   192.0.2.2:4433  | UDP |   10.0.0.2:9000   |
  +---------192.0.2.1-+     +-192.0.2.2-10.0.0.1+     +-10.0.0.2----------+
                  wan +=veth+ outside    inside +-veth+ lan"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drawing_is_straight_and_names_the_addresses() {
        for programs in [1, 8] {
            let drawing = drawing(programs);
            let boxes: Vec<&str> = drawing.lines().skip(1).take(7).collect();
            assert!(boxes.iter().all(|line| line.len() == boxes[0].len()), "{drawing}");
            for address in [LOCAL, GATEWAY, BACKEND, CLIENT_CIDR, OUTSIDE_CIDR, INSIDE_CIDR] {
                let address = address.split('/').next().unwrap();
                assert!(drawing.contains(address), "{address}\n{drawing}");
            }
        }
    }
}
