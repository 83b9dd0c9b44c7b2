//! Counters for Prometheus and health checks, over HTTP on a loopback address.
//!
//! Every number comes from the [`Status`](crate::admin::Status) that `xdtls status` shows. Labels are
//! bounded by the program and its configuration: never an address, an id or a name of a certificate.

mod exposition;
mod families;
mod http;
#[cfg(test)]
mod page;

pub use exposition::exposition;
pub use http::{bind, serve};
