//! Noticing that our own address has changed.
//!
//! A peer learns of our new address from the next record that we send. Who only listens has to be
//! told by the kernel that there is something to be said. Kernel document: rtnetlink(7).

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{FutureExt, StreamExt};
use rtnetlink::MulticastGroup;

/// What may change the address that the kernel chooses.
const GROUPS: [MulticastGroup; 4] = [
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// How long to wait for what comes with a change: an address, then its routes.
const SETTLE: Duration = Duration::from_millis(100);

/// Calls `changed` whenever we would send to one of `peers` from another address than before. It
/// does not end as long as the kernel reports.
pub async fn follow(peers: Vec<SocketAddr>, mut changed: impl FnMut()) -> Result<()> {
    let (connection, _handle, mut events) =
        rtnetlink::new_multicast_connection(&GROUPS).context("cannot listen to rtnetlink")?;
    tokio::spawn(connection);
    let mut known: Vec<_> = peers.iter().map(|peer| source_towards(*peer)).collect();
    while events.next().await.is_some() {
        tokio::time::sleep(SETTLE).await;
        while events.next().now_or_never().flatten().is_some() {}
        let mut moved = false;
        for (peer, known) in peers.iter().zip(&mut known) {
            let source = source_towards(*peer);
            moved |= source.is_some() && source != *known;
            // Without any way there, the last address is what the peer knows.
            *known = source.or(*known);
        }
        if moved {
            changed();
        }
    }
    anyhow::bail!("rtnetlink has ended")
}

/// The address that the kernel would send from; `None` if there is no way there.
fn source_towards(peer: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    // Nothing is sent: the kernel only chooses.
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_where_we_send_from() {
        let loopback = "127.0.0.1:9".parse().unwrap();
        assert_eq!(source_towards(loopback), Some([127, 0, 0, 1].into()));
        // Broadcast needs permission, which is no way either.
        assert_eq!(source_towards("255.255.255.255:9".parse().unwrap()), None);
    }
}
