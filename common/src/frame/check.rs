//! Whether a datagram is as it was sent, as far as its UDP checksum tells.

use super::{PROTOCOL_UDP, Place, UDP_LEN};
use crate::checksum::Sum;
use crate::cursor::{Cursor, SliceCursor, Truncated};
use crate::ends::{IPV4_PAIR_LEN, IPV6_PAIR_LEN};

/// Whether the UDP checksum of a frame says nothing against its payload: it is right, over IPv4 there
/// is none (RFC 768), or it is unfinished.
///
/// An unfinished one covers the pseudo-header alone: the sender left the rest to an offload. Such a
/// datagram comes from this machine and was on no wire. That a damaged one looks like it is as
/// unlikely as that its checksum is right.
pub fn udp_is_credible(place: &Place, frame: &[u8]) -> bool {
    credible(place, SliceCursor::new(frame)) == Ok(true)
}

fn credible(place: &Place, mut frame: SliceCursor<'_>) -> Result<bool, Truncated> {
    let addresses = if place.ipv6 { IPV6_PAIR_LEN } else { IPV4_PAIR_LEN };
    let length = UDP_LEN + place.payload_len;
    frame.skip(place.payload_at - UDP_LEN - addresses)?;
    let mut sum = Sum::default();
    sum.pair((length as u16).to_be_bytes());
    sum.pair([0, PROTOCOL_UDP]);
    sum.absorb(&mut frame, addresses)?;
    let unfinished = sum.unfinished();
    let [_, _, _, _, _, _, c0, c1] = frame.clone().take::<UDP_LEN>()?;
    if [c0, c1] == [0, 0] {
        return Ok(!place.ipv6);
    }
    sum.absorb(&mut frame, length)?;
    Ok(sum.is_intact() || [c0, c1] == unfinished)
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::frame::{FrameHeaders, LinkHeader, parse};

    const LINK: LinkHeader = LinkHeader { destination: [1; 6], source: [2; 6], vlan: None };

    fn built(source: &str, destination: &str, payload: &[u8]) -> (Place, Vec<u8>) {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let headers = FrameHeaders::new(&LINK, source, destination, payload.len()).unwrap();
        let mut frame = vec![0; headers.frame_len()];
        frame[headers.payload_at..].copy_from_slice(payload);
        headers.write(&mut frame);
        // As short frames are padded.
        frame.push(0xee);
        (parse(SliceCursor::new(&frame)).unwrap().0.place(), frame)
    }

    fn both(payload: &[u8]) -> [(Place, Vec<u8>); 2] {
        [
            built("10.0.0.2:9000", "10.0.0.1:40000", payload),
            built("[fd00::2]:9000", "[fd00::1]:40000", payload),
        ]
    }

    #[test]
    fn any_damage_from_the_addresses_on_shows() {
        for length in [0, 1, 2, 33, 1400] {
            let payload: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
            for (place, mut frame) in both(&payload) {
                assert!(udp_is_credible(&place, &frame));
                let addresses = if place.ipv6 { IPV6_PAIR_LEN } else { IPV4_PAIR_LEN };
                let begin = place.payload_at - UDP_LEN - addresses;
                for at in begin..place.payload_at + place.payload_len {
                    frame[at] ^= 0x40;
                    assert!(!udp_is_credible(&place, &frame), "byte {at} of {}", frame.len());
                    frame[at] ^= 0x40;
                }
            }
        }
    }

    #[test]
    fn no_checksum_is_for_ipv4_only() {
        for (place, mut frame) in both(b"payload") {
            frame[place.payload_at - 2..place.payload_at].fill(0);
            assert_eq!(udp_is_credible(&place, &frame), !place.ipv6);
        }
    }

    #[test]
    fn a_checksum_that_an_offload_is_to_finish_is_credible() {
        // 10.0.0.2 → 10.0.0.1, protocol 17, 15 bytes: what Linux writes (`udp4_hwcsum`).
        let sum = 0x0a00_u16 + 0x0002 + 0x0a00 + 0x0001 + 17 + 15;
        let (place, mut frame) = built("10.0.0.2:9000", "10.0.0.1:40000", b"payload");
        let checksum = place.payload_at - 2..place.payload_at;
        frame[checksum.clone()].copy_from_slice(&sum.to_be_bytes());
        assert!(udp_is_credible(&place, &frame));
        frame[checksum].copy_from_slice(&(sum + 1).to_be_bytes());
        assert!(!udp_is_credible(&place, &frame));
    }
}
