//! See [`xdtls_netlab::shim`].
#![forbid(unsafe_code)]

use clap::Parser;
use xdtls_netlab::shim::{Options, run};

fn main() -> anyhow::Result<()> {
    run(&Options::parse())
}
