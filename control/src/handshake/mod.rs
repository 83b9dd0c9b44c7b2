//! DTLS handshakes by OpenSSL, without its sockets.
//!
//! [`OpensslAcceptor`] and [`OpensslConnector`] are made once from configuration and make one
//! [`OpensslEngine`] a handshake. OpenSSL sees whole records only, through a queue in memory; the
//! keys leave with [`Finished`](xdtls_proto::engine::Finished), and the OpenSSL object is freed.

mod context;
mod credentials;
mod datagrams;
mod engine;
mod extension;
mod ffi;
mod key;
mod peer;

pub use context::{ContextError, OpensslAcceptor, OpensslConnector};
pub use credentials::{Identity, read_file};
pub use engine::OpensslEngine;
pub use key::KeyError;
