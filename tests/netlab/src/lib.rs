//! A network lab for tests and the demo: namespaces joined by veth pairs, processes that run in
//! them and do not outlive us, and small UDP programs that know nothing of DTLS.
//!
//! Nothing here touches an interface of the host: links are made inside namespaces of our own,
//! and what we made is removed when its owner is dropped, or by [`sweep`] after a crash.
#![forbid(unsafe_code)]

mod content;
pub mod echo;
mod forge;
pub mod garbage;
mod hello;
mod ledger;
mod netns;
pub mod probe;
mod process;
mod random;
pub mod relay;
mod report;
mod requirement;
pub mod shim;
mod shim_loop;
mod udp;
mod veth;
mod xdp_pass;

pub use content::{content, label};
pub use forge::Forger;
pub use hello::first_hello;
pub use netns::{Entrance, Netns, sweep};
pub use process::{Finished, Line, Process, Stream, capture, program};
pub use random::Random;
pub use requirement::missing;
pub use veth::Veth;
pub use xdp_pass::XdpPass;
