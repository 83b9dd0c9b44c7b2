//! What the packet generator and its eBPF program agree on: a plan of frames, and how frame *n* of
//! it is written.
//!
//! Each frame is a function of the plan and its number alone, so that the host can say what the
//! kernel has sent. To a plan belongs one whole frame; [`Plan::write`] overwrites in it what differs
//! from frame to frame and completes both checksums.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

use bytemuck::{Pod, Zeroable};

pub mod reply;
pub mod steer;
mod sum;
#[cfg(test)]
mod tests;

pub use sum::{fold, sum_of};

/// The longest frame, in bytes.
pub const FRAME_MAX: usize = 2_048;

/// Where the IPv4 header begins: no frame has a VLAN tag.
pub const IP_AT: usize = 14;

/// Where the UDP header begins: no frame has IP options.
pub const UDP_AT: usize = 34;

/// Where the UDP payload begins.
pub const PAYLOAD_AT: usize = 42;

/// Length of a prefix in bytes.
pub const PREFIX_LEN: usize = 8;

/// Length of the gateway's cookies in bytes.
pub const COOKIE_LEN: usize = 12;

/// How many identities there are: source address and port, sender id and client random of a frame
/// follow from its identity. As many cookies can be kept.
pub const IDENTITIES_MAX: u32 = 1 << 20;

/// How many random bytes a frame can have.
pub const RANDOM_LEN: usize = 32;

/// Offsets that vary must be below this, in bytes: one mask tells the verifier so.
const OFFSET_MAX: u32 = 0xff;

const IP_CHECKSUM_AT: usize = IP_AT + 10;
const SOURCE_AT: usize = IP_AT + 12;
const UDP_CHECKSUM_AT: usize = UDP_AT + 6;

/// The high bits of all sender ids; the low ones are the identity.
const SENDER: u32 = 0x5000_0000;

/// What to send, plain old data: the one value of the map `PLAN`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Plan {
    /// What all that varies is drawn from.
    pub seed: u64,
    /// The number of the next frame.
    pub next: u64,
    /// Nanoseconds from one frame to the next; 0 for no wait.
    pub gap_ns: u64,
    /// When the next frame is due by the monotonic clock, in nanoseconds.
    pub due_ns: u64,
    /// Bytes of a frame.
    pub length: u32,
    /// How many identities take turns, at most [`IDENTITIES_MAX`].
    pub identities: u32,
    /// The network of source addresses, and the bits that vary in it.
    pub network: u32,
    /// See `network`.
    pub host_mask: u32,
    /// Added to the part of the source address that varies: with 1, every frame comes from another
    /// address than that of its identity.
    pub address_shift: u32,
    /// Whether an 8-byte prefix begins the payload: 0 or 1.
    pub prefix: u32,
    /// The bits of the receiver id that do not vary.
    pub receiver: u32,
    /// The bits of the receiver id that vary from frame to frame.
    pub receiver_mask: u32,
    /// Where 32 random bytes of the identity stand; 0 for none.
    pub random_at: u32,
    /// Where the identity's cookie stands; 0 for none.
    pub cookie_at: u32,
    /// The sum of the IP header without what varies; [`Plan::seal`] writes it.
    pub ip_sum: u32,
    /// The same of UDP pseudo-header, header and payload.
    pub udp_sum: u32,
}

const _: () = assert!(size_of::<Plan>() == 80);

/// A frame, and what is behind it: the one value of the map `FRAME`.
pub type Frame = [u8; FRAME_MAX];

/// What follows from an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The source address.
    pub address: u32,
    /// The source port, never a privileged one.
    pub port: u16,
    /// The sender id.
    pub sender: u32,
    /// The client's random.
    pub random: [u64; 4],
}

/// The identity that a sender id names: where the reply's cookie belongs.
pub const fn identity_of(sender: u32) -> u32 {
    sender & (IDENTITIES_MAX - 1)
}

impl Plan {
    /// Clears what varies in the frame and sums up the rest. Offsets and lengths that do not fit
    /// are an error, as words that say which.
    pub fn seal(&mut self, frame: &mut Frame) -> Result<(), &'static str> {
        let length = self.length as usize;
        if !(PAYLOAD_AT..=FRAME_MAX).contains(&length) {
            return Err("the frame is too short or too long");
        }
        if self.identities == 0 || self.identities > IDENTITIES_MAX {
            return Err("there must be at least one identity, and at most 1048576");
        }
        for (at, size) in [(self.random_at, RANDOM_LEN), (self.cookie_at, COOKIE_LEN)] {
            if at > OFFSET_MAX || (at != 0 && at as usize + size > length) {
                return Err("what varies lies outside the frame");
            }
        }
        let prefix = if self.prefix == 0 { 0 } else { PREFIX_LEN };
        for (at, size) in [
            (IP_CHECKSUM_AT, 2),
            (SOURCE_AT, 4),
            (UDP_AT, 2),
            (UDP_CHECKSUM_AT, 2),
            (PAYLOAD_AT, prefix),
            (self.random_at as usize, RANDOM_LEN),
            (self.cookie_at as usize, COOKIE_LEN),
        ] {
            frame[at..at + if at == 0 { 0 } else { size }].fill(0);
        }
        let frame = &frame[..length];
        self.ip_sum = sum_of(&frame[IP_AT..UDP_AT]);
        let pseudo = 17 + (length - UDP_AT) as u32 + sum_of(&frame[SOURCE_AT + 4..UDP_AT]);
        self.udp_sum = pseudo + sum_of(&frame[UDP_AT..]);
        Ok(())
    }

    /// The identity with this number.
    #[inline(always)]
    pub fn identity(&self, number: u32) -> Identity {
        let hash = mix(self.seed ^ u64::from(number));
        let host = (hash as u32).wrapping_add(self.address_shift) & self.host_mask;
        let mut random = [0; 4];
        let mut state = hash;
        for word in &mut random {
            state = state.wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(29) ^ hash;
            *word = state;
        }
        Identity {
            address: self.network | host,
            port: 0x4000 | (hash >> 48) as u16,
            sender: SENDER | number,
            random,
        }
    }

    /// Which identity the frame with this number has.
    #[inline(always)]
    pub fn identity_number(&self, number: u64) -> u32 {
        // The verifier is not to think of a division by zero.
        (number % u64::from(self.identities.max(1))) as u32 & (IDENTITIES_MAX - 1)
    }

    /// Makes `frame` the one with this number; `cookie` is its identity's.
    #[inline(always)]
    pub fn write(&self, frame: &mut Frame, number: u64, cookie: Option<&[u8; COOKIE_LEN]>) {
        let identity = self.identity(self.identity_number(number));
        put(frame, SOURCE_AT, identity.address.to_be_bytes());
        put(frame, UDP_AT, identity.port.to_be_bytes());
        let address = words(identity.address);
        let mut sum = self.udp_sum + address + u32::from(identity.port);
        if self.prefix != 0 {
            let varying = mix(number ^ self.seed.rotate_left(32)) as u32;
            let receiver = self.receiver | varying & self.receiver_mask;
            put(frame, PAYLOAD_AT, identity.sender.to_be_bytes());
            put(frame, PAYLOAD_AT + 4, receiver.to_be_bytes());
            sum += words(identity.sender) + words(receiver);
        }
        if self.random_at != 0 {
            sum += self.put_random(frame, &identity.random);
        }
        if let (Some(cookie), true) = (cookie, self.cookie_at != 0) {
            let at = (self.cookie_at & OFFSET_MAX) as usize;
            put(frame, at, *cookie);
            sum += at_offset(at, sum_of(cookie));
        }
        put(frame, IP_CHECKSUM_AT, (!fold(self.ip_sum + address)).to_be_bytes());
        // Zero would mean that there is no checksum (RFC 768).
        let checksum = match !fold(sum) {
            0 => u16::MAX,
            checksum => checksum,
        };
        put(frame, UDP_CHECKSUM_AT, checksum.to_be_bytes());
    }

    /// Writes the random bytes and returns what they add to the sum.
    #[inline(always)]
    fn put_random(&self, frame: &mut Frame, random: &[u64; 4]) -> u32 {
        let at = (self.random_at & OFFSET_MAX) as usize;
        let mut sum = 0;
        for (index, word) in random.iter().enumerate() {
            put(frame, at + 8 * index, word.to_be_bytes());
            sum += words((word >> 32) as u32) + words(*word as u32);
        }
        at_offset(at, sum)
    }
}

#[inline(always)]
fn put<const N: usize>(frame: &mut Frame, at: usize, bytes: [u8; N]) {
    if let Some(place) = frame.get_mut(at..at + N) {
        place.copy_from_slice(&bytes);
    }
}

/// The sum of a number's two 16-bit words.
#[inline(always)]
fn words(number: u32) -> u32 {
    (number >> 16) + (number & 0xffff)
}

/// What words that stand at an odd offset add: they lie across those of the sum (RFC 1071 §2(B)).
#[inline(always)]
fn at_offset(at: usize, sum: u32) -> u32 {
    let folded = fold(sum);
    u32::from(if at % 2 == 1 { folded.swap_bytes() } else { folded })
}

/// A permutation that spreads a counter over all bits (the finalizer of SplitMix64).
#[inline(always)]
fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
