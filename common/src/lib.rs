//! What userspace and the XDP program must agree on: ids, the prefix, DTLS record and ClientHello
//! parsing over a [`cursor::Cursor`], cookies, the verdict on a datagram, and drop reasons.
//!
//! The crate is `no_std` and free of `unsafe`. Everything that reads packets does so through a
//! cursor, so that one parser serves slices on the host and packet pointers in the kernel.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod access;
pub mod budget;
pub mod checksum;
pub mod client_hello;
pub mod cookie;
pub mod cursor;
pub mod drop_reason;
mod drop_remedy;
pub mod ends;
pub mod extension;
pub mod flow;
pub mod frame;
pub mod front;
pub mod hello_verify;
pub mod id;
pub mod map;
pub mod odd;
pub mod outcome;
pub mod path_message;
pub mod prefix;
pub mod record;
pub mod reply;
pub mod siphash;
pub mod steering;
pub mod trace;
pub mod universal;
pub mod verdict;

pub use drop_reason::DropReason;
pub use outcome::Outcome;
