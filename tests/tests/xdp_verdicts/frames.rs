//! Frames, plain and odd. Checksums are left 0: nobody under test looks at them.

use xdtls_common::prefix::Prefix;
use xdtls_common::record::{DTLS_1_2, RecordHeader};

use crate::fixture::PORT;

/// The IP version of a frame.
#[derive(Clone, Copy)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A frame before it is bytes: plain unless said otherwise.
#[derive(Clone)]
pub(crate) struct Frame {
    /// The IP version.
    pub(crate) family: Family,
    /// VLAN tags, the outer one first: EtherType and control.
    pub(crate) tags: Vec<[u16; 2]>,
    /// Replaces the EtherType of the IP version.
    pub(crate) ethertype: Option<u16>,
    /// IPv4 options, in words of four bytes.
    pub(crate) options: Vec<u8>,
    /// Flags and fragment offset of IPv4.
    pub(crate) fragment: u16,
    /// Protocol, or the first next header.
    pub(crate) protocol: u8,
    /// IPv6 extension headers.
    pub(crate) extensions: Vec<u8>,
    /// What is added to the right length of the IP packet.
    pub(crate) ip_length_error: i16,
    /// What is added to the right length of UDP.
    pub(crate) udp_length_error: i16,
    /// Destination port.
    pub(crate) port: u16,
    /// The datagram.
    pub(crate) payload: Vec<u8>,
    /// Bytes behind the packet.
    pub(crate) padding: Vec<u8>,
}

impl Frame {
    /// A plain frame with `payload` for the gateway.
    pub(crate) fn new(family: Family, payload: Vec<u8>) -> Self {
        Self {
            family,
            tags: Vec::new(),
            ethertype: None,
            options: Vec::new(),
            fragment: 0x4000,
            protocol: 17,
            extensions: Vec::new(),
            ip_length_error: 0,
            udp_length_error: 0,
            port: PORT,
            payload,
            padding: Vec::new(),
        }
    }

    /// The frame as it stands on the wire.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (ethertype, packet) = match self.family {
            Family::V4 => (0x0800, self.ipv4()),
            Family::V6 => (0x86dd, self.ipv6()),
        };
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        for [protocol, control] in &self.tags {
            bytes.extend(protocol.to_be_bytes());
            bytes.extend(control.to_be_bytes());
        }
        bytes.extend(self.ethertype.unwrap_or(ethertype).to_be_bytes());
        bytes.extend(packet);
        bytes.extend(&self.padding);
        bytes
    }

    fn udp(&self) -> Vec<u8> {
        let length = (8 + self.payload.len()) as u16;
        let length = length.wrapping_add_signed(self.udp_length_error);
        let header = [40_000, self.port, length, 0].map(u16::to_be_bytes);
        [header.as_flattened(), &self.payload].concat()
    }

    fn ipv4(&self) -> Vec<u8> {
        let udp = self.udp();
        let header_len = 20 + self.options.len();
        let length = (header_len + udp.len()) as u16;
        let length = length.wrapping_add_signed(self.ip_length_error);
        let mut packet = vec![0x40 | (header_len / 4) as u8, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([0x12, 0x34]);
        packet.extend(self.fragment.to_be_bytes());
        packet.extend([64, self.protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        packet.extend(&self.options);
        packet.extend(udp);
        packet
    }

    fn ipv6(&self) -> Vec<u8> {
        let udp = self.udp();
        let length = (self.extensions.len() + udp.len()) as u16;
        let length = length.wrapping_add_signed(self.ip_length_error);
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([self.protocol, 64]);
        packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        packet.extend(&self.extensions);
        packet.extend(udp);
        packet
    }
}

/// A record whose fragment is `length` bytes long.
pub(crate) fn record(content_type: u8, epoch: u16, length: u16) -> Vec<u8> {
    let header = RecordHeader { content_type, version: DTLS_1_2, epoch, sequence: 7, length };
    [&header.encode()[..], &vec![0xaa; usize::from(length)]].concat()
}

/// A datagram: the prefix and the records.
pub(crate) fn datagram(sender: u32, receiver: u32, records: &[Vec<u8>]) -> Vec<u8> {
    [&Prefix { sender, receiver }.encode()[..], &records.concat()].concat()
}
