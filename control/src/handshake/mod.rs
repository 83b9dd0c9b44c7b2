//! DTLS handshakes by OpenSSL, without its sockets.
//!
//! [`OpensslAcceptor`] and [`OpensslConnector`] are made once from configuration and make one
//! [`OpensslEngine`] a handshake. OpenSSL sees whole records only, through a queue in memory; the
//! keys leave with [`Finished`](xdtls_proto::engine::Finished), and the OpenSSL object is freed.

mod choice;
mod context;
mod credentials;
mod datagrams;
mod engine;
mod extension;
mod ffi;
mod key;
mod peer;
mod psk;
mod sessions;
mod trust;

pub(crate) use choice::{chosen_by_default, chosen_for};
pub use context::{AcceptorOptions, ContextError, OpensslAcceptor, OpensslConnector};
pub use credentials::{Identity, KeyType, read_file};
pub(crate) use credentials::{Loaded, first_line};
pub use engine::OpensslEngine;
pub use key::KeyError;
pub(crate) use peer::names_of;
pub use psk::{PskError, PskFault, PskTable};
pub use sessions::SessionLimits;
pub(crate) use trust::words;
pub use trust::{CrlError, Trust, authority_keys};
