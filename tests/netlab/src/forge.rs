//! UDP datagrams under an address and port that somebody else has.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::Result;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto};
use xdtls_common::checksum::Sum;
use xdtls_common::cursor::SliceCursor;

use crate::netns::Netns;

const UDP_LEN: usize = 8;
const PROTOCOL_UDP: u8 = 17;

/// Sends datagrams in another's name, which has to be an address of the namespace.
#[derive(Debug)]
pub struct Forger {
    socket: OwnedFd,
    from: SocketAddr,
    to: SocketAddr,
}

impl Netns {
    /// A raw socket inside. Both addresses are of one family.
    pub fn forger(&self, from: SocketAddr, to: SocketAddr) -> Result<Forger> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = self.entrance().make_socket(move || {
            let flags = SocketFlags::CLOEXEC;
            let socket =
                rustix::net::socket_with(family, SocketType::RAW, flags, Some(ipproto::UDP))?;
            // A raw socket has no port: what stands there is the kernel's to interpret.
            rustix::net::bind(&socket, &SocketAddr::new(from.ip(), 0))?;
            rustix::net::connect(&socket, &SocketAddr::new(to.ip(), 0))?;
            Ok(socket)
        })??;
        Ok(Forger { socket, from, to })
    }
}

impl Forger {
    /// Sends one datagram, with its checksum in full.
    pub fn send(&self, payload: &[u8]) -> Result<()> {
        let length = (UDP_LEN + payload.len()) as u16;
        let ports = [self.from.port(), self.to.port(), length].map(u16::to_be_bytes);
        let mut datagram = [ports.as_flattened(), &[0, 0], payload].concat();
        let checksum = self.checksum(&datagram)?;
        datagram[UDP_LEN - 2..UDP_LEN].copy_from_slice(&checksum);
        rustix::net::send(&self.socket, &datagram, SendFlags::empty())?;
        Ok(())
    }

    /// RFC 768, RFC 8200 §8.1.
    fn checksum(&self, datagram: &[u8]) -> Result<[u8; 2]> {
        let mut sum = Sum::default();
        let mut add = |bytes: &[u8]| sum.absorb(&mut SliceCursor::new(bytes), bytes.len());
        let parts = [self.from, self.to].map(|end| match end {
            SocketAddr::V4(v4) => v4.ip().octets().to_vec(),
            SocketAddr::V6(v6) => v6.ip().octets().to_vec(),
        });
        let length = (datagram.len() as u16).to_be_bytes();
        for part in [&parts[0][..], &parts[1], &[0, PROTOCOL_UDP], &length, datagram] {
            add(part).map_err(|truncated| anyhow::anyhow!("{truncated:?}"))?;
        }
        Ok(sum.udp_checksum())
    }
}
