//! What comes back to a generator: told apart by its first bytes.

use bytemuck::{Pod, Zeroable};

use crate::{COOKIE_LEN, IP_AT, PAYLOAD_AT, PREFIX_LEN, identity_of};

/// How many bytes of a reply's frame name its receiver: all before the UDP header.
pub const REPLY_ADDRESS_LEN: usize = 34;

/// How many bytes behind the UDP header tell the kind of a reply: prefix, record header and the
/// type of the handshake message.
pub const REPLY_KIND_LEN: usize = PREFIX_LEN + 13 + 1;

/// Where the cookie of the gateway's HelloVerifyRequest stands in the frame.
pub const REPLY_COOKIE_AT: usize = PAYLOAD_AT + PREFIX_LEN + 13 + 12 + 2 + 1;

/// The length of a frame with the gateway's HelloVerifyRequest.
pub const HELLO_VERIFY_FRAME_LEN: usize = REPLY_COOKIE_AT + COOKIE_LEN;

/// What the program that counts replies must know: the one value of the map `WATCHED`. It is not
/// part of the plan, which another core writes to with every frame.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Watched {
    /// The network of the senders.
    pub network: u32,
    /// The bits of an address that vary in it.
    pub host_mask: u32,
    /// Whether a prefix begins the replies: 0 or 1.
    pub prefix: u32,
    /// Whether cookies are kept: 0 or 1.
    pub keeps_cookies: u32,
}

const _: () = assert!(size_of::<Watched>() == 16);

/// A kind of reply: where the map `REPLIES` counts it, with its bytes [`Reply::COUNT`] further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reply {
    /// A HelloVerifyRequest.
    HelloVerifyRequest,
    /// A ServerHello: a server that has begun a handshake.
    ServerHello,
    /// Anything else, the rest of a server's flight too.
    Other,
}

impl Reply {
    /// How many kinds there are.
    pub const COUNT: u32 = 3;
}

/// Where an IPv4 frame comes from and goes to; `None` for other protocols.
#[inline(always)]
pub fn addresses(head: &[u8; REPLY_ADDRESS_LEN]) -> Option<(u32, u32)> {
    if (head[12], head[13], head[IP_AT]) != (8, 0, 0x45) {
        return None;
    }
    let address =
        |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    Some((address(26), address(30)))
}

/// The kind of a reply whose payload begins so. `prefix` says whether a prefix begins it.
#[inline(always)]
pub fn kind(payload: &[u8; REPLY_KIND_LEN], prefix: bool) -> Reply {
    let (record, message) = if prefix { (PREFIX_LEN, PREFIX_LEN + 13) } else { (0, 13) };
    match (payload[record], payload[message]) {
        (22, 3) => Reply::HelloVerifyRequest,
        (22, 2) => Reply::ServerHello,
        _ => Reply::Other,
    }
}

/// The identity that a reply with a prefix is for.
#[inline(always)]
pub fn identity(payload: &[u8; REPLY_KIND_LEN]) -> u32 {
    identity_of(u32::from_be_bytes([payload[4], payload[5], payload[6], payload[7]]))
}

#[cfg(test)]
mod tests {
    use xdtls_common::hello_verify::{HELLO_VERIFY_LEN, hello_verify_request};

    use super::*;

    #[test]
    fn the_gateways_own_reply_is_read() {
        let reply = hello_verify_request(0x5000_1234, 5, &[9; COOKIE_LEN]);
        assert_eq!(PAYLOAD_AT + HELLO_VERIFY_LEN, HELLO_VERIFY_FRAME_LEN);
        assert_eq!(reply[REPLY_COOKIE_AT - PAYLOAD_AT..], [9; COOKIE_LEN]);
        let head = reply[..REPLY_KIND_LEN].try_into().unwrap();
        assert_eq!(kind(head, true), Reply::HelloVerifyRequest);
        assert_eq!(identity(head), 0x1234);
        let without = reply[PREFIX_LEN..PREFIX_LEN + REPLY_KIND_LEN].try_into().unwrap();
        assert_eq!(kind(without, false), Reply::HelloVerifyRequest);
        let mut server = [22; REPLY_KIND_LEN];
        assert_eq!(kind(&server, true), Reply::Other);
        server[PREFIX_LEN + 13] = 2;
        assert_eq!(kind(&server, true), Reply::ServerHello);
        assert_eq!(kind(&[21; REPLY_KIND_LEN], true), Reply::Other);
    }

    #[test]
    fn only_plain_ipv4_has_addresses() {
        let mut head = [0; REPLY_ADDRESS_LEN];
        (head[12], head[14]) = (8, 0x45);
        head[26..].copy_from_slice(&[192, 0, 2, 2, 198, 18, 0, 1]);
        assert_eq!(addresses(&head), Some((0xc000_0202, 0xc612_0001)));
        head[12] = 0x86;
        assert_eq!(addresses(&head), None);
    }
}
